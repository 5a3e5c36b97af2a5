"""One budget and one rate for several processes."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from backends import Answering

from sgdflow.config.models import build_calling
from sgdflow.config.schema import LLMConf
from sgdflow.errors import BudgetSpent, ConfigError
from sgdflow.llm import Message, Spent, Usage, together
from sgdflow.llm.allowance import Allowance, Cap
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client
from sgdflow.llm.database import Replies
from sgdflow.llm.models import Limits, ModelSpec
from sgdflow.llm.store import Store
from sgdflow.llm.together import Together


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Replies(tmp_path / "r.db").close()
    return tmp_path / "r.db"


async def made(cap: Together, took: Spent, most: int = 50) -> int:
    """Return how many calls one after the other may be made."""
    for number in range(most):
        try:
            await cap.enter(10)
        except BudgetSpent:
            return number
        with cap.passed():
            await asyncio.sleep(0)
        cap.add(took)
    return most


def caps(stack: ExitStack, limits: Limits, file: Path, accounts: Sequence[str]) -> list[Together]:
    return [stack.enter_context(closing(Together(limits, file, one))) for one in accounts]


@pytest.mark.parametrize(
    ("allowance", "took", "calls"),
    [
        (Allowance(calls=7), Spent(1, Usage(5, 5)), 7),
        (Allowance(tokens=60), Spent(1, Usage(5, 5)), 6),
        (Allowance(cost=0.5), Spent(1, Usage(1, 1), 0.125), 4),
        (Allowance(cost=0.5), Spent(1, Usage(1, 1), None), 1),
    ],
    ids=["calls", "tokens", "cost", "an unknown cost"],
)
def test_what_one_has_used_up_is_used_up_for_all_of_its_account(
    allowance: Allowance, took: Spent, calls: int, file: Path
) -> None:
    """Also for those who come later, and not for others."""
    limits = Limits(budget=allowance, shared=True)

    async def main() -> None:
        with ExitStack() as stack:
            one, two, other = caps(stack, limits, file, ["sweep", "sweep", "other"])
            assert await made(one, took) == calls
            assert await made(two, took) == 0
            assert await made(other, took) == calls
        with ExitStack() as stack:
            [again] = caps(stack, limits, file, ["sweep"])
            assert await made(again, took) == 0

    asyncio.run(main())


def test_the_one_word_counts_in_full_as_it_is_sent(file: Path) -> None:
    limits = Limits(budget=Allowance(tokens=60), shared=True)

    async def main() -> None:
        with ExitStack() as stack:
            one, two = caps(stack, limits, file, ["sweep", "sweep"])
            await one.enter(10)
            with one.passed():
                one.beside(Spent(1, Usage(30, 30)))
            assert await made(one, Spent(1, Usage(1, 1))) == 0
            assert await made(two, Spent(1, Usage(1, 1))) == 0
        # Where nobody shares, it is no part of the run.
        alone = Cap(Allowance(tokens=60), Spent())
        alone.beside(Spent(1, Usage(30, 30)))
        await alone.enter(10)

    asyncio.run(main())


def test_calls_that_begin_at_once_exceed_no_budget_of_calls(file: Path) -> None:
    limits = Limits(budget=Allowance(calls=20), shared=True)

    async def main() -> None:
        with ExitStack() as stack:
            found = caps(stack, limits, file, ["sweep"] * 4)
            tries = [made(cap, Spent(1)) for cap in found for _ in range(4)]
            assert sum(await asyncio.gather(*tries)) == 20
            with pytest.raises(BudgetSpent) as spent:
                await found[0].enter()
        assert str(spent.value) == (
            "budget: 20 calls of 20, of all jobs together (llm.limits.budget, llm.limits.shared)"
        )

    asyncio.run(main())


@pytest.mark.parametrize(
    "limits",
    [
        Limits(requests_per_minute=4, shared=True),
        Limits(tokens_per_minute=40, shared=True),
    ],
    ids=["requests", "tokens"],
)
def test_no_minute_sees_more_than_the_rate_of_all_together(
    limits: Limits, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "_MINUTE", 0.5)
    begun: list[float] = []

    async def calls(cap: Together) -> None:
        for _ in range(5):
            await cap.enter(10)
            with closing(sqlite3.connect(file)) as store:
                begun.extend(at for (at,) in store.execute("SELECT time FROM begun"))

    async def main() -> None:
        with ExitStack() as stack:
            await asyncio.gather(*(calls(cap) for cap in caps(stack, limits, file, ["a", "a"])))

    asyncio.run(main())
    times = sorted(set(begun))
    assert len(times) == 10
    assert all(later - first >= 0.5 for first, later in zip(times, times[4:], strict=False))


def test_a_database_that_cannot_say_lets_no_call_begin(file: Path) -> None:
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("CREATE TABLE spending (other TEXT)")

    async def main() -> None:
        with closing(Together(Limits(shared=True), file, "a")) as cap:
            with pytest.raises(BudgetSpent, match=r"cannot say what others took \(table spending"):
                await cap.enter()

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 60


class Asking(Answering):
    """Answers at once."""

    def load(self, specs: object) -> None:
        pass

    async def ask(
        self, spec: object, messages: Sequence[Message], *, sample: int, key: object, seconds: float
    ) -> Answer:
        return Answer(f"{messages[-1].content}!", "stop", Usage(1, 1), 0.5)

    async def close(self) -> None:
        pass


def test_clients_that_share_stop_together_and_stored_replies_are_free(tmp_path: Path) -> None:
    """Without being told to share, each has the whole budget."""
    spec = ModelSpec("openai/m", "http://one/v1", parameters={"temperature": 0.0})

    async def answered(words: Sequence[str], *, shared: bool, name: str) -> int:
        limits, count = Limits(budget=Allowance(calls=5), shared=shared), 0
        with closing(Store(tmp_path / f"{name}.db")) as store:
            client = Client({"forward": spec}, limits, {}, store, backend=Asking(), account="sweep")
            async with client as llm:
                for word in words:
                    try:
                        await llm.complete("forward", [Message("user", word)], node="n")
                    except BudgetSpent:
                        break
                    count += 1
        return count

    async def main() -> None:
        first, second = [f"a{n}" for n in range(4)], [f"b{n}" for n in range(4)]
        assert await answered(first, shared=True, name="one") == 4
        assert await answered([*first, *second], shared=True, name="one") == 5
        assert await answered(first, shared=False, name="two") == 4
        assert await answered([*first, *second], shared=False, name="two") == 5
        assert await answered(second, shared=False, name="two") == 4
        assert await answered(["c"], shared=True, name="one") == 0

    asyncio.run(main())


def test_limits_that_nobody_could_share_are_refused() -> None:
    llm = {"name": "n", "models": {}, "limits": {"shared": True}, "store": {"mode": "off"}}
    with pytest.raises(ConfigError) as refused:
        build_calling({}, LLMConf.model_validate(llm), 0)
    assert str(refused.value) == (
        "llm.limits.shared: jobs share their limits in the store of replies, and llm.store.mode is "
        "off. Set llm.store.mode=use, or llm.limits.shared=false."
    )
