"""A comparison as one self-contained HTML page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from xml.etree.ElementTree import Element

from sgdflow.comparison.outcomes import History, Outcome, label, values_of
from sgdflow.comparison.table import Comparison
from sgdflow.comparison.text import Section, sections_of
from sgdflow.errors import plural
from sgdflow.records.words import as_text
from sgdflow.report.chart import Dot, Line, chart
from sgdflow.report.findings import History as Learned
from sgdflow.report.overview import changes
from sgdflow.report.page import element, page, section, table
from sgdflow.tracking.reading import Texts

_COLOURS = 7
_NUMBERLESS = 1
"""Columns of a table that hold names and stand to the left."""


def as_page(
    comparison: Comparison,
    picture: str,
    progress: Mapping[str, Mapping[str, History]],
    split: str,
    texts: Texts | None = None,
) -> str:
    """Return what the best run learned (`texts`), the tables, the picture (an SVG) and curves.

    The curves are each run's `score/<split>` over its steps.
    """
    first, *others = sections_of(comparison)
    source = base64.b64encode(picture.encode()).decode()
    image = element("img", src=f"data:image/svg+xml;base64,{source}", alt="Scores with intervals")
    header = element(
        "header", element("p", "sgdflow comparison", class_="kicker"), element("h1", first.title)
    )
    body = element(
        "main",
        header,
        _learned(comparison, texts),
        section("Final scores", "picture", element("div", image, class_="scroll picture")),
        _curves(comparison, progress, split),
        *(_section(part, f"block-{i}") for i, part in enumerate(others)),
    )
    return page(first.title, [body])


def _learned(comparison: Comparison, texts: Texts | None) -> Element:
    """Return what became of the best run's texts."""
    best, split = comparison.best, comparison.split
    runs = plural(len(comparison.outcomes), "run")
    among = f", the highest of {runs}" if comparison.outcomes[1:] else ""
    chosen = " It was chosen by this score: expect less of it elsewhere." if among else ""
    said = f"{best.run.name}: final {split} score {best.score:.3f}{among}.{chosen}"
    found = {}
    if texts is not None:
        for name, after in texts.after.items():
            before = texts.before.get(name)
            start = None if before is None else as_text(before)
            found[name] = Learned(start, as_text(after), ())
    lost = element("p", "The store keeps no texts of this run.", class_="legend")
    return changes(
        found,
        "What the best run changed",
        element("p", said, class_="legend"),
        lost if texts is None else None,
    )


def _curves(
    comparison: Comparison, progress: Mapping[str, Mapping[str, History]], split: str
) -> Element | None:
    lines = [
        line
        for outcome in comparison.outcomes
        if (line := _line(comparison, outcome, progress.get(outcome.run.id, {}), split)).dots
    ]
    if not lines:
        return None
    named = [element("li", f"{', '.join(comparison.row_keys)}:")] if comparison.row_keys else []
    keys = [
        *named,
        *(
            element("li", element("i", class_=f"key {_style(i)}"), label(row))
            for i, row in enumerate(comparison.rows)
        ),
    ]
    title = f"{split.capitalize()} score over steps, one line a run"
    return section(
        title,
        "curves",
        element("div", chart(lines, (), title), class_="scroll picture"),
        element("ul", *keys, class_="keys"),
    )


def _line(
    comparison: Comparison, outcome: Outcome, progress: Mapping[str, History], split: str
) -> Line:
    row = values_of(outcome.run, comparison.row_keys)
    dots = tuple(Dot(step, score) for step, score in progress.get(f"score/{split}", ()))
    name = f"{label(row)} ({outcome.run.name})"
    return Line(name, _style(comparison.rows.index(row)), dots)


def _style(row: int) -> str:
    return f"row-{row % _COLOURS}"


def _section(part: Section, name: str) -> Element:
    rows = None
    if part.rows:
        rows = table(part.header, part.rows, numbers=len(part.header) - _NUMBERLESS)
    lines = (element("p", line, class_="legend") for line in part.lines)
    return section(part.title, name, rows, *lines)
