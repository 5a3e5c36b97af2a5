"""What a backward prompt shows of a node's work: all that it was given, or some beside the rest."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sgdflow.executor.demonstrations import to_show
from sgdflow.executor.fields import nested
from sgdflow.executor.graph import Operands
from sgdflow.executor.places import View
from sgdflow.executor.successes import in_view
from sgdflow.prompting.values import NOT_SHOWN, Shown, as_text, few, shortened, shown

_BEHIND = 1500
"""Characters of a value that is shown although the node was not given it."""
_BESIDE, _BESIDE_ALL, _LEAST = 300, 6000, 40
"""Characters of a value that another call is about: at most, of all of them, and at least."""


def work_shown(
    node: View, operands: Operands, targets: Collection[str], *, hidden: bool, short: bool
) -> Mapping[str, Any]:
    """Return the variables of a call about some targets.

    hidden: without other predecessors. short: with some of them, cut; what is left is counted.
    """
    known = operands.predecessors
    if hidden:
        known = {name: value for name, value in known.items() if name in targets}
        node = node.beside(known)
    whole, seen = known, known
    if short:
        node, whole = node.few(targets), {name: known[name] for name in targets if name in known}
        seen = {name: known[name] for name in node.predecessors if name in known}
    told = {name: text for name, text in node.told.items() if name in seen}
    alike = _alike(seen, told)
    if short:
        node = node.about(targets)
        most = max(_LEAST, min(_BESIDE, _BESIDE_ALL // len(seen)))
        cut = {n: shortened(str(as_text(seen[n])), most) for n in told if n not in whole}
        known, seen = {**known, **cut}, {name: cut.get(name, seen[name]) for name in seen}
    behind = {
        name: shortened(str(as_text(value)), _BEHIND)
        for name, value in node.behind.items()
        if any(name in node.given.get(one, ()) for one in whole)
    }
    told_whole = {node.name, *(name.partition(".")[0] for name in whole)}
    why = {name: text for name, text in node.reasons.items() if name in told_whole}
    left = [Shown(f"and {node.more} more", NOT_SHOWN)] if node.more else []
    return {
        **nested(known),
        **operands.parameters,
        "node": replace(node, reasons=why) if node.reasons else node,
        "predecessors": [*shown(seen), *left],
        "behind": few(behind),
        "successes": in_view(node.successes, seen),
        "alike": alike,
        "targets": list(targets),
        "parameters": to_show(operands.parameters),
    }


def _alike(values: Mapping[str, Any], told: Mapping[str, str]) -> list[list[str]]:
    """Return the groups of values that are equal, from members that are told the same.

    Different fields of one member's value are meant to be there.
    """
    groups: dict[str, list[str]] = {}
    for name, text in told.items():
        groups.setdefault(repr((text, name.partition(".")[2], values[name])), []).append(name)
    return [names for names in groups.values() if len(names) > 1]
