"""What is kept of an example comes back as it was, and takes little."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from sgdflow.executor.branches import SKIPPED
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.kept import Kept, kept
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.executor.walk import Failure
from sgdflow.llm import Message, Usage
from sgdflow.llm.packing import Packing
from sgdflow.prompting.ask import Call


def call(number: int, node: str = "answer") -> Call:
    said = Message("user", f"What is {number} + {number}? Reply with a number.", images=("data:,",))
    again = Message("user", "Again.", again=True, longer=2, form="{}", temperature=0.5)
    used, times = Usage(12, number, 3), (1.5, 2.5)
    return Call(node, "forward", (said, again), f"{number}", used, ("no",), times, None, 0.25)


def passed(number: int, values: Mapping[str, Any]) -> ForwardPass:
    failed = Failure("answer", "it is empty", (call(number),), "empty")
    how = {"answer": "by a tool"}
    return ForwardPass(f"e{number}", values, {"answer": (call(number),)}, {"end": failed}, how)


def same(one: ForwardPass, other: ForwardPass) -> bool:
    """Compare also what equality leaves out: times and costs, what failed in vain, types."""
    return repr(one) == repr(other) and all(
        [repr(f.calls) for f in one.failures.values()][at] == repr(f.calls)
        for at, f in enumerate(other.failures.values())
    )


PLAIN = {"q": "half a character: \ud800", "n": 3, "many": [1, 2.5, None, True, {"a": ("b",)}]}


@pytest.mark.parametrize("values", [PLAIN, {"q": "x", "left": SKIPPED, "right": None}])
def test_a_pass_comes_back_as_it_was(values: Mapping[str, Any]) -> None:
    packing = Packing()
    for number in (1, 2, 3):
        whole = passed(number, values)
        small = kept(packing, whole, (call(number, "score"),))
        assert small is not None
        assert same(small.passed, whole)
        assert repr(small.calls) == repr((call(number, "score"),))
        assert [*small.values.items()] == [*values.items()]
        assert all(
            value is not SKIPPED or small.values[n] is SKIPPED for n, value in values.items()
        )
        assert Outcome(small, 1.0, None) == Outcome(whole, 1.0, None, "", "", small.calls)


class Text(str):
    """No plain text."""

    __slots__ = ()


@pytest.mark.parametrize(
    "value", [Text("x"), Decimal(1), b"x", bytearray(b"x"), memoryview(b"x"), [{1: 2}], {"s": {1}}]
)
def test_what_would_come_back_as_something_else_stays_as_it_is(value: object) -> None:
    assert kept(Packing(), passed(1, {"q": value}), ()) is None


def test_what_examples_have_in_common_takes_no_room_twice() -> None:
    packing, shared = Packing(), " ".join(map(str, range(1000)))
    each = [kept(packing, passed(n, {"document": shared}), ()) for n in range(50)]
    assert all(one and len(one.packed) < 200 for one in each[1:])


def test_an_evaluation_is_gone_with_its_last_user() -> None:
    whole = Evaluation({"e": Outcome(passed(1, PLAIN), 1.0, None)})
    assert whole.scores == {"e": 1.0}
    gone = weakref.ref(whole)
    gc.disable()
    try:
        del whole
        assert gone() is None
    finally:
        gc.enable()


def test_values_can_be_had_alone() -> None:
    small = kept(Packing(), passed(1, PLAIN), ())
    assert isinstance(small, Kept)
    assert Outcome(small, 0.0, None).values == PLAIN
