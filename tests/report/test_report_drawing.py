"""Layout and picture of a graph."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from sgdflow.library.graphs import layered
from sgdflow.report.drawing import Mark, standalone
from sgdflow.report.layout import Layout, layout

HEIGHT = 40.0


def graph(depth: int, width: int, skip: bool) -> dict[str, list[str]]:
    made = layered(
        name="g", inputs=["question"], depth=depth, width=width, skip=skip, hidden="", final=""
    )
    return {"question": []} | {name: n["predecessors"] for name, n in made["nodes"].items()}


def laid_out(predecessors: dict[str, list[str]]) -> Layout:
    return layout(predecessors, {name: 60.0 + 5 * len(name) for name in predecessors}, HEIGHT)


@pytest.mark.parametrize(
    "predecessors",
    [
        {"only": []},
        {"a": [], "b": ["a"], "c": ["a", "b"]},
        graph(2, 5, False),
        graph(5, 3, True),
        graph(11, 5, False),
        graph(50, 1, True),
    ],
)
def test_boxes_stand_below_their_predecessors_and_apart(
    predecessors: dict[str, list[str]],
) -> None:
    plan = laid_out(predecessors)
    for target, sources in predecessors.items():
        for source in sources:
            assert plan.boxes[source].center.y + HEIGHT < plan.boxes[target].center.y
            route = plan.routes[source, target]
            assert route[0].x == plan.boxes[source].center.x
            assert route[-1].x == plan.boxes[target].center.x
            assert all(a.y <= b.y for a, b in pairwise(route))
    for name, box in plan.boxes.items():
        assert 0 <= box.center.x - box.width / 2
        assert box.center.x + box.width / 2 <= plan.width
        assert box.center.y + HEIGHT / 2 <= plan.height
        for other, beside in plan.boxes.items():
            if other != name and beside.center.y == box.center.y:
                apart = abs(beside.center.x - box.center.x)
                assert apart >= (box.width + beside.width) / 2


def test_edges_that_skip_layers_run_past_the_boxes_between() -> None:
    predecessors = graph(4, 3, True)
    plan = laid_out(predecessors)
    for route in plan.routes.values():
        for top, bottom in pairwise(route):
            for box in plan.boxes.values():
                if top.y <= box.center.y <= bottom.y:
                    assert top.x == bottom.x
                    assert abs(top.x - box.center.x) >= box.width / 2


def test_order_avoids_crossings_that_can_be_avoided() -> None:
    pairs = [("a", "z"), ("b", "y"), ("c", "x")]
    predecessors: dict[str, list[str]] = {"a": [], "b": [], "c": []}
    predecessors |= {"x": ["c"], "y": ["b"], "z": ["a"]}
    plan = laid_out(predecessors)
    places = [(plan.boxes[top].center.x, plan.boxes[bottom].center.x) for top, bottom in pairs]
    assert sorted(places) == sorted(places, key=lambda place: place[1])


def test_picture_is_xml_that_holds_every_variable_and_edge_as_text() -> None:
    hostile = "</title><script>x</script>\x00\ud800"
    marks = {
        "q": Mark(kind="input", tip=hostile),
        "a": Mark(note=hostile, tone=1.0),
        "tool": Mark(kind="code", output=True),
    }
    text = standalone({"q": [], "a": ["q"], "tool": ["q", "a"]}, marks, hostile)
    tree = ElementTree.fromstring(text.encode())
    svg = "{http://www.w3.org/2000/svg}"
    assert not list(tree.iter(f"{svg}script"))
    assert len(list(tree.iter(f"{svg}path"))) == 3 + 1
    shown = [node.get("data-node") for node in tree.iter(f"{svg}g") if node.get("data-node")]
    assert shown == ["a", "tool"]
    assert "".join(next(tree.iter(f"{svg}title")).itertext()).startswith("</title><script>")
