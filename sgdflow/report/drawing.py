"""A computational graph as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise
from typing import Literal
from xml.etree.ElementTree import Element

from sgdflow.report.layout import Box, Layout, Point, layout
from sgdflow.report.page import as_xml, element

_HEIGHT = 46.0
_LETTER = 7.6
"""Width of a letter of the font, about."""
_LONGEST = 26


@dataclass(frozen=True, slots=True)
class Mark:
    """How a variable is shown."""

    kind: Literal["input", "node", "code"] = "node"
    note: str = ""
    """A second line."""
    tone: float | None = None
    """From 0 to 1: how strongly it is coloured."""
    tip: str = ""
    """What is said of it when it is pointed at or read aloud."""
    output: bool = False


def drawing(
    predecessors: Mapping[str, Sequence[str]], marks: Mapping[str, Mark], title: str
) -> Element:
    """Return the picture, to be looked at with `style()`; every variable has an entry in both.

    Nodes and code carry `data-node`, `role="button"` and a place in the tab order.
    """
    plan = layout(predecessors, {v: _width(v, mark) for v, mark in marks.items()}, _HEIGHT)
    return element(
        "svg",
        _arrow(),
        *(_edge(source, target, plan) for source, target in plan.routes),
        *(_variable(name, mark, plan.boxes[name]) for name, mark in marks.items()),
        xmlns="http://www.w3.org/2000/svg",
        class_="graph",
        viewBox=f"0 0 {plan.width:g} {plan.height:g}",
        width=f"{plan.width:g}",
        height=f"{plan.height:g}",
        role="group",
        aria_label=title,
    )


def standalone(
    predecessors: Mapping[str, Sequence[str]], marks: Mapping[str, Mark], title: str
) -> str:
    """Return the picture as the text of an SVG file, in light and dark."""
    picture = drawing(predecessors, marks, title)
    picture.insert(0, element("style", style()))
    picture.insert(0, element("title", title))
    return as_xml(picture) + "\n"


def style() -> str:
    """Return the picture's style sheet; its colours are variables with defaults."""
    return (files("sgdflow.report") / "drawing.css").read_text(encoding="utf-8")


def _width(name: str, mark: Mark) -> float:
    letters = max(len(_short(name)), len(_short(mark.note)) * 0.9)
    return round(max(84.0, letters * _LETTER + 26), 1)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _arrow() -> Element:
    tip = element("path", d="M0 0L7 3.5L0 7z", class_="tip")
    sizes = {"markerWidth": "7", "markerHeight": "7", "refX": "6.5", "refY": "3.5"}
    return element("defs", element("marker", tip, id="arrow", orient="auto", **sizes))


def _edge(source: str, target: str, plan: Layout) -> Element:
    return element(
        "path",
        class_="edge",
        d=_curve(plan.routes[source, target]),
        marker_end="url(#arrow)",
        data_source=source,
        data_target=target,
    )


def _curve(points: Sequence[Point]) -> str:
    """Leave and reach every point vertically."""
    words = [f"M{points[0].x:g} {points[0].y:g}"]
    for start, end in pairwise(points):
        middle = (start.y + end.y) / 2
        words.append(f"C{start.x:g} {middle:g} {end.x:g} {middle:g} {end.x:g} {end.y:g}")
    return "".join(words)


def _variable(name: str, mark: Mark, box: Box) -> Element:
    x, y = box.center.x - box.width / 2, box.center.y - box.height / 2
    radius = box.height / 2 if mark.kind == "input" else 8
    sizes = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{box.width:g}", "height": f"{box.height:g}"}
    shapes = [element("rect", class_="plain", rx=f"{radius:g}", **sizes)]
    if mark.tone is not None:
        tone = f"{0.1 + 0.9 * mark.tone:.2f}" if mark.tone else "0"
        shapes.append(element("rect", class_="tone", rx=f"{radius:g}", fill_opacity=tone, **sizes))
    below = 5 if not mark.note else -3
    shapes.append(_text(_short(name), box.center.x, box.center.y + below, "name"))
    if mark.note:
        shapes.append(_text(_short(mark.note), box.center.x, box.center.y + 14, "note"))
    classes = [mark.kind, *(["output"] if mark.output else [])]
    if mark.tone is not None and mark.tone > 0.55:
        classes.append("strong")
    tip = element("title", f"{name}: {mark.tip}" if mark.tip else name)
    if mark.kind == "input":
        return element("g", tip, *shapes, class_=" ".join(classes))
    return element(
        "g",
        tip,
        *shapes,
        class_=" ".join(classes),
        tabindex=0,
        role="button",
        data_node=name,
        aria_label=f"{name}: {mark.tip}" if mark.tip else name,
    )


def _text(words: str, x: float, y: float, kind: str) -> Element:
    return element("text", words, x=f"{x:g}", y=f"{y:g}", class_=kind)
