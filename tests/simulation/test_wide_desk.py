"""A desk of thirty analysts, whose orders have few parts each."""

from __future__ import annotations

import pytest

from sgdflow.simulation.tariff import desk, language, orders
from sgdflow.simulation.tariff.language import read_order


def test_orders_of_a_wide_desk_have_as_few_parts_as_is_declared() -> None:
    graph = desk(name="desk", family="sum", parts=30)
    analysts = graph["nodes"]["desk"]["predecessors"]
    assert len(analysts) == 30
    examples = orders(family="sum", parts=30, count=200, seed=1, most=2).shared
    read = [read_order([example.inputs["order"]]) for example in examples]
    assert {tuple(one) for one in read} == {tuple(analysts)}
    assert {sum(bool(kind) for kind in one.values()) for one in read} == {1, 2}
    assert {part for one in read for part, kind in one.items() if kind} == set(analysts)


def test_most_changes_no_order_where_it_is_not_said() -> None:
    plain, all_of_them = (
        orders(family="sum", parts=3, count=50, seed=1, most=most).shared for most in (None, 3)
    )
    assert plain == all_of_them


def test_an_instruction_is_read_once_for_all_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences: list[str] = []

    def read_facts(text: str) -> language.Facts:
        sentences.append(text)
        return read(text)

    read = language.read_facts
    monkeypatch.setattr(language, "read_facts", read_facts)
    said = ["Price the weight and the zone.", "The service overnight costs 24."]
    assert language.named_parts(" ".join(said)) == ["weight", "zone"]
    assert sentences == said
