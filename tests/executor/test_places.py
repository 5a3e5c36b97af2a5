"""Places of nodes are made once for all examples under the same parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_forward_backward import agent, graph_of

from sgdflow.executor.graph import Graph
from sgdflow.prompting import marks
from sgdflow.prompting.marks import mark_for, texts_of

TAG = "See <improved> below."


def two_layers() -> Graph:
    nodes = [agent(f"{row}_{i}", *before) for row, before in ROWS.items() for i in range(3)]
    return graph_of(*nodes, agent("end", *(f"low_{i}" for i in range(3))))


ROWS = {"top": ("question",), "low": ("question", "top_0", "top_1", "top_2")}


def test_a_place_changes_with_the_parameters_and_with_nothing_else() -> None:
    graph = two_layers()
    first = graph.initial()
    second = {**first, "top_1.instruction": TAG}
    for parameters in (first, second, first, *({**first} for _ in range(20)), second):
        for name in graph.nodes:
            place = graph.view(name, parameters)
            assert place == two_layers().view(name, parameters)
            assert place.parameters["instruction"] == parameters[f"{name}.instruction"]
    assert graph.view("low_0", first) is not graph.view("low_0", second)
    assert graph.view("low_2", second).told["top_1"] == TAG
    assert graph.view("end", second).given["low_0"] == ROWS["low"]


def test_a_place_that_no_change_concerns_stays_the_same() -> None:
    graph = two_layers()
    first = graph.initial()
    places = {name: graph.view(name, first) for name in graph.nodes}
    changed = {**first, "end.instruction": TAG}
    # Of a place are its node, what is before it, what follows it, and what is before that.
    same = {n for n in graph.nodes if graph.view(n, changed) is places[n]}
    assert same == {"top_0", "top_1", "top_2"}
    again = {**first}
    assert all(graph.view(name, again) is places[name] for name in graph.nodes)


def test_a_place_knows_its_texts() -> None:
    graph = two_layers()
    first = graph.initial()
    second = {**first, "top_1.instruction": TAG}
    values = {"question": "Q", "top_0": "<improved>"}
    for parameters in (first, second):
        for name in graph.nodes:
            place = graph.view(name, parameters, values)
            looked_for = replace(place, texts=None)
            assert texts_of(place) == texts_of(looked_for)
            assert mark_for({"n": place}, {"improved"}) == mark_for({"n": looked_for}, {"improved"})
    assert mark_for({"n": graph.view("low_0", second)}, {"improved"})
    assert not mark_for({"n": graph.view("low_0", first)}, {"improved"})
    # What only others were given is another for each example.
    assert mark_for({"n": graph.view("end", first, values)}, {"improved"})
    # Whoever sees less of a place has less to be marked.
    seen = graph.view("low_0", second).beside(["question", "top_0"])
    assert not mark_for({"n": replace(seen, successors=())}, {"improved"})


def test_places_take_work_in_proportion_to_the_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node of a wide layer would else go through what all others are told."""
    looked_into = 0

    def counted(value: Any) -> Any:
        nonlocal looked_into
        looked_into += 1
        return inside(value)

    inside = marks._inside
    monkeypatch.setattr(marks, "_inside", counted)

    def work(width: int) -> int:
        nonlocal looked_into
        nodes = [agent(f"n{i}", "question") for i in range(width)]
        graph = graph_of(*nodes, agent("end", *(one.name for one in nodes)))
        parameters, looked_into = graph.initial(), 0
        for name in graph.nodes:
            graph.view(name, parameters)
        return looked_into

    assert work(400) < 4.5 * work(100)
