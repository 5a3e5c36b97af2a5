"""What calls took, by role and node, cached tokens and hard limits, over HTTP on loopback."""

from __future__ import annotations

import asyncio
import gc
import json
import sqlite3
import tracemalloc
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.descent.steps import Gating
from sgdflow.executor.outcomes import Evaluation
from sgdflow.llm import Message, Reply, Spent, Usage, address
from sgdflow.llm.allowance import Allowance
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.ledger import percentile
from sgdflow.llm.models import Price
from sgdflow.llm.providers import LitellmBackend
from sgdflow.llm.store import Store
from sgdflow.prompting.templates import Prompts
from sgdflow.records import result_record
from sgdflow.records.spending import spending_table
from sgdflow.simulation.backend import Simulated
from sgdflow.simulation.server import create_app, running
from sgdflow.simulation.worlds import reply
from sgdflow.tracking.naming import result_metrics

NOTHING = Scores({split: Evaluation({}) for split in ("train", "validation", "test")})
LIMITS = Limits(concurrency=8, timeout=10.0, retries=2, backoff=0.001)


@dataclass
class Cached:
    """Says that 60 of 100 tokens were cached, in OpenAI's way and in Anthropic's."""

    async def openai(self, request: web.Request) -> web.Response:
        choice = {"index": 0, "message": {"role": "assistant", "content": "Yes."}}
        usage = {
            "prompt_tokens": 100,
            "completion_tokens": 10,
            "total_tokens": 110,
            "prompt_tokens_details": {"cached_tokens": 60},
        }
        body = {"choices": [{**choice, "finish_reason": "stop"}], "usage": usage}
        return web.json_response(body)

    async def anthropic(self, request: web.Request) -> web.Response:
        usage = {"input_tokens": 40, "cache_read_input_tokens": 60, "output_tokens": 10}
        return web.json_response(
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "claude",
                "content": [{"type": "text", "text": "Yes."}],
                "stop_reason": "end_turn",
                "usage": {**usage, "cache_creation_input_tokens": 0},
            }
        )

    def ask(self, model: str, price: Price | None) -> Spent:
        async def main() -> Spent:
            app = create_app(lambda messages, sample: "")
            app.router.add_post("/own/chat/completions", self.openai)
            app.router.add_post("/own/v1/messages", self.anthropic)
            async with running(app) as url:
                at = url.replace("/v1", "/own")
                spec = ModelSpec(model, at, None, {"temperature": 0}, price)
                async with Client({"forward": spec}, LIMITS, {}) as llm:
                    await llm.complete("forward", [Message("user", "Is it?")], node="n")
                    return llm.spent()["forward"]

        return asyncio.run(main())


@pytest.mark.parametrize(
    ("model", "price", "cost"),
    [
        # litellm's prices for a million tokens: 0.15, cached 0.075, completion 0.60
        ("openai/gpt-4o-mini", None, (40 * 0.15 + 60 * 0.075 + 10 * 0.60) / 1e6),
        # 3, cached 0.30, completion 15
        ("anthropic/claude-sonnet-4-5", None, (40 * 3 + 60 * 0.3 + 10 * 15) / 1e6),
        ("openai/own-cached", Price(1, 2, 0.1), (40 * 1 + 60 * 0.1 + 10 * 2) / 1e6),
        ("openai/own", Price(1, 2), (100 * 1 + 10 * 2) / 1e6),
        ("openai/nobody-knows", None, None),
    ],
)
@pytest.mark.usefixtures("transport")
def test_cached_tokens_are_counted_and_cheaper(
    model: str, price: Price | None, cost: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The address of the provider, as far as prices go.
    monkeypatch.setattr(address, "_OWN", dict.fromkeys(("openai", "anthropic"), ("127.0.0.1",)))
    spent = Cached().ask(model, price)
    assert (spent.calls, spent.usage) == (1, Usage(100, 10, 60))
    assert spent.cost == (None if cost is None else pytest.approx(cost))


@pytest.mark.usefixtures("transport")
def test_a_price_is_that_of_who_was_really_asked() -> None:
    for model in ("openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5"):
        assert Cached().ask(model, None).cost is None
    assert Cached().ask("openai/gpt-4o-mini", Price(1, 2)).cost == pytest.approx(120e-6)
    backend = LitellmBackend()
    own = ModelSpec("openai/gpt-4o-mini")
    price = backend.price_of(own)
    assert price is not None
    assert price.prompt == pytest.approx(0.15)
    assert price.completion == pytest.approx(0.6)
    for base, priced in {
        "https://api.openai.com/v1": True,
        "https://eu.api.openai.com/v1": True,
        "https://api.openai.com.evil.example/v1": False,
        "http://localhost:8000/v1": False,
    }.items():
        assert (backend.price_of(replace(own, api_base=base)) is not None) == priced
        assert (replace(own, api_base=base).answers == "") == priced


def serve(
    use: Callable[[str], Awaitable[Any]], answer: Callable[[Sequence[Message], int], str]
) -> Any:
    async def main() -> Any:
        async with running(create_app(answer)) as url:
            return await use(url)

    return asyncio.run(main())


@pytest.mark.parametrize("order", list(permutations("bac")))
def test_a_shared_call_counts_for_the_first_node_by_name(order: Sequence[str]) -> None:
    async def use(url: str) -> tuple[Any, Any]:
        fails = {"extra_headers": {"x-simulate": "500,ok"}}
        models = {
            "forward": ModelSpec("openai/own", url, None, {"temperature": 0, **fails}, Price(1, 1)),
            "optimizer": ModelSpec("openai/own", url, None, {"temperature": 0}, Price(1, 1)),
        }
        async with Client(models, LIMITS, {}) as llm:
            same, own = [Message("user", "same")], [Message("user", "own!")]
            calls = [llm.complete("forward", same, node=node) for node in order[:2]]
            await asyncio.gather(*calls, llm.complete("forward", own, node="b"))
            await llm.complete("forward", same, node=order[2])
            await llm.complete("optimizer", [Message("user", "other")], node="a.instruction")
            return llm.spent(), llm.by_node()

    spent, by_node = serve(use, lambda messages, sample: "done")
    # Two attempts each, the first of which brought nothing; 1 prompt token, 1 completion token.
    twice = Spent(2, Usage(1, 1), 2e-6, {"server": 1})
    assert by_node == {
        "forward": {"a": twice, "b": twice},
        "optimizer": {"a.instruction": Spent(1, Usage(2, 1), 3e-6)},
    }
    assert spent["forward"] == Spent(4, Usage(2, 2), 4e-6, {"server": 2})


@dataclass
class Watch:
    steps: list[Step] = field(default_factory=list)

    def scored(self, initial: Scores) -> None: ...

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def descend(budget: Allowance, file: Path, *words: str) -> tuple[Result, list[Step], int, Any]:
    """Return result, steps, requests that the server saw, and what each node used."""
    sizes = ["task.splits.train=6", "task.splits.validation=3", "task.splits.test=4"]
    ready = prepare(compose(["tracking=none", *sizes, *words]), Prompts(prompt_folders(Path())), {})
    asked: list[int] = []

    def answer(messages: Sequence[Message], sample: int) -> str:
        asked.append(sample)
        return reply(messages, sample)

    async def use(url: str) -> tuple[Result, list[Step], Any]:
        spec = ModelSpec("openai/worlds", url, None, {"temperature": 0}, Price(1, 1), endpoint="e")
        limits = Limits(concurrency=5, timeout=10.0, budget=budget)
        watch = Watch()
        with closing(Store(file)) as store:
            models = dict.fromkeys(("forward", "backward", "optimizer"), spec)
            async with Client(models, limits, {}, store) as llm:
                descent = Descent(ready.problem, ready.method, llm, watch)
                result = await descent.run(ready.start)
                return result, watch.steps, llm.by_node()

    result, steps, by_node = serve(use, answer)
    return result, steps, len(asked), by_node


def rows(file: Path) -> int:
    with closing(sqlite3.connect(file)) as connection:
        return int(connection.execute("SELECT count(*) FROM replies").fetchone()[0])


def test_a_hard_limit_ends_the_run_at_once_with_what_it_has(tmp_path: Path) -> None:
    steps = ("method=paper", "method.stop.steps=3")
    whole, seen, all_calls, by_node = descend(Allowance(), tmp_path / "whole.db", *steps)
    assert whole.steps == 3
    assert set(by_node["optimizer"]) <= set(whole.parameters)
    used = {role: sum(n.values(), Spent()) for role, n in by_node.items()}
    assert {r: (s.calls, s.usage) for r, s in used.items()} == {
        r: (s.calls, s.usage) for r, s in whole.spent.items()
    }

    before_last = sum(spent.calls for spent in seen[2].spent[0].values())
    most = before_last + 3
    file = tmp_path / "cut.db"
    cut, cut_steps, calls, _ = descend(Allowance(calls=most), file, *steps)
    assert calls == most == rows(file)  # none more, and none of them lost
    assert sum(spent.calls for spent in cut.spent.values()) == most
    assert cut.stop_reason == f"budget: {most} calls of {most} (llm.limits.budget)"
    assert [step.tried.proposed for step in cut_steps] == [s.tried.proposed for s in seen[:2]]
    assert cut.steps == 2
    assert cut.parameters == seen[1].best
    assert cut.final.validation is not None
    assert cut.final.test is None  # of these parameters nothing was known
    # Started again with more to spend, it pays only for what is missing.
    on, _, more, _ = descend(Allowance(calls=10**6), file, *steps)
    assert (on, more) == (whole, all_calls - most)


@pytest.mark.parametrize("most", [Allowance(calls=5), Allowance(tokens=300), Allowance(cost=3e-4)])
def test_a_hard_limit_below_the_first_scores(most: Allowance, tmp_path: Path) -> None:
    result, steps, calls, by_node = descend(most, tmp_path / "r.db")
    assert (result.initial, result.final, steps) == (NOTHING, NOTHING, [])
    assert result.stop_reason.startswith("budget: ")
    total = sum(result.spent.values(), Spent())
    assert total.calls == calls == rows(tmp_path / "r.db")
    tokens = total.usage.prompt + total.usage.completion
    assert most.used_up(total)
    if most.calls is None:  # those under way when it was reached are the most it may be exceeded by
        each = max(one.usage.prompt + one.usage.completion for one in by_node["forward"].values())
        assert tokens < 300 + 5 * each
    json.dumps(result_record(result, {}, 0.0, by_node))


def test_an_unknown_price_ends_a_run_that_has_to_keep_to_one(tmp_path: Path) -> None:
    async def use(url: str) -> None:
        spec = ModelSpec("openai/worlds-unpriced", url, None, {"temperature": 0})
        limits = Limits(budget=Allowance(cost=4))
        async with Client({"forward": spec}, limits, {}) as llm:
            await llm.complete("forward", [Message("user", "1")], node="n")
            with pytest.raises(Exception, match=r"the cost is not known, so that \$4 cannot"):
                await llm.complete("forward", [Message("user", "2")], node="n")
            assert len(llm.latencies()["forward"]) == 1
            assert llm.latencies()["forward"][0] > 0

    serve(use, lambda messages, sample: "done")


def test_what_is_forgotten_stays_counted_and_takes_no_memory() -> None:
    async def ask(rows: range) -> Any:
        for row in rows:
            await llm.complete("forward", [Message("user", f"Row {row}?")], node=f"n{row % 2}")
        llm.forget()
        return llm.spent(), llm.by_node()

    spec = ModelSpec("simulated/worlds", parameters={"temperature": 0}, price=Price(1, 1))
    llm = Client({"forward": spec}, Limits(), {}, backend=Simulated())
    with asyncio.Runner() as runner:
        runner.run(ask(range(500)))
        tracemalloc.start()
        spent, by_node = runner.run(ask(range(500, 2500)))
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert grown < 100_000
    assert spent["forward"].calls == 2500
    assert {node: used.calls for node, used in by_node["forward"].items()} == {
        "n0": 1250,
        "n1": 1250,
    }


def test_percentiles() -> None:
    assert [percentile([5.0, 1, 4, 2, 3], share) for share in (0, 50, 95, 100)] == [1, 3, 5, 5]
    assert percentile([float(n) for n in range(1, 101)], 95) == 95


def test_the_table_and_the_metrics_tell_roles_and_nodes() -> None:
    nodes = {
        "forward": {"a": Spent(1500, Usage(90, 10, 40), 0.5), "b": Spent(1, Usage(1, 1), 0.25)},
        "optimizer": {"a.instruction": Spent(2, Usage(5, 5), None)},
    }
    spent = {role: sum(used.values(), Spent()) for role, used in nodes.items()}
    result = Result(NOTHING, NOTHING, {}, 0, 0, "steps: all 0 were taken", spent, Gating())
    record = result_record(result, {}, 1.0, nodes)
    assert [line.split() for line in spending_table(record)] == [
        ["used", "calls", "prompt", "cached", "completion", "cost"],
        ["forward", "1,501", "91", "40", "11", "$0.7500"],
        ["a", "1,500", "90", "40", "10", "$0.5000"],
        ["b", "1", "1", "0", "1", "$0.2500"],
        ["optimizer", "2", "5", "0", "5", "unknown"],
        ["in", "all", "1,503", "96", "40", "16", "unknown"],
    ]
    assert len({len(line) for line in spending_table(record)}) == 1
    metrics: Mapping[str, float] = result_metrics(record)
    assert metrics["total_by_node/forward.a.cached"] == metrics["total/tokens_forward_cached"] == 40
    assert metrics["total_by_node/forward.b.cost"] == 0.25
    assert "total_by_node/optimizer.a.instruction.cost" not in metrics
    assert Reply("x").usage.cached == 0
