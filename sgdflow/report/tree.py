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
        "line is the step and the score that it was accepted with; the deeper the colour, the "
        "higher. The framed one is what is returned. Point at one for what it changed."
    )
    return section(
        "Candidates",
        "candidates",
        element("div", picture, class_="scroll picture"),
        element("p", note, class_="legend"),
        _table(found, chosen),
    )


def _mark(one: Grown, chosen: int | None) -> Mark:
    score = one.score["mean"] if one.score else None
    note = "" if not one.parents else f"step {one.step}"
    if score is not None:
        note += f": {score:.3f}"
    return Mark("input", note, score, one.origin, one.number == chosen)


def _table(found: Sequence[Grown], chosen: int | None) -> Element:
    lines = [
        element("li", f"{one.name}{' (returned)' if one.number == chosen else ''}: {one.origin}")
        for one in found
    ]
    heading = element("summary", "The same in words")
    return element("details", heading, element("ul", *lines))
