"""Who was asked to change, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.records.words import as_text
from sgdflow.report.reading import Record
from sgdflow.report.shape import Member, Shape
from sgdflow.update.select import Select


@dataclass(frozen=True, slots=True)
class Blame:
    """The gradients of a node over all steps and sampled examples."""

    gradients: int
    """All that arrived."""
    blamed: int
    """Those that ask for a change and that the node did not pass on to a predecessor."""


def dismissive(config: Record) -> str:
    """Return what a gradient says that asks for no change."""
    found: Any = config
    for key in ("method", "update", "select", "dismissive"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else Select().dismissive


def blame(shape: Shape, steps: Sequence[Record], phrase: str) -> Mapping[str, Blame]:
    """Return the blame of each node: what `method.update.select.rule=blamed` counts, in all."""
    counts = {name: [0, 0] for name in shape.nodes}
    for step in steps:
        for sampled in step["sampled"]:
            arrived = {
                name: _arrived(name, member, sampled["gradients"])
                for name, member in shape.nodes.items()
            }
            asking = {name: _asking(texts, phrase) for name, texts in arrived.items()}
            for name, member in shape.nodes.items():
                passed_on = any(asking.get(p) for p in member.predecessors)
                counts[name][0] += len(arrived[name])
                counts[name][1] += 0 if passed_on else asking[name]
    return {name: Blame(*found) for name, found in counts.items()}


def _arrived(name: str, member: Member, gradients: Mapping[str, Sequence[Record]]) -> list[str]:
    """Return the gradients of the node's parameters where they have some, else of its output."""
    own = [
        as_text(gradient["value"])
        for parameter in member.parameters.values()
        for gradient in gradients.get(parameter, ())
        if gradient["source"] == name
    ]
    return own or [as_text(gradient["value"]) for gradient in gradients.get(name, ())]


def _asking(texts: Sequence[str], phrase: str) -> int:
    return sum(phrase.lower() not in text.lower() for text in texts)
