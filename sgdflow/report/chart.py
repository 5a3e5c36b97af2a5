"""Scores over steps, as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from sgdflow.report.page import element

_WIDTH, _HEIGHT = 680, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 18, 14, 40
_TICKS = 10


@dataclass(frozen=True, slots=True)
class Dot:
    """A score after a step, with its interval where there is one."""

    step: int
    score: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Scores in the order of steps."""

    name: str
    style: str
    """A class of the style sheet, which gives the colour."""
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Flag:
    """A proposal."""

    step: int
    score: float
    accepted: bool
    tip: str


def chart(lines: Sequence[Line], flags: Sequence[Flag], title: str) -> Element:
    """Return the picture; without any score it has only its axes."""
    last = max([1, *(dot.step for line in lines for dot in line.dots), *(f.step for f in flags)])
    axes = _Axes(last)
    return element(
        "svg",
        *axes.drawn(),
        *(band for line in lines if (band := axes.band(line)) is not None),
        *(part for line in lines for part in axes.line(line)),
        *(axes.flag(flag) for flag in flags),
        class_="chart",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=title,
    )


@dataclass(frozen=True, slots=True)
class _Axes:
    """Turns steps and scores into places."""

    last: int

    def x(self, step: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * step / self.last, 1)

    def y(self, score: float) -> float:
        return round(_HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * min(max(score, 0), 1), 1)

    def drawn(self) -> list[Element]:
        found = []
        for quarter in range(5):
            y = self.y(quarter / 4)
            ends = {"x1": _LEFT, "x2": _WIDTH - _RIGHT, "y1": y, "y2": y}
            found.append(element("line", class_="rule", **ends))
            found.append(_word(f"{quarter / 4:g}", _LEFT - 8, y + 4, "end"))
        every = -(-self.last // _TICKS)
        for step in range(0, self.last + 1, every):
            found.append(_word(str(step), self.x(step), _HEIGHT - _BOTTOM + 18, "middle"))
        found.append(_word("step", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 5, "middle"))
        return found

    def band(self, line: Line) -> Element | None:
        known = [d for d in line.dots if d.low is not None and d.high is not None]
        if len(known) < 2:
            return None
        upper = [f"{self.x(d.step):g},{self.y(d.high or 0):g}" for d in known]
        lower = [f"{self.x(d.step):g},{self.y(d.low or 0):g}" for d in reversed(known)]
        return element("polygon", class_=f"band {line.style}", points=" ".join(upper + lower))

    def line(self, line: Line) -> list[Element]:
        ends = pairwise(line.dots)
        parts = [
            element(
                "line",
                class_=f"series {line.style}",
                **{"x1": self.x(a.step), "y1": self.y(a.score)},
                **{"x2": self.x(b.step), "y2": self.y(b.score)},
            )
            for a, b in ends
        ]
        for dot in line.dots:
            tip = f"{line.name}, after step {dot.step}: {dot.score:.3f}"
            if dot.low is not None and dot.high is not None:
                tip += f" ({dot.low:.2f} to {dot.high:.2f})"
            place = {"cx": self.x(dot.step), "cy": self.y(dot.score)}
            spot = element("title", tip)
            parts.append(element("circle", spot, r=3.2, class_=f"dot {line.style}", **place))
        return parts

    def flag(self, flag: Flag) -> Element:
        x, y = self.x(flag.step), self.y(flag.score)
        tip = element("title", flag.tip)
        if flag.accepted:
            return element("circle", tip, class_="flag accepted", cx=x, cy=y, r=7)
        cross = f"M{x - 5:g} {y - 5:g}l10 10m0 -10l-10 10"
        # The circle is there to be pointed at.
        around = element("circle", class_="aim", cx=x, cy=y, r=9)
        return element("g", tip, around, element("path", d=cross), class_="flag rejected")


def _word(text: str, x: float, y: float, anchor: str) -> Element:
    return element("text", text, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor)
