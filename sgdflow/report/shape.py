"""A declared graph as plain data: what is needed to show it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sgdflow.records.words import as_text


@dataclass(frozen=True, slots=True)
class Member:
    """A node."""

    predecessors: tuple[str, ...]
    parameters: Mapping[str, str]
    """Local name -> name in the graph."""
    code: bool
    """Whether it is computed by a Python callable."""


@dataclass(frozen=True, slots=True)
class Declared:
    """A parameter as declared."""

    text: str
    frozen: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A graph."""

    name: str
    inputs: tuple[str, ...]
    nodes: Mapping[str, Member]
    parameters: Mapping[str, Declared]
    output: str

    @property
    def predecessors(self) -> Mapping[str, tuple[str, ...]]:
        """Return those of every variable; inputs have none."""
        return {i: () for i in self.inputs} | {n: m.predecessors for n, m in self.nodes.items()}


def shape_of(declaration: Mapping[str, Any]) -> Shape:
    """Return the shape of a valid declaration, one without a `_target_` of its own."""
    parameters = {
        name: _declared(value) for name, value in (declaration.get("parameters") or {}).items()
    }
    nodes: dict[str, Member] = {}
    for name, node in declaration["nodes"].items():
        own: dict[str, str] = {}
        for local, value in (node.get("parameters") or {}).items():
            shared = value.get("shared") if isinstance(value, Mapping) else None
            own[local] = shared or f"{name}.{local}"
            if shared is None:
                parameters[own[local]] = _declared(value)
        forward = node.get("forward")
        code = isinstance(forward, Mapping) and "_target_" in forward
        nodes[name] = Member(tuple(node["predecessors"]), own, code)
    return Shape(
        declaration["name"], tuple(declaration["inputs"]), nodes, parameters, declaration["output"]
    )


def _declared(value: Any) -> Declared:
    if isinstance(value, Mapping):
        return Declared(as_text(value.get("value")), bool(value.get("frozen")))
    return Declared(as_text(value), False)
