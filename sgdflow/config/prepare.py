"""One run, ready to start: everything is valid and nothing has been spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgdflow.config import documents, enough, schema, score_schema, thrift, workers
from sgdflow.config.build import build_graph, build_method, expand_graph, optimised
from sgdflow.config.graph_schema import text_of_items
from sgdflow.config.legs import acting
from sgdflow.config.models import build_calling, build_models
from sgdflow.config.notices import run_notices
from sgdflow.config.piecewise import ANY_GRAPH, mistakes
from sgdflow.config.problems import Problems
from sgdflow.config.remedies import first_of
from sgdflow.config.retrieval import unread
from sgdflow.config.sight import blind, unseen
from sgdflow.config.task import Notice, TaskData, build_task
from sgdflow.descent.method import Method, Problem
from sgdflow.errors import ConfigError, did_you_mean, listed, looked_in, shortly
from sgdflow.executor import demonstrations
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.numbers import plain
from sgdflow.homes import at_home
from sgdflow.llm.calling import Calling
from sgdflow.llm.credentials import check_keys
from sgdflow.llm.models import ModelSpec
from sgdflow.prompting.templates import Prompts


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a run needs, except the models themselves."""

    config: schema.Config
    method: Method
    problem: Problem
    start: Parameters
    calling: Calling
    roles: frozenset[str]
    """Those that the run asks something."""
    notices: tuple[Notice, ...] = ()
    """What the run says of its data before it begins."""


def prepare(
    raw: Mapping[str, Any], prompts: Prompts, environ: Mapping[str, str] | None
) -> Prepared:
    """Validate and build a run; raises ConfigError with all mistakes that can be told at once.

    `environ` holds the keys of the models; None: they are not going to be asked.
    """
    config, problems = _whole(raw, prompts), Problems()
    models: Mapping[str, ModelSpec] = {}
    with problems.collected():
        models = build_models(config.llm)
    graph, names, method, start = _built(config, prompts, problems)
    problems.extend(unread(graph) if graph is not None else iter(()))
    problems.extend(iter(_role_problems(config)))
    problems.extend(workers.problems(config, models))
    if environ is not None and config.llm.store.mode != "replay":
        problems.extend(iter(check_keys(_needed(config, models), environ)))
    data = build_task(config.task, config.seed, config.graph, prompts, problems)
    if data is not None and method is not None:
        method = enough.fitted(method, data.splits)
        problems.extend(enough.problems(method, data.splits, len(names)))
    problems.check()
    assert graph is not None
    assert method is not None
    assert data is not None
    calling = build_calling(_needed(config, models), config.llm, config.seed)
    problems.extend(blind(graph, calling))
    problems.extend(unseen(graph, data.splits))
    problems.extend(thrift.unknown(config, graph, calling, environ or {}))
    problems.check()
    late = enough.exhausted(method, data.splits, len(names))
    return Prepared(
        config,
        method,
        _problem(config, graph, data, names),
        start,
        calling,
        frozenset({*_asked(config).values()}),
        (
            *data.notices,
            *run_notices(graph, models, config.method, prompts),
            *(Notice(one, unsure=True) for one in late),
            *thrift.unbound(config, calling, environ or {}, {*_asked(config).values()}),
        ),
    )


def _problem(
    config: schema.Config, graph: Graph, data: TaskData, names: tuple[str, ...]
) -> Problem:
    first, at_once = first_of(config), config.llm.limits.examples
    return Problem(graph, data.score, data.splits, names, config.seed, first, at_once)


def _built(
    config: schema.Config, prompts: Prompts, problems: Problems
) -> tuple[Graph | None, tuple[str, ...], Method | None, Parameters]:
    """Return the graph, the parameters to optimise, the method and the texts to start from."""
    graph = method = None
    names: tuple[str, ...] = ()
    start: Parameters = {}
    with problems.collected():
        graph = build_graph(config.graph, prompts)
    if graph is not None:
        with problems.collected():
            names = optimised(config.method, graph)
        with problems.collected():
            at_once = config.llm.limits.concurrency
            method = build_method(config.method, graph, prompts, at_once)
        with problems.collected():
            start = starting_parameters(graph, config.parameters)
    return graph, names, method, start


def _whole(raw: Mapping[str, Any], prompts: Prompts) -> schema.Config:
    """Return the validated configuration; raises ConfigError that tells of all of its parts."""
    try:
        return validated(raw)
    except ConfigError:
        problems = Problems()
        problems.extend(iter(mistakes(raw, prompts)))
        problems.check()
        raise


def validated(raw: Mapping[str, Any]) -> schema.Config:
    """Return the validated configuration with its graph expanded."""
    problems = Problems()
    graph = None
    with problems.collected():
        graph = expand_graph(raw.get("graph"))
    config: schema.Config | None = None
    with problems.collected():
        rest = {**raw, "graph": graph} if graph is not None else {**raw, "graph": ANY_GRAPH}
        config = schema.validate(schema.Config, rest)
    problems.check()
    assert config is not None
    return config


def starting_parameters(graph: Graph, path: str | None) -> Parameters:
    """Return the declared parameters, or those of a parameters.yaml file."""
    if path is None:
        return graph.initial()
    file = at_home(path, "parameters")
    if file.is_dir():
        file = within(file, "parameters.yaml")
    if not file.exists():
        raise ConfigError(f"parameters: there is no file {file}.{looked_in(file)}")
    try:
        read = documents.read(file)
    except ConfigError as error:
        raise ConfigError(f"parameters: {error}") from error
    if not isinstance(read, dict):
        raise ConfigError(f"parameters: {file} holds no mapping of names to texts.")
    return read_parameters(read, graph, str(file))


def within(folder: Path, name: str) -> Path:
    """Return a file of a folder that somebody else may have made; raises ConfigError for a link."""
    file = folder / name
    if not file.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"parameters: {file} is a link to {file.resolve()}, outside of the folder. If that is "
            "what you want, name the file itself, or add --trust."
        )
    return file


def read_parameters(read: Mapping[str, Any], graph: Graph, where: str) -> Parameters:
    """Return parameters in the order of the graph; raises ConfigError where they do not fit it."""
    unknown = [name for name in read if name not in graph.parameters]
    missing = [name for name in graph.parameters if name not in read]
    lines = [
        f"parameters: {where}: graph '{graph.name}' has no parameter '{shortly(str(name))}'."
        f"{did_you_mean(str(name), graph.parameters)}"
        for name in unknown
    ]
    lines += [f"parameters: {where}: '{name}' is missing." for name in missing]
    read = {name: _of_items(value) for name, value in read.items()}
    lines += [
        f"parameters: {where}: '{shortly(str(name))}' is {shortly(repr(value))}, not a text, a "
        "number or a list of texts, each a line."
        for name, value in read.items()
        if not isinstance(value, str | int | float)
    ]
    read = {name: _as_text(value, graph, name) for name, value in read.items()}
    lines = lines or [*_no_demonstrations(read, graph, where), *_no_numbers(read, graph, where)]
    if lines:
        raise ConfigError("\n".join(lines))
    return {name: read[name] for name in graph.parameters}


def _of_items(value: Any) -> Any:
    """Return a list of texts as a graph takes it; what holds none is no value of a parameter."""
    try:
        return text_of_items(value) if isinstance(value, list | tuple) else value
    except ValueError:
        return value


def _as_text(value: Any, graph: Graph, name: str) -> Any:
    """Return a number as the text that it is in a parameter with bounds."""
    declared = graph.parameters.get(name)
    bounded = declared is not None and declared.constraints.number is not None
    return plain(value) if bounded and isinstance(value, int | float) else value


def _no_numbers(read: Mapping[str, Any], graph: Graph, where: str) -> Iterator[str]:
    for name, parameter in graph.parameters.items():
        try:
            if parameter.constraints.number is not None:
                parameter.constraints.number.read(str(read[name]))
        except ValueError as error:
            yield f"parameters: {where}: '{name}' is {shortly(str(read[name]))}: {error}."


def _no_demonstrations(read: Mapping[str, Any], graph: Graph, where: str) -> Iterator[str]:
    for name, parameter in graph.parameters.items():
        try:
            if parameter.demonstrations:
                demonstrations.read(read[name])
        except ValueError as error:
            yield f"parameters: {where}: '{name}' {error}."


def _asked(config: schema.Config) -> Mapping[str, str]:
    """Return the roles that are asked something, by the key that names them."""
    roles = {}
    if any(_has_graphs_role(node.forward) for node in config.graph.nodes.values()):
        roles["graph.forward.role"] = config.graph.forward.role
    for name, node in config.graph.nodes.items():
        for side in ("forward", "backward"):
            conf = getattr(node, side)
            own = side == "backward" or not _has_graphs_role(conf)
            if isinstance(conf, schema.Exchange) and own:
                roles[f"graph.nodes.{name}.{side}.role"] = conf.role
    parts = ["backward", "backward.verify", "update", "loss", "update.critique"]
    parts += ["update.demonstrations"]
    for where, method in acting(config.method):
        for part in (*parts, "aggregation.successors", "aggregation.examples"):
            found: Any = method
            for key in part.split("."):
                found = getattr(found, key, None)
            if isinstance(role := getattr(found, "role", None), str):
                roles[f"{where}.{part}.role"] = role
    judges = score_schema.judges(config.task.score)
    return {**roles, **{f"{where}.role": judge.role for where, judge in judges.items()}}


def _needed(config: schema.Config, models: Mapping[str, ModelSpec]) -> Mapping[str, ModelSpec]:
    """Return the models without a judge where nothing is judged: it needs no key.

    An update rule of one's own may ask anybody.
    """
    judge = score_schema.JudgeConf.model_fields["role"].default
    own = any(isinstance(one.update, schema.Target) for _, one in acting(config.method))
    if own or judge in _asked(config).values():
        return models
    return {role: model for role, model in models.items() if role != judge}


def _has_graphs_role(forward: object) -> bool:
    """Say whether a forward function is a model that names no role of its own."""
    if isinstance(forward, schema.Forward):
        return "role" not in forward.model_fields_set
    return forward is None


def _role_problems(config: schema.Config) -> list[str]:
    roles = {"graph.forward.role": config.graph.forward.role, **_asked(config)}
    roles |= {f"llm.fallbacks.{role}": role for role in config.llm.fallbacks}
    roles |= {f"llm.limits.roles.{role}": role for role in config.llm.limits.roles}
    budget = config.method.stop.budget
    roles |= {f"method.stop.budget.roles.{role}": role for role in budget.roles}
    return [
        f"{where}: llm.models has no '{role}'.{did_you_mean(role, config.llm.models)} "
        f"It has: {listed(config.llm.models)}."
        for where, role in roles.items()
        if role not in config.llm.models
    ]
