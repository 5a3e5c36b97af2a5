"""The tree of a run's candidates, drawn."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element

from sgdflow.records.tree import Grown, candidates, number_of
from sgdflow.report.drawing import Mark, drawing
from sgdflow.report.page import element, section
from sgdflow.report.reading import Run


def tree(run: Run) -> Element | None:
    """Return the picture; None for a run that accepted nothing, or that does not tell."""
    found = candidates(run.steps, run.initial)
    if len(found) < 2:
        return None
    chosen = number_of(found, run.parameters)
    picture = drawing(
        {one.name: [found[number].name for number in one.parents] for one in found},
        {one.name: _mark(one, chosen) for one in found},
        "Tree of candidates",
    )
    note = (
        "Each candidate stands below those that it was made from; two for a merge. The second "
        "line is the step and the mean score, on so many examples: those that the pool chose by, "
        "else those of the gate; the deeper the colour, the higher. The framed one is what is "
        "returned. Point at one for what it changed."
    )
    return section(
        "Candidates",
        "candidates",
        element("div", picture, class_="scroll picture"),
        element("p", note, class_="legend"),
        _table(found, chosen),
    )


def _mark(one: Grown, chosen: int | None) -> Mark:
    note = "" if not one.parents else f"step {one.step}"
    if found := one.pooled or one.score:
        note += f": {found['mean']:.3f} on {found['n']}"
    return Mark("input", note, one.mean, _told(one), one.number == chosen)


def _told(one: Grown) -> str:
    return f"{one.scored}, {one.origin}" if one.scored else one.origin


def _table(found: Sequence[Grown], chosen: int | None) -> Element:
    lines = [
        element("li", f"{one.name}{' (returned)' if one.number == chosen else ''}: {_told(one)}")
        for one in found
    ]
    heading = element("summary", "The same in words")
    return element("details", heading, element("ul", *lines))
