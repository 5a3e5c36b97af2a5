"""Evidence of many examples, summed up for the writer: what it is shown, and what is learned."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest
from simulated import Simulated, Watch

from sgdflow.config.compose import changed, compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Result, Step
from sgdflow.errors import CallFailed, ReplyError
from sgdflow.executor.tree import Summary
from sgdflow.llm import Message, Reply
from sgdflow.prompting.templates import Prompts
from sgdflow.records.details import calls_record
from sgdflow.update.checks import check_text
from sgdflow.update.evidence import Item

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
TREE = "method.aggregation.examples=tree"


@cache
def ready(*words: str) -> Prepared:
    raw = compose(["tracking=none", "experiments=quickstart", "task.splits.test=20"])
    return prepare(changed(raw, words), PROMPTS, {})


def optimise(*words: str, models: Simulated) -> tuple[Result, list[Step]]:
    prepared, watch = ready(*words), Watch()
    descent = Descent(prepared.problem, prepared.method, models, watch)
    return asyncio.run(descent.run(prepared.start)), watch.steps


def rewrites(llm: Simulated) -> list[str]:
    found = [r for r in llm.requests if r.role == "optimizer"]
    texts = [r.messages[-1].content for r in found]
    return [text for text in texts if "<improved>" in text]


def test_a_writer_sees_one_summary_however_many_examples_there_are() -> None:
    lengths: dict[str, list[int]] = {}
    for how in ("collect", "tree"):
        for count in (8, 32):
            llm = Simulated()
            words = (f"method.aggregation.examples={how}", f"method.sample.count={count}")
            optimise(*words, "method.stop.steps=1", models=llm)
            lengths.setdefault(how, []).append(max(map(len, rewrites(llm))))
            if how == "tree":
                asked = [r.messages[-1].content for r in llm.requests if r.role == "optimizer"]
                summing = [text for text in asked if "<summary>" in text]
                most = max(len(re.findall("<example>", text)) for text in summing)
                assert 2 <= most <= 8
                whole = [text for text in rewrites(llm) if "<summary name=" in text]
                assert whole
                assert not any("<example>" in text for text in whole)
    assert lengths["collect"][1] > 1.8 * lengths["collect"][0]
    assert lengths["tree"][1] < 1.2 * lengths["tree"][0]


def test_what_is_summed_up_is_learned_all_the_same() -> None:
    llm = Simulated()
    result, steps = optimise(TREE, "method.sample.count=16", models=llm)
    assert result.final.test is not None
    assert result.initial.test is not None
    assert result.final.test.mean > result.initial.test.mean + 0.5
    made = calls_record(steps[0], {})["updates"]
    for name, calls in made.items():
        assert "summary" in calls[0]["messages"][-1]["content"], name
        assert "<improved>" in calls[-1]["messages"][-1]["content"]
    counted = sum(len(calls) for calls in made.values())
    assert counted == sum(r.role == "optimizer" for r in llm.requests[: len(llm.requests)]) - sum(
        len(calls) for step in steps[1:] for calls in calls_record(step, {})["updates"].values()
    )
    # The evidence itself stays on record, as the next step compares with it.
    assert all(len(items) > 1 for items in steps[0].tried.evidence.values())


class Mumbling(Simulated):
    """Models whose summaries cannot be read."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        said = await super().complete(role, messages, node=node, sample=sample)
        return Reply("mm") if said.text.startswith("<summary>") else said


def test_a_parameter_whose_evidence_cannot_be_summed_up_is_skipped_with_the_reason() -> None:
    llm = Mumbling()
    _, steps = optimise(TREE, "method.sample.count=16", "method.stop.steps=1", models=llm)
    skipped = steps[0].tried.proposal.skipped
    assert skipped
    for reason in skipped.values():
        assert reason.startswith("summary: 3 replies of the optimizer model could not be used")
    assert not rewrites(llm)


class Narrow(Simulated):
    """A writer whose window has room for so many pieces of work."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        said = await super().complete(role, messages, node=node, sample=sample)
        if role == "optimizer" and messages[-1].content.count("\nFeedback") > self.room:
            raise CallFailed("the prompt does not fit", "context_window")
        return said


def test_evidence_that_does_not_fit_the_window_is_summed_up_and_never_cut() -> None:
    """A writer that may declare the tree beforehand is the oracle, as far as it sums up."""
    words = ("method.sample.count=16", "method.proposals.fallback=false", "method.stop.steps=1")
    _, (step,) = optimise(*words, models=(llm := Narrow(3)))
    assert not step.tried.proposal.skipped
    assert step.tried.proposal.changes
    assert all(summary.of > 3 for summary in step.tried.proposal.summaries.values())
    assert set(step.tried.proposal.summaries) == set(step.tried.evidence)
    made = calls_record(step, {})["updates"]
    assert sum(map(len, made.values())) == sum(r.role == "optimizer" for r in llm.requests)
    _, (declared,) = optimise(TREE, *words, models=Simulated())
    assert step.tried.proposal.changes == declared.tried.proposal.changes
    _, (lost,) = optimise(*words, models=Narrow(0))
    assert not lost.tried.proposal.changes
    assert all("the prompt does not fit" in why for why in lost.tried.proposal.skipped.values())


def test_a_text_that_copies_a_query_behind_a_summary_is_refused() -> None:
    query = "Weight: heavy. Zone: east. Service: express. Deliver by noon."
    behind = Item("1", "node", {"order": query}, "12", ())
    item = Item("", "", {}, "", (), summary=Summary("It lacks the zones.", 4), behind=(behind,))
    check_text("Name the price of each zone, always.", "Price it.", [item])
    with pytest.raises(ReplyError, match="it copies"):
        check_text(f"Price it. {query}", "Price it.", [item])
