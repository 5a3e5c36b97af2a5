"""What a backward prompt shows of a node's work: all that it was given, or some beside the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sgdflow.executor.demonstrations import to_show
from sgdflow.executor.fields import nested, renewed
from sgdflow.executor.graph import Operands
from sgdflow.executor.places import Order, Ring, View
from sgdflow.executor.successes import in_view
from sgdflow.prompting.values import NOT_SHOWN, Shown, as_text, few, shortened, shown

_BEHIND = 1500
"""Characters of a value that is shown although the node was not given it."""
_BESIDE, _BESIDE_ALL, _LEAST = 300, 6000, 40
"""Characters of a value that another call is about: at most, of all of them, and at least."""


@dataclass(frozen=True)
class Work:
    """A node's work, of which each of several calls shows a part."""

    node: View
    operands: Operands

    def alone(self) -> Work:
        """Return it without right work beside it."""
        return replace(self, node=replace(self.node, successes=()))

    def shown(self, targets: Collection[str], *, hidden: bool, short: bool) -> Mapping[str, Any]:
        """Return the variables of a call about some targets.

        hidden: without other predecessors. short: with some of them, cut; what is left is counted.
        """
        node, known, ring = self.node, self.operands.predecessors, None
        if hidden:
            known = {name: value for name, value in known.items() if name in targets}
            node = node.beside(known)
        elif short:
            ring = self._ring
        whole, seen, cut = known, known, dict[str, Any]()
        if short:
            whole = {name: known[name] for name in targets if name in known}
            node = node.few(targets, ring)
            seen = {name: known[name] for name in node.predecessors if name in known}
        told = {name: text for name, text in node.told.items() if name in seen}
        alike = _alike(seen, told)
        if short:
            node = node.about(targets)
            most = max(_LEAST, min(_BESIDE, _BESIDE_ALL // len(seen)))
            cut = {n: shortened(str(as_text(seen[n])), most) for n in told if n not in whole}
            seen = {name: cut.get(name, seen[name]) for name in seen}
        left = [Shown(f"and {node.more} more", NOT_SHOWN)] if node.more else []
        return {
            **renewed(nested(known) if hidden else self._named, known, cut),
            **self.operands.parameters,
            "node": replace(node, reasons=self._why(whole)) if node.reasons else node,
            "predecessors": [*shown(seen), *left],
            "behind": few(_behind(node, whole)),
            "successes": in_view(node.successes, seen),
            "alike": alike,
            "targets": list(targets),
            "parameters": to_show(self.operands.parameters),
        }

    # What is found out about all predecessors is the same for each call.

    @cached_property
    def _ring(self) -> Ring:
        return self.node.ring

    @cached_property
    def _named(self) -> Mapping[str, Any]:
        return nested(self.operands.predecessors)

    @cached_property
    def _reasoned(self) -> Order:
        return Order(self.node.reasons)

    def _why(self, whole: Collection[str]) -> Mapping[str, str]:
        """Return how the node came to its output, and those that are shown whole to theirs."""
        told = self._reasoned.among([self.node.name, *(one.partition(".")[0] for one in whole)])
        return {name: self.node.reasons[name] for name in told}


def _behind(node: View, whole: Collection[str]) -> Mapping[str, str]:
    """Return what only those were given that are shown whole."""
    given = {name for one in whole for name in node.given.get(one, ())}
    known = {name: value for name, value in node.behind.items() if name in given}
    return {name: shortened(str(as_text(value)), _BEHIND) for name, value in known.items()}


def _alike(values: Mapping[str, Any], told: Mapping[str, str]) -> list[list[str]]:
    """Return the groups of values that are equal, from members that are told the same.

    Different fields of one member's value are meant to be there.
    """
    groups: dict[str, list[str]] = {}
    for name, text in told.items():
        groups.setdefault(repr((text, name.partition(".")[2], values[name])), []).append(name)
    return [names for names in groups.values() if len(names) > 1]
