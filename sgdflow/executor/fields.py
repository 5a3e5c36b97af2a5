"""Fields of structured values, which are variables of their own: a node's, by `node.field`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sgdflow.errors import NodeFailed, did_you_mean, listed, shortly
from sgdflow.executor.branches import SKIPPED
from sgdflow.executor.graph import Computed, Node, Operands
from sgdflow.executor.places import View
from sgdflow.llm import LLM


@dataclass(frozen=True, slots=True)
class FieldForward:
    """A forward function that takes a field out of its one predecessor; one left out is None."""

    field: str
    optional: bool = False
    ask: None = None
    requests: int = 0
    largest: str = ""

    @property
    def code(self) -> str:
        """Return the field."""
        return self.field

    @property
    def described(self) -> str:
        """Return the field, in words."""
        return f"the field {self.field}"

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return the field."""
        (name, value), *_ = operands.predecessors.items()
        if value is SKIPPED:
            return Computed(SKIPPED)
        if not isinstance(value, Mapping):
            found = shortly(repr(value))
            raise NodeFailed(f"'{name}' is {found}, which has no field '{self.field}'")
        if self.field not in value and not self.optional:
            fields = [str(one) for one in value]
            raise NodeFailed(
                f"'{name}' has no field '{self.field}'.{did_you_mean(self.field, fields)} "
                f"It has: {listed(fields)}"
            )
        return Computed(value.get(self.field))

    def problems(self, node: Node) -> Iterator[str]:
        """Yield that there is not exactly one predecessor."""
        if len(node.predecessors) != 1:
            yield "takes a field out of one predecessor; name exactly one."


def nested(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return values as templates name them: a field stands within a mapping of its node's name.

    Where the whole node is there, its field is, too.
    """
    found: dict[str, Any] = {name: value for name, value in values.items() if "." not in name}
    for name, value in values.items():
        owner, _, field = name.partition(".")
        if field and owner not in values:
            found.setdefault(owner, {})[field] = value
    return found


def renewed(
    named: Mapping[str, Any], known: Mapping[str, Any], some: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return what `nested` returned for known values, with other ones in the place of some."""
    found = dict(named)
    for name, value in some.items():
        owner, _, field = name.partition(".")
        if not field:
            found[name] = value
        elif owner not in known:
            found[owner] = {**found[owner], field: value}
    return found
