"""Bounded loops: a part of a graph that is repeated is declared once and unrolled."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from sgdflow.config import schema
from sgdflow.errors import ConfigError, did_you_mean, listed

Rename = Callable[[str], str]


def unrolled(conf: schema.GraphConf) -> schema.GraphConf:
    """Return the graph with every repetition written out; raises ConfigError.

    Those of a part that come before the last bear its names with a number; they share its
    parameters. What comes after a loop is given the values of the last.
    """
    problems: list[str] = []
    taken: set[str] = set()
    for name, node in conf.nodes.items():
        if node.repeat is None:
            continue
        body = _body(conf, node.repeat.instead_of, name)
        told = _problem(conf, name, body, taken)
        taken |= body
        if told:
            problems.append(f"graph.nodes.{name}.repeat.{told}")
        else:
            conf = _repeated(conf, name, node.repeat, body)
    if problems:
        raise ConfigError("\n".join(problems))
    return conf


def _owner(variable: str) -> str:
    return variable.partition(".")[0]


def _before(conf: schema.GraphConf, name: str) -> set[str]:
    """Return the variables that a node depends on."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        node = conf.nodes.get(waiting.pop())
        new = {_owner(one) for one in node.predecessors} - found if node else set()
        found |= new
        waiting += new
    return found


def _body(conf: schema.GraphConf, begin: str, end: str) -> set[str]:
    """Return the nodes between a variable and a node, with the latter."""
    between = {n for n in _before(conf, end) & conf.nodes.keys() if begin in _before(conf, n)}
    return between | {end}


def _problem(
    conf: schema.GraphConf, name: str, body: Collection[str], taken: Collection[str]
) -> str:
    """Return why a node's loop cannot be unrolled, empty where it can."""
    repeat = conf.nodes[name].repeat
    assert repeat is not None
    before = _before(conf, name)
    if repeat.instead_of not in before:
        close = did_you_mean(repeat.instead_of, before)
        known = repeat.instead_of in {*conf.nodes, *conf.inputs}
        what = "no path leads from" if known else "the graph has no node or input"
        to = f" to '{name}'" * known
        return (
            f"instead_of: {what} '{repeat.instead_of}'{to}.{close} Before '{name}' are: "
            f"{listed(sorted(before))}."
        )
    if name in before:
        return "instead_of: the nodes form a circle as they are; name what the loop begins with."
    if twice := sorted(set(body) & set(taken)):
        return f"instead_of: '{twice[0]}' is part of another loop; loops cannot share nodes."
    made = [f"{one}_{k}" for one in sorted(body) for k in range(1, repeat.times)]
    if there := [one for one in made if one in conf.nodes or one in conf.inputs]:
        return f"times: the repetition would be called '{there[0]}', which is there already."
    return ""


def _repeated(
    conf: schema.GraphConf, name: str, repeat: schema.RepeatConf, body: Collection[str]
) -> schema.GraphConf:
    nodes: dict[str, schema.NodeConf] = {}
    first = next(one for one in conf.nodes if one in body)
    for one, node in conf.nodes.items():
        if one == first:
            for k in range(1, repeat.times):
                for inner in (other for other in conf.nodes if other in body):
                    copy = _renamed(conf.nodes[inner], _names(body, repeat.instead_of, name, k, k))
                    nodes[f"{inner}_{k}"] = _sharing(copy, inner)
        last = _names(body, repeat.instead_of, name, repeat.times, None)
        nodes[one] = _renamed(node, last) if one in body else node
    return conf.with_loops_written_out(nodes)


def _names(body: Collection[str], begin: str, end: str, k: int, own: int | None) -> Rename:
    """Return what variables are called in the repetition k; `own` is the number its nodes bear."""

    def rename(variable: str) -> str:
        owner, dot, field = variable.partition(".")
        if owner == begin:
            owner = begin if k == 1 else f"{end}_{k - 1}"
        elif owner in body and own is not None:
            owner = f"{owner}_{own}"
        return f"{owner}{dot}{field}"

    return rename


def _renamed(node: schema.NodeConf, rename: Rename) -> schema.NodeConf:
    """Return a node with other names for what it is given."""
    changes: dict[str, Any] = {
        "predecessors": [rename(one) for one in node.predecessors],
        "repeat": None,
    }
    if isinstance(node.when, Mapping):
        changes["when"] = _condition(node.when, rename)
    if isinstance(node.forward, schema.Forward):
        said = {key: getattr(node.forward, key) for key in ("each", "history")}
        given = {key: rename(name) for key, name in said.items() if name is not None}
        changes["forward"] = node.forward.model_copy(update=given)
    return node.model_copy(update=changes)


def _condition(when: Mapping[str, Any], rename: Rename) -> dict[str, Any]:
    return {
        schema.NOT if key == schema.NOT else rename(key): _condition(value, rename)
        if key == schema.NOT
        else value
        for key, value in when.items()
    }


def _sharing(node: schema.NodeConf, owner: str) -> schema.NodeConf:
    """Return a node that uses the parameters of another one."""
    parameters = {
        local: value
        if isinstance(value, schema.ParameterConf) and value.shared is not None
        else schema.ParameterConf(shared=f"{owner}.{local}")
        for local, value in node.parameters.items()
    }
    return node.model_copy(update={"parameters": parameters})
