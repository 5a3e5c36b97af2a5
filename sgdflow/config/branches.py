"""From a declared `when` to the condition, with what can be known of its values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgdflow.config import schema
from sgdflow.config.graph_fields import schema_at
from sgdflow.config.kinds import LIST, MAPPING, TEXT, fields_of, kind_of
from sgdflow.config.targets import resolve
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.executor.branches import Asks, Condition, Equals, alike

_YAML = " YAML reads yes, no, on and off as true and false: write such a word in quotes."


def condition(name: str, graph: schema.GraphConf) -> Condition | None:
    """Return when a node is computed, None: always; raises ConfigError with all mistakes.

    They are told of the node as it was written: for those that a loop repeats, once.
    """
    node, written = graph.nodes[name], graph.as_written
    if node.when is None:
        return None
    own = name if name in written.nodes else name.rpartition("_")[0]
    where = f"graph.nodes.{own}.when"
    problems = [*_problems(own, written, where)]
    if not problems:
        problems = [f"once it is repeated, {told}" for told in _problems(name, graph, where)]
    if problems:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in problems))
    return _declared(node.when, where)


def _declared(when: Any, where: str) -> Condition:
    if isinstance(when, schema.Target):
        return Asks(resolve(when, where))
    said = {key: _several(value) for key, value in when.items() if key != schema.NOT}
    others = when.get(schema.NOT, {})
    return Equals(said, {key: _several(value) for key, value in others.items()})


def _problems(name: str, graph: schema.GraphConf, where: str) -> Iterator[str]:
    """Yield what is wrong with the condition of a node."""
    node = graph.nodes[name]
    found = _declared(node.when, where)
    problems = [*found.problems(node.predecessors)]
    yield from problems
    if isinstance(found, Equals) and not problems:
        yield from (*_never(found.one_of, graph), *_never(found.none_of, graph))
    if name == graph.output:
        yield (
            "is that of the output, so that there would be none where it does not hold. Let a node "
            "without it come after this one (such as sgdflow.library.tools.first)."
        )


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else [value]


def _never(tests: Mapping[str, Sequence[Any]], graph: schema.GraphConf) -> Iterator[str]:
    """Yield the values that a field never has, where its schema names all there are."""
    for name, values in tests.items():
        owner, _, field = name.partition(".")
        found = schema_at(graph, owner) if field and owner in graph.nodes else None
        known = found and found.json["properties"].get(field, {}).get("enum")
        if not known:
            yield from filter(None, [_no_value(name, values, graph)])
            continue
        for value in values:
            if alike(value) not in map(alike, known):
                names = [str(one) for one in known]
                yield (
                    f"'{name}' is never '{value}'.{did_you_mean(str(value), names)} "
                    f"It is one of {listed(names)}.{_YAML if isinstance(value, bool) else ''}"
                )


def _no_value(name: str, values: Sequence[Any], graph: schema.GraphConf) -> str:
    """Return why a variable has none of some values, whatever a model answers."""
    kind = kind_of(graph, name)
    if kind in (MAPPING, LIST):
        fields = fields_of(graph, name) if kind == MAPPING else []
        instead = f" Name a field of it: {listed(fields)}." if fields else ""
        by_code = (
            "" if fields else " A function can look into it: when: {_target_: MODULE.FUNCTION}."
        )
        return f"'{name}' is {kind}, and never {values[0]!r}.{instead}{by_code}"
    if kind == TEXT and any(isinstance(value, bool) for value in values):
        return f"'{name}' is a text, and never true or false.{_YAML}"
    return ""
