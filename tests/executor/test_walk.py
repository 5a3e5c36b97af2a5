"""The scheduler, on a clock that jumps: time passes only where a visit waits for it.

So durations are exact, a test takes no longer than its bookkeeping, and a walk that would wait for
ever is an error at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sgdflow.errors import NodeFailed
from sgdflow.executor.walk import Failure, Walked, together, walk

T = TypeVar("T")
Upstream = Mapping[str, Sequence[str]]

bounded = settings(derandomize=True, deadline=None, database=None, max_examples=50)


class Jumping(selectors.DefaultSelector):
    """Instead of waiting for a timeout, moves the clock to its end."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left that could wake this up")
        self.now += timeout
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = Jumping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(coroutine)


def now() -> float:
    return asyncio.get_running_loop().time()


class Visits:
    """A visit that takes its time, and a record of when each began and ended."""

    def __init__(self, seconds: Mapping[str, int], raising: Mapping[str, Exception]) -> None:
        self.began: dict[str, float] = {}
        self.ended: dict[str, float] = {}
        self.cancelled: dict[str, float] = {}
        self._seconds, self._raising = seconds, raising

    async def __call__(self, name: str) -> str:
        assert name not in self.began, "visited twice"
        self.began[name] = now()
        try:
            await asyncio.sleep(self._seconds[name])
        except asyncio.CancelledError:
            self.cancelled[name] = now()
            raise
        if name in self._raising:
            raise self._raising[name]
        self.ended[name] = now()
        return name.upper()


def visited(
    upstream: Upstream, seconds: Mapping[str, int], **raising: Exception
) -> tuple[Walked[str], Visits]:
    visits = Visits({name: 1 for name in upstream} | dict(seconds), raising)
    return run(walk(upstream, visits)), visits


def test_a_visit_begins_when_its_own_upstream_is_done_not_its_level() -> None:
    upstream = {
        "slow": [],
        "fast": [],
        "next": ["fast"],
        "last": ["next"],
        "both": ["last", "slow"],
    }
    walked, visits = visited(upstream, {"slow": 10})
    assert visits.began == {"slow": 0, "fast": 0, "next": 1, "last": 2, "both": 10}
    # 'last' lies two levels below 'slow' and is done long before it.
    assert visits.ended == {"slow": 10, "fast": 1, "next": 2, "last": 3, "both": 11}
    assert list(walked.results.items()) == [(name, name.upper()) for name in upstream]
    assert walked.failures == {}


def drawn(size: int, seed: int) -> tuple[dict[str, list[str]], Random]:
    """Return a random graph, declared in an order that has nothing to do with its edges."""
    random = Random(f"{size}/{seed}")
    names = [f"v_{i}" for i in range(size)]
    width = random.choice((1, 3, 20))
    upstream = {
        name: random.sample(names[:i], min(i, random.randint(0, width)))
        for i, name in enumerate(names)
    }
    return {name: upstream[name] for name in random.sample(names, size)}, random


@bounded
@given(size=st.integers(1, 200), seed=st.integers(0, 10**6))
@example(size=200, seed=0)
def test_every_variable_is_visited_once_and_no_later_than_need_be(size: int, seed: int) -> None:
    upstream, random = drawn(size, seed)
    seconds = {name: random.randint(0, 9) for name in upstream}
    walked, visits = visited(upstream, seconds)
    assert visits.ended.keys() == upstream.keys()
    for name, before in upstream.items():
        assert visits.began[name] == max((visits.ended[b] for b in before), default=0), name
    assert list(walked.results) == list(upstream)


@bounded
@given(size=st.integers(1, 200), seed=st.integers(0, 10**6))
@example(size=200, seed=0)
def test_a_failure_takes_along_exactly_what_depends_on_it(size: int, seed: int) -> None:
    upstream, random = drawn(size, seed)
    failing = {name for name in upstream if random.random() < 0.1}
    seconds = {name: random.randint(0, 9) for name in upstream}
    walked, visits = visited(
        upstream, seconds, **{name: NodeFailed(f"{name} is down") for name in failing}
    )

    def expected(name: str) -> Failure | None:
        """Return the failure of the first upstream that failed, else its own."""
        if name not in known:
            found = [failure for before in upstream[name] if (failure := expected(before))]
            own = Failure(name, f"{name} is down") if name in failing else None
            known[name] = found[0] if found else own
        return known[name]

    known: dict[str, Failure | None] = {}
    lost = {name: failure for name in upstream if (failure := expected(name))}
    assert list(walked.failures.items()) == list(lost.items())
    assert list(walked.results) == [name for name in upstream if name not in lost]
    # What depends on a failure is not even begun; what fails by itself was.
    assert visits.began.keys() == {
        name for name in upstream if name not in lost or lost[name].origin == name
    }


def test_others_finish_after_a_failure() -> None:
    upstream = {"bad": [], "good": [], "after_bad": ["bad"], "after_good": ["good"]}
    walked, visits = visited(upstream, {"good": 5}, bad=NodeFailed("no"))
    assert walked.results == {"good": "GOOD", "after_good": "AFTER_GOOD"}
    assert visits.ended == {"good": 5, "after_good": 6}
    assert walked.failures == {"bad": Failure("bad", "no"), "after_bad": Failure("bad", "no")}


def test_any_other_exception_cancels_everything_and_comes_out_as_itself() -> None:
    upstream = {"bad": [], "busy": [], "after_bad": ["bad"], "after_busy": ["busy"]}
    error = KeyError("broken")
    visits = Visits({"bad": 1, "busy": 50, "after_bad": 1, "after_busy": 1}, {"bad": error})

    async def caught() -> BaseException | None:
        try:
            await walk(upstream, visits)
        except BaseException as raised:
            assert now() == 1
            return raised
        return None

    assert run(caught()) is error
    assert visits.cancelled == {"busy": 1}
    assert visits.began.keys() == {"bad", "busy"}


def test_of_several_exceptions_at_once_the_first_comes_out() -> None:
    first, second = ValueError("first"), TypeError("second")
    upstream: Upstream = {"one": [], "two": [], "three": []}
    with pytest.raises(ValueError, match="first") as raised:
        visited(upstream, {}, one=first, two=second, three=NodeFailed("no"))
    assert raised.value is first


@pytest.mark.parametrize(
    "start",
    [
        lambda visits: walk({"a": [], "b": [], "c": ["a"]}, visits),
        lambda visits: together([visits("a"), visits("b")]),
    ],
    ids=["walk", "together"],
)
def test_cancelling_the_whole_cancels_all_that_is_under_way(
    start: Callable[[Visits], Coroutine[Any, Any, object]],
) -> None:
    visits = Visits({"a": 9, "b": 9, "c": 9}, {})

    async def interrupted() -> None:
        task = asyncio.create_task(start(visits))
        await asyncio.sleep(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(interrupted())
    assert visits.cancelled == {"a": 2, "b": 2}
    assert "c" not in visits.began


def test_together_runs_all_at_once_and_keeps_their_order() -> None:
    async def timed(work: Awaitable[T]) -> tuple[T, float]:
        return await work, now()

    visits = Visits({"a": 3, "b": 1, "c": 2}, {})
    assert run(timed(together(visits(name) for name in "abc"))) == (("A", "B", "C"), 3)
    assert list(visits.ended) == ["b", "c", "a"]
    assert run(together([])) == ()


def test_together_ends_with_the_first_exception_itself() -> None:
    error = NodeFailed("no")
    visits = Visits({"a": 9, "b": 1, "c": 2}, {"b": error, "c": ValueError("later")})
    with pytest.raises(NodeFailed) as raised:
        run(together(visits(name) for name in "abc"))
    assert raised.value is error
    assert visits.cancelled == {"a": 1, "c": 1}
