"""What kind of value a variable has, as far as its declaration says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sgdflow.config import schema
from sgdflow.config.graph_fields import schema_at
from sgdflow.errors import listed
from sgdflow.executor.forward import TEMPERATURE
from sgdflow.executor.graph_names import SYSTEM

LIST, MAPPING, TEXT = "a list", "a mapping", "a text"
_KINDS = {"array": LIST, "object": MAPPING, "string": TEXT, "integer": "a number"}
_KINDS |= {"number": "a number", "boolean": "true or false"}


def kind_of(graph: schema.GraphConf, name: str) -> str:
    """Return the kind in words; empty where nobody can tell, as of inputs and code."""
    owner, _, field = name.partition(".")
    if owner not in graph.nodes:
        return ""
    forward = graph.nodes[owner].forward
    if isinstance(forward, schema.RetrieveConf):
        return "" if field else LIST
    if forward is not None and not isinstance(forward, schema.Forward):
        return ""
    if _each(graph, owner):
        return "" if field else LIST
    found = schema_at(graph, owner)
    if not field:
        return TEXT if found is None else MAPPING
    declared: Any = found.json["properties"].get(field, {}) if found is not None else {}
    if "enum" in declared and "type" not in declared:
        return TEXT if all(isinstance(one, str) for one in declared["enum"]) else ""
    kind = declared.get("type")
    return _KINDS.get(kind, "") if isinstance(kind, str) else ""


def _each(graph: schema.GraphConf, node: str) -> str | None:
    """Return what a node is asked about item by item."""
    own = graph.nodes[node].forward
    if isinstance(own, schema.Forward) and "each" in own.model_fields_set:
        return own.each
    return graph.forward.each


def fields_of(graph: schema.GraphConf, node: str) -> Sequence[str]:
    """Return the fields of a node's value, as a list of variables."""
    found = schema_at(graph, node)
    return [] if found is None else [f"{node}.{field}" for field in found.names]


def no_lists(graph: schema.GraphConf) -> Iterator[str]:
    """Yield which nodes are to go through something that is no list."""
    for name, node in graph.nodes.items():
        each = _each(graph, name) if node.forward is None else None
        if isinstance(node.forward, schema.Forward):
            each = _each(graph, name)
        if each is None or (kind := kind_of(graph, each)) in ("", LIST):
            continue
        lists = [one for one in fields_of(graph, each) if kind_of(graph, one) == LIST]
        instead = (
            f"It has: {listed(lists)}."
            if lists
            else 'A node answers with a list where its schema says so: {parts: "text[]"}.'
        )
        where = f"graph.nodes.{name}.forward.each"
        yield f"{where}: '{each}' is {kind}, no list to go through. {instead}"


def no_fields(graph: schema.GraphConf) -> Iterator[str]:
    """Yield where fields are named of a node that answers once for each item of a list."""
    for name, node in graph.nodes.items():
        for given in node.predecessors:
            owner, _, field = given.partition(".")
            if field and owner in graph.nodes and kind_of(graph, owner) == LIST:
                yield (
                    f"graph.nodes.{name}.predecessors: '{owner}' is a list, and its items have the "
                    f"fields. Name '{owner}', and go through it in the template: "
                    f"{{% for one in {owner} %}}{{{{ one.{field} }}}}{{% endfor %}}."
                )


def no_systems(graph: schema.GraphConf) -> Iterator[str]:
    """Yield which nodes would have a system message that is none, or two of them."""
    for name, node in graph.nodes.items():
        if SYSTEM not in node.parameters:
            continue
        declared = node.parameters[SYSTEM]
        if isinstance(declared, schema.ParameterConf) and declared.shared is not None:
            owner, _, local = declared.shared.rpartition(".")
            shared = graph.nodes[owner].parameters if owner in graph.nodes else graph.parameters
            declared = shared.get(local, "")  # of one that is not there others tell
        few = isinstance(declared, schema.ParameterConf) and declared.demonstrations is not None
        value = declared.value if isinstance(declared, schema.ParameterConf) else declared
        where = f"graph.nodes.{name}.parameters.{SYSTEM}"
        if few or not isinstance(value, str):
            yield f"{where}: the system message is a text: {SYSTEM}: You answer letters."
        if isinstance(node.forward, schema.Forward) and SYSTEM in node.forward.model_fields_set:
            yield (
                f"{where}: graph.nodes.{name}.forward.{SYSTEM} says another system message, which "
                "is not sent. Take one of them out."
            )


def no_temperatures(graph: schema.GraphConf) -> Iterator[str]:
    """Yield which nodes would be asked at a temperature that is none."""
    for name, node in graph.nodes.items():
        declared = node.parameters.get(TEMPERATURE)
        if isinstance(declared, schema.ParameterConf) and declared.shared is not None:
            declared = graph.parameters.get(declared.shared)
        numbers = declared.numbers if isinstance(declared, schema.ParameterConf) else None
        asks = node.forward is None or isinstance(node.forward, schema.Forward)
        if asks and numbers is not None and min(numbers.listed or (numbers.low,)) < 0:
            yield (
                f"graph.nodes.{name}.parameters.{TEMPERATURE}: a temperature is a number from 0 "
                f"on: {TEMPERATURE}: {{value: 0.2, min: 0, max: 1, step: 0.1}}."
            )
