"""Where the parts of a layered drawing of a graph stand.

Layers by longest path, order within a layer by barycenters, places by least squares. An edge
that skips layers runs through bends, which all edges from the same source share.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from statistics import fmean
from typing import NamedTuple

_GAP = 28.0
_LAYER_GAP = 52.0
_MARGIN = 8.0
_SWEEPS = 12


class Spot(NamedTuple):
    """A box or, with the layer it passes, a bend of the edges from it."""

    name: str
    layer: int


class Point(NamedTuple):
    """A place in a drawing; y grows downward."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle around its center."""

    center: Point
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A finished layout, from (0, 0) on."""

    width: float
    height: float
    boxes: Mapping[str, Box]
    routes: Mapping[tuple[str, str], tuple[Point, ...]]
    """Source and target of an edge -> the points it runs through, its ends included."""


def layout(
    predecessors: Mapping[str, Sequence[str]], widths: Mapping[str, float], height: float
) -> Layout:
    """Lay out an acyclic graph from top to bottom; every predecessor has an entry of its own."""
    layers = _layers(predecessors)
    rows, upward = _with_bends(predecessors, layers)
    rows = _ordered(rows, upward)
    across = _placed(rows, upward, {s: _width(s, layers, widths) for row in rows for s in row})
    least = min(x - _width(s, layers, widths) / 2 for s, x in across.items())

    def at(spot: Spot) -> Point:
        down = _MARGIN + height / 2 + spot.layer * (height + _LAYER_GAP)
        return Point(round(across[spot] - least + _MARGIN, 1), round(down, 1))

    boxes = {
        name: Box(at(Spot(name, layer)), widths[name], height) for name, layer in layers.items()
    }
    routes = {
        (source, target): _route(source, target, layers, at, height)
        for target, sources in predecessors.items()
        for source in sources
    }
    right = max(box.center.x + box.width / 2 for box in boxes.values())
    right = max([right, *(p.x for route in routes.values() for p in route)])
    bottom = max(box.center.y for box in boxes.values()) + height / 2
    return Layout(round(right + _MARGIN, 1), bottom + _MARGIN, boxes, routes)


def _layers(predecessors: Mapping[str, Sequence[str]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in TopologicalSorter(predecessors).static_order():
        found[name] = max((found[p] + 1 for p in predecessors[name]), default=0)
    return {name: found[name] for name in predecessors}


def _with_bends(
    predecessors: Mapping[str, Sequence[str]], layers: Mapping[str, int]
) -> tuple[list[list[Spot]], dict[Spot, list[Spot]]]:
    """Return the spots of each layer, and those that each is connected with in the layer above."""
    rows: list[list[Spot]] = [[] for _ in range(max(layers.values()) + 1)]
    for name, layer in layers.items():
        rows[layer].append(Spot(name, layer))
    upward: dict[Spot, list[Spot]] = {spot: [] for row in rows for spot in row}
    for target, sources in predecessors.items():
        for source in sources:
            for layer in range(layers[source] + 1, layers[target]):
                bend = Spot(source, layer)
                if bend not in upward:
                    rows[layer].append(bend)
                    upward[bend] = [Spot(source, layer - 1)]
            upward[Spot(target, layers[target])].append(Spot(source, layers[target] - 1))
    return rows, upward


def _ordered(rows: list[list[Spot]], upward: Mapping[Spot, Sequence[Spot]]) -> list[list[Spot]]:
    """Return the layers in the best order that sweeps down and up come across."""
    downward = _reversed(upward)
    best, fewest = rows, _crossings(rows, upward)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        linked = upward if down else downward
        order = list(rows) if down else rows[::-1]
        for i in range(1, len(order)):
            order[i] = _by_barycenter(order[i], order[i - 1], linked)
        rows = order if down else order[::-1]
        crossings = _crossings(rows, upward)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _by_barycenter(
    row: Sequence[Spot], fixed: Sequence[Spot], linked: Mapping[Spot, Sequence[Spot]]
) -> list[Spot]:
    place = {spot: float(i) for i, spot in enumerate(fixed)}
    own = {spot: i * len(fixed) / max(len(row), 1) for i, spot in enumerate(row)}
    return sorted(row, key=lambda s: fmean(place[o] for o in linked[s]) if linked[s] else own[s])


def _crossings(rows: Sequence[Sequence[Spot]], upward: Mapping[Spot, Sequence[Spot]]) -> int:
    total = 0
    for above, row in itertools.pairwise(rows):
        place = {spot: i for i, spot in enumerate(above)}
        counts = [0] * len(above)  # edges of the spots so far, by where they end above
        for spot in row:
            ends = [place[other] for other in upward[spot]]
            total += sum(sum(counts[end + 1 :]) for end in ends)
            for end in ends:
                counts[end] += 1
    return total


def _placed(
    rows: Sequence[Sequence[Spot]],
    upward: Mapping[Spot, Sequence[Spot]],
    widths: Mapping[Spot, float],
) -> dict[Spot, float]:
    """Return where each spot's center stands: near those it is connected with."""
    downward = _reversed(upward)
    across: dict[Spot, float] = {}
    for row in rows:
        offsets = _offsets(row, widths)
        across |= {s: o - offsets[-1] / 2 for s, o in zip(row, offsets, strict=True)}
    for _ in range(_SWEEPS):
        for row in (*rows, *rows[::-1]):
            linked = [_pulling([*upward[s], *downward[s]], widths) for s in row]
            wanted = [
                fmean(across[o] for o in others) if others else across[s]
                for s, others in zip(row, linked, strict=True)
            ]
            offsets = _offsets(row, widths)
            free = _rising([w - o for w, o in zip(wanted, offsets, strict=True)])
            across |= {s: f + o for s, f, o in zip(row, free, offsets, strict=True)}
    return across


def _pulling(linked: Sequence[Spot], widths: Mapping[Spot, float]) -> Sequence[Spot]:
    """Leave out the bends where there are boxes: they would pull all to their side."""
    return [spot for spot in linked if widths[spot]] or linked


def _offsets(row: Sequence[Spot], widths: Mapping[Spot, float]) -> list[float]:
    """Return how far from the first each spot stands at least."""
    found = [0.0]
    for left, right in itertools.pairwise(row):
        found.append(found[-1] + (widths[left] + widths[right]) / 2 + _GAP)
    return found


def _rising(values: Iterable[float]) -> list[float]:
    """Return the numbers that never fall and are nearest to the values (isotonic regression)."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, size = value, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean = (before * count + mean * size) / (count + size)
            size += count
        blocks.append((mean, size))
    return [mean for mean, size in blocks for _ in range(size)]


def _reversed(linked: Mapping[Spot, Sequence[Spot]]) -> dict[Spot, list[Spot]]:
    found: dict[Spot, list[Spot]] = {spot: [] for spot in linked}
    for spot, others in linked.items():
        for other in others:
            found[other].append(spot)
    return found


def _width(spot: Spot, layers: Mapping[str, int], widths: Mapping[str, float]) -> float:
    return widths[spot.name] if layers[spot.name] == spot.layer else 0.0


def _route(
    source: str, target: str, layers: Mapping[str, int], at: Callable[[Spot], Point], height: float
) -> tuple[Point, ...]:
    """Return the way from the lower side of a box, straight down past boxes, to the next."""
    start, end = at(Spot(source, layers[source])), at(Spot(target, layers[target]))
    points = [Point(start.x, start.y + height / 2)]
    for layer in range(layers[source] + 1, layers[target]):
        bend = at(Spot(source, layer))
        points += [Point(bend.x, bend.y - height / 2), Point(bend.x, bend.y + height / 2)]
    return (*points, Point(end.x, end.y - height / 2))
