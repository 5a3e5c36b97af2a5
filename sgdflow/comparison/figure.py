"""A comparison as a picture; the only module that imports matplotlib, when it is called."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sgdflow.comparison.arrangement import Place
from sgdflow.comparison.averages import Cell
from sgdflow.comparison.outcomes import Values, label
from sgdflow.comparison.statistics import Estimate
from sgdflow.comparison.table import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOK: dict[Any, Any] = {
    "svg.hashsalt": "sgdflow",  # the same comparison gives the same bytes
    "svg.fonttype": "none",
    "text.parse_math": False,  # a $ in a configuration value is a $
    "font.size": 9,
}
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SPREAD = 0.7
"""How much of the distance between two lines the series share."""


def as_svg(comparison: Comparison) -> str:
    """Draw every cell: mean, 95 % interval and, fainter, the seeds; rows from top to bottom."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    lines, series, cells = _laid_out(comparison)
    keys = [", ".join(comparison.row_keys), ", ".join(comparison.column_keys)]
    if comparison.turned:
        keys.reverse()
    with mpl.rc_context(_LOOK):
        height = 1.2 + len(lines) * max(0.4, 0.2 * len(series))
        figure = Figure(figsize=(7, height), layout="constrained")
        axes = figure.add_subplot()
        for i, one in enumerate(series):
            offset = (i - (len(series) - 1) / 2) * _SPREAD / len(series)
            found = ((y + offset, cells.get((line, one))) for y, line in enumerate(lines))
            _draw(axes, [(y, cell) for y, cell in found if cell], i, label(one))
        axes.set_yticks(range(len(lines)), [label(line) for line in lines])
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_ylabel(keys[0])
        axes.set_xlabel(f"final {comparison.split} score: mean and 95 % interval over seeds")
        axes.grid(axis="x", color="#dddddd")
        axes.set_axisbelow(True)
        if comparison.column_keys:
            figure.legend(title=keys[1], loc="outside right upper", frameon=False)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def _laid_out(
    comparison: Comparison,
) -> tuple[tuple[Values, ...], tuple[Values, ...], Mapping[Place, Cell]]:
    """Return what stands below each other, what is told apart by colour, and the cells of both."""
    if not comparison.turned:
        return comparison.rows, comparison.columns, comparison.cells
    turned = {(column, row): cell for (row, column), cell in comparison.cells.items()}
    return comparison.columns, comparison.rows, turned


def _draw(axes: Axes, drawn: Sequence[tuple[float, Cell]], i: int, name: str) -> None:
    colour = _COLOURS[i % len(_COLOURS)]
    for y, cell in drawn:
        seeds = list(cell.spread.seeds.values())
        axes.plot(seeds, [y] * len(seeds), "|", color=colour, alpha=0.5)
    axes.errorbar(
        [cell.score.mean for _, cell in drawn],
        [y for y, _ in drawn],
        xerr=_arms([cell.score for _, cell in drawn]),
        fmt=_MARKERS[i % len(_MARKERS)],
        color=colour,
        capsize=3,
        label=name,
    )


def _arms(scores: Sequence[Estimate]) -> list[list[float]]:
    """Return the lengths of the intervals to the left and to the right; 0 without interval."""
    left = [s.mean - s.low if s.low is not None else 0.0 for s in scores]
    right = [s.high - s.mean if s.high is not None else 0.0 for s in scores]
    return [left, right]
