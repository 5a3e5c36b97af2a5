"""From a validated configuration to the graph that runs it; all mistakes are found here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from sgdflow.config import schema
from sgdflow.config.branches import condition
from sgdflow.config.graph_fields import with_fields
from sgdflow.config.kinds import no_fields, no_lists, no_systems, no_temperatures
from sgdflow.config.legs import build_method, named, optimised
from sgdflow.config.loops import unrolled
from sgdflow.config.problems import Problems, ask, build_backward
from sgdflow.config.retrieval import retrieving
from sgdflow.config.sight import not_inputs
from sgdflow.config.targets import resolve
from sgdflow.data.images import data_url
from sgdflow.errors import ConfigError, ReplyError, did_you_mean, listed, raised_at
from sgdflow.executor.backward_functions import PassThrough
from sgdflow.executor.constraints import DECLARED, Constraints
from sgdflow.executor.fields import FieldForward
from sgdflow.executor.forward import CallableForward, PromptForward
from sgdflow.executor.functions import AtOnce, Bounded, Function
from sgdflow.executor.graph import BackwardFunction, ForwardFunction, Graph, Node, Parameter
from sgdflow.executor.graph_names import SYSTEM
from sgdflow.executor.mapping import Each
from sgdflow.executor.tools import Tool, ToolUse, reply_schema
from sgdflow.executor.trace import TracedForward
from sgdflow.executor.voting import Vote
from sgdflow.prompting.schemas import Schema
from sgdflow.prompting.templates import Prompts
from sgdflow.update.constraints import check

__all__ = ["Problems", "build_graph", "build_method", "expand_graph", "named", "optimised"]

_SYSTEM_IS = "It is the system message: who the model is, and how it works whatever it is asked."


def expand_graph(raw: object) -> schema.GraphConf:
    """Return the declared graph; a `_target_` is called and returns the declaration."""
    if isinstance(raw, Mapping) and "_target_" in raw:
        target = schema.validate(schema.Target, dict(raw), "graph")
        function = resolve(target, "graph")
        function, overlay = _parted(function)
        if problems := list(function.problems()):
            raise ConfigError("\n".join(f"graph: {problem}" for problem in problems))
        try:
            raw = function.call(**function.constants)
        except (ValueError, TypeError) as error:
            raise ConfigError(f"graph: {error}") from error
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigError(
                f"graph: {function.name} raised {reason}{raised_at(error)}."
            ) from error
        if not isinstance(raw, Mapping):
            found = type(raw).__name__
            raise ConfigError(f"graph: {function.name} returned {found}, not a mapping.")
        raw = _overlaid(raw, overlay)
    conf: schema.GraphConf = schema.validate(schema.GraphConf, raw, "graph")
    return with_fields(unrolled(conf))


def _parted(function: Function) -> tuple[Function, Mapping[str, Any]]:
    """Return a function with what it takes, and what is said beside it of the graph it returns."""
    keys = schema.GraphConf.model_fields
    beside = {
        key: value
        for key, value in function.constants.items()
        if key in keys and not function.takes(key)
    }
    own = {key: value for key, value in function.constants.items() if key not in beside}
    return replace(function, constants=own), beside


def _overlaid(below: Any, above: Any) -> Any:
    """Return nested mappings with what is said above them."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    return {**below, **{key: _overlaid(below.get(key), value) for key, value in above.items()}}


def build_graph(conf: schema.GraphConf, prompts: Prompts) -> Graph:
    """Return the graph; raises ConfigError with all mistakes at once."""
    problems = Problems()
    parameters = _explained(conf, _parameters(conf, problems))
    nodes = {name: _node(name, node, conf, prompts, problems) for name, node in conf.nodes.items()}
    graph = None
    with problems.collected():
        graph = Graph(conf.name, tuple(conf.inputs), parameters, nodes, conf.output)
    if graph is not None:
        problems.extend(iter(_forward_problems(conf, graph)))
        problems.extend(not_inputs(graph))
        for wrong in (no_lists, no_fields, no_temperatures, no_systems):
            problems.extend(wrong(conf))
        for node in graph.nodes.values():
            if node.backward is not None:
                problems.extend(
                    f"graph.nodes.{node.name}.backward: {p}" for p in node.backward.problems(node)
                )
    problems.check()
    assert graph is not None
    return graph


def _forward_problems(conf: schema.GraphConf, graph: Graph) -> list[str]:
    """Return what is wrong with the forward functions, a mistake of many nodes once."""
    nodes: dict[tuple[str, str], list[str]] = {}
    texts: dict[tuple[str, str], str] = {}
    for name, node in graph.nodes.items():
        own = conf.nodes[name].forward
        shared = own is None or (
            isinstance(own, schema.Forward) and "prompt" not in own.model_fields_set
        )
        where = "graph.forward" if shared else f"graph.nodes.{name}.forward"
        for text in node.forward.problems(node):
            alike = (where, text.replace(f"node '{name}'", "node"))
            nodes.setdefault(alike, []).append(name)
            texts.setdefault(alike, text)
    lines = []
    for alike, (first, *others) in nodes.items():
        at = alike[0] if others else f"graph.nodes.{first}.forward"
        text = texts[alike]
        same = f" The same for {listed(others)}." if others and text != alike[1] else ""
        lines.append(f"{at}: {text}{same}")
    return lines


def _parameters(conf: schema.GraphConf, problems: Problems) -> Mapping[str, Parameter]:
    found: dict[str, Parameter] = {}
    for name, declared in conf.parameters.items():
        parameter = _declared(declared)
        if not name.isidentifier():
            told = f"graph.parameters: '{name}' cannot name a parameter: it is not a plain name."
            problems.extend(iter([told]))
        if parameter.shared is not None:
            problems.extend(iter([f"graph.parameters.{name}: needs a value of its own."]))
        found[name] = _parameter(name, parameter, f"graph.parameters.{name}", problems)
    used = set()
    own = {
        f"{node}.{local}"
        for node, node_conf in conf.nodes.items()
        for local, declared in node_conf.parameters.items()
        if _declared(declared).shared is None
    }
    for node, node_conf in conf.nodes.items():
        for local, declared in node_conf.parameters.items():
            parameter = _declared(declared)
            where = f"graph.nodes.{node}.parameters.{local}"
            if parameter.shared is None:
                found[f"{node}.{local}"] = _parameter(f"{node}.{local}", parameter, where, problems)
            elif parameter.shared not in {*conf.parameters, *own}:
                problems.extend(
                    iter(
                        [
                            f"{where}.shared: graph.parameters has no '{parameter.shared}'."
                            f"{did_you_mean(parameter.shared, conf.parameters)} "
                            f"It has: {listed(conf.parameters)}."
                        ]
                    )
                )
                found[parameter.shared] = Parameter(parameter.shared, "", frozen=True)
            used.add(parameter.shared)
    unused = [name for name in conf.parameters if name not in used]
    problems.extend(
        f"graph.parameters.{name}: no node uses it (nodes.NODE.parameters.NAME.shared: {name})."
        for name in unused
    )
    return found


def _explained(conf: schema.GraphConf, found: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    """Return them with what a system message is for, where nothing else is said of it."""
    explained = dict(found)
    for node, node_conf in conf.nodes.items():
        if (declared := node_conf.parameters.get(SYSTEM)) is None:
            continue
        one = explained[_declared(declared).shared or f"{node}.{SYSTEM}"]
        if not one.constraints.about:
            told = replace(one.constraints, about=_SYSTEM_IS)
            explained[one.name] = replace(one, constraints=told)
    return explained


def _parameter(name: str, conf: schema.ParameterConf, where: str, problems: Problems) -> Parameter:
    """Return a parameter; its own text has to keep to what is declared of it."""
    constraints = Constraints(**{key: getattr(conf, key) for key in DECLARED})
    if conf.numbers is not None:
        constraints = replace(constraints, choices=(), number=conf.numbers)
    if conf.shared is None:
        try:
            check(constraints, str(conf.initial), str(conf.initial))
        except ReplyError as error:
            kind = "text" if conf.numbers is None else "number"
            problems.extend(
                iter([f"{where}: its own {kind} breaks what is declared of it: {error}."])
            )
    few = conf.demonstrations or 0
    return Parameter(name, conf.initial, conf.frozen, constraints, few)


def _declared(value: Any) -> schema.ParameterConf:
    if isinstance(value, schema.ParameterConf):
        return value
    return schema.ParameterConf(value=value)


def _node(
    name: str, conf: schema.NodeConf, graph: schema.GraphConf, prompts: Prompts, problems: Problems
) -> Node:
    where = f"graph.nodes.{name}"
    forward: ForwardFunction = _asking(graph.forward, prompts, conf, f"{where}.forward")
    backward: BackwardFunction | None = None
    with problems.collected():
        if isinstance(conf.forward, schema.Target):
            kind = TracedForward if conf.trace else CallableForward
            forward = kind(_bounded(conf, resolve(conf.forward, f"{where}.forward")))
            backward = PassThrough(prompts)
        elif isinstance(conf.forward, schema.FieldConf):
            forward = FieldForward(conf.forward.field, conf.forward.optional)
            backward = PassThrough(prompts, "backward/field.jinja")
        elif isinstance(conf.forward, schema.RetrieveConf):
            forward = retrieving(conf.forward, conf, graph, where)
            way = "retrieval" if conf.forward.embeddings is None else "embedded"
            backward = PassThrough(prompts, f"backward/{way}.jinja")
        elif conf.forward is not None:
            own = merged(graph.forward, conf.forward)
            if told := own.apart() or own.unused(conf.forward.model_fields_set):
                raise ConfigError(
                    f"{where}.forward: {told}. What it does not say itself is that of "
                    "graph.forward."
                )
            forward = _asking(own, prompts, conf, f"{where}.forward")
    with problems.collected():
        if conf.backward is not None:
            backward = build_backward(conf.backward, prompts, f"{where}.backward")
    names = {
        local: _declared(value).shared or f"{name}.{local}"
        for local, value in conf.parameters.items()
    }
    when = None
    with problems.collected():
        when = condition(name, graph)
    return Node(name, tuple(conf.predecessors), names, forward, backward, when)


def _bounded(conf: schema.NodeConf, function: Function) -> Function:
    """Return a function with the bounds that a node declares for it."""
    if conf.timeout is None and not conf.retries and conf.at_once is None:
        return function
    at_once = None if conf.at_once is None else AtOnce(conf.at_once)
    said = function.call, function.name, function.constants
    return Bounded(*said, conf.timeout, conf.retries, at_once)


def _asking(
    conf: schema.Forward, prompts: Prompts, node: schema.NodeConf, where: str
) -> PromptForward:
    """Return the exchange with a model that is declared of a node."""
    if conf.tools and conf.prompt == schema.Forward().prompt:
        conf = conf.model_copy(update={"prompt": "forward/tools.jinja"})
    shown = conf.history or "", conf.images, partial(data_url, folder=Path.cwd())
    said = ask(conf, prompts), conf.system, conf.about, *shown
    if conf.tools:
        form = replace(said[0].reply, format="json", schema=Schema(reply_schema([*conf.tools])))
        tools = tuple(
            Tool(name, _bounded(node, resolve(one, f"{where}.tools.{name}")))
            for name, one in conf.tools.items()
        )
        return ToolUse(replace(said[0], reply=form), *said[1:], tools=tools, rounds=conf.rounds)
    if conf.each is not None:
        return Each(*said, each=conf.each, most=conf.most)
    return PromptForward(*said) if conf.samples == 1 else Vote(*said, samples=conf.samples)


def merged(base: schema.Forward, own: schema.Forward) -> schema.Forward:
    """Return the graph's exchange with what the node says differently."""
    said = {name: getattr(own, name) for name in own.model_fields_set}
    if "reply" in said:
        reply = own.reply
        said["reply"] = base.reply.model_copy(
            update={name: getattr(reply, name) for name in reply.model_fields_set}
        )
    return base.model_copy(update=said)
