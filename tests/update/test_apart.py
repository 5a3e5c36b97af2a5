"""Failure modes and causes told apart: what each proposal of a step is written from."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from simulated import Simulated, Watch

from sgdflow.config.compose import changed, compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Result, Step
from sgdflow.errors import ReplyError
from sgdflow.llm import Message, Reply
from sgdflow.prompting.templates import Prompts
from sgdflow.records.details import calls_record
from sgdflow.records.run import step_record
from sgdflow.update.apart import arranged, read_causes, read_groups
from sgdflow.update.evidence import Item
from sgdflow.update.rule import Cause

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
CLUSTER = "method.aggregation.examples=cluster"
CAUSES = "method.update.critique={prompt: optimizer/causes.jinja, causes: 3}"
ONE = "method.stop.steps=1"
ITEMS = tuple(Item(str(n), "node", {}, "", ()) for n in range(1, 6))


@cache
def ready(*words: str) -> Prepared:
    raw = compose(["tracking=none", "experiments=quickstart", "task.splits.test=20"])
    return prepare(changed(raw, words), PROMPTS, {})


def optimise(*words: str, models: Simulated) -> tuple[Result, list[Step]]:
    prepared, watch = ready(*words), Watch()
    descent = Descent(prepared.problem, prepared.method, models, watch)
    return asyncio.run(descent.run(prepared.start)), watch.steps


def asked(llm: Simulated, tag: str) -> list[str]:
    texts = [r.messages[-1].content for r in llm.requests if r.role == "optimizer"]
    return [text for text in texts if f"<{tag}>" in text.split("# How to reply")[-1]]


def works(prompt: str) -> list[str]:
    """Return the pieces of work that a prompt shows, equal ones as often as it says."""
    shown: list[str] = []
    for one in re.findall(r"<example(?: name=\"\d+\")?>\n(.*?)\n</example>", prompt, re.DOTALL):
        work, _, times = one.replace(" from `desk`:", ":").partition("\n(")
        shown += [work] * int(times.partition(" ")[0] or 1)
    return shown


def parameter(prompt: str) -> str:
    return prompt.split('<parameter name="')[1].split('"')[0]


def test_each_failure_mode_is_mended_by_a_proposal_that_sees_it_alone() -> None:
    llm = Simulated()
    _, (step,) = optimise(CLUSTER, ONE, models=llm)
    grouped = {parameter(text): works(text) for text in asked(llm, "groups")}
    assert grouped
    written: dict[str, list[list[str]]] = {}
    for text in asked(llm, "improved"):
        written.setdefault(parameter(text), []).append(works(text))
    assert any(len(groups) > 1 for groups in written.values())
    for name, groups in written.items():
        assert len(groups) <= 3
        shown = [work for group in groups for work in group]
        assert sorted(shown) == sorted(grouped[name])
    assert 1 < len(step.proposals) <= 3
    for one in step.proposals:
        for name, cause in one.proposal.causes.items():
            behind = {item.example for item in cause.items}
            assert behind <= {item.example for item in step.tried.evidence[name]}
    # What was learned, and asked for, is told once.
    record = calls_record(step, {})
    sampled = [one["example"] for one in record["examples"]]
    assert len(sampled) == len(set(sampled)) == 8
    made = sum(len(calls) for calls in record["updates"].values())
    assert made == sum(r.role == "optimizer" for r in llm.requests)
    told = step_record(step)
    labels = [
        cause["label"]
        for one in (told, *told["others"])
        for cause in one.get("causes", {}).values()
    ]
    assert all("should" in label or "costs" in label or "lacking" in label for label in labels)


def test_what_is_learned_apart_is_learned() -> None:
    for words in ([CLUSTER], [CAUSES], [CLUSTER, "method.pool.keep=4", "method.lazy=false"]):
        result, _ = optimise(*words, models=Simulated())
        assert result.final.test is not None
        assert result.initial.test is not None
        assert result.final.test.mean > result.initial.test.mean + 0.5, words


def test_each_cause_is_tried_by_itself_on_a_minibatch() -> None:
    llm = Simulated()
    small = ("method.gate.examples=sampled", "method.gate.guard=0")
    _, (step,) = optimise(CAUSES, *small, ONE, models=llm)
    named = asked(llm, "critique")
    assert len(named) == len({parameter(text) for text in named})  # one call each
    causes = [
        re.findall(r"<cause>\n(.*?)\n</cause>", text, re.DOTALL)[0]
        for text in asked(llm, "improved")
    ]
    assert len(causes) == len(set(causes)) > len(named)
    assert 1 < len(step.proposals) <= 3
    sampled = {one.forward.example for one in step.tried.learned}
    for one in step.proposals:
        assert one.trial.current is not None
        assert set(one.trial.current.outcomes) <= sampled
    accepted = [one for one in step.proposals if one.decision.accepted]
    assert len(accepted) <= 1  # one can be kept
    beaten = [one for one in step.proposals if "another proposal" in one.decision.reason]
    assert all(one.gain <= accepted[0].gain for one in beaten)


class Mumbling(Simulated):
    """Models that group nothing, or only when asked again."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        said = await super().complete(role, messages, node=node, sample=sample)
        bad = said.text.startswith(("<groups>", "<critique>")) and sample < 1000 * self.times
        return Reply(said.text.replace(":", " =")) if bad else said


@pytest.mark.parametrize("how", [CLUSTER, CAUSES])
def test_where_nothing_is_told_apart_all_is_mended_at_once(how: str) -> None:
    """As if nothing had been asked: the plain rule is the oracle."""
    plain, steps = optimise("method.aggregation.examples=collect", models=Simulated())
    result, mumbled = optimise(how, models=Mumbling(3))
    assert result.parameters == plain.parameters
    assert [s.tried.proposal.changes for s in mumbled] == [s.tried.proposal.changes for s in steps]
    assert all(len(one.proposals) == 1 for one in mumbled)
    for name, calls in mumbled[0].tried.proposal.calls.items():
        assert len(calls[0].malformed) == 3, name
        assert "is not of the form" in calls[0].malformed[0]


def test_what_is_declared_to_be_skipped_is_skipped_with_the_reason() -> None:
    words = ["method.aggregation.examples={rule: cluster, fallback: skip}", ONE]
    _, (step,) = optimise(*words, models=Mumbling(3))
    assert not step.tried.proposal.changes
    assert step.tried.proposal.skipped
    for reason in step.tried.proposal.skipped.values():
        assert reason.startswith("causes: 3 replies of the optimizer model could not be used: ")


def test_a_bad_reply_is_asked_for_again() -> None:
    _, (step,) = optimise(CLUSTER, ONE, models=Mumbling(1))
    assert len(step.proposals) > 1
    assert step_record(step)["malformed"] == len(step.tried.evidence) or step.others


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("zones: 1, 2", "the examples 3, 4, 5 are in no group; put each into exactly one"),
        ("zones: 1, 2, 3, 4", "example 5 is in no group; put each into exactly one"),
        ("a: 1, 2\nb: 2, 3, 4, 5", "example 2 stands twice; put it into one group"),
        ("a: 1, 1, 2, 3, 4, 5", "example 1 stands twice; put it into one group"),
        ("a: 1, 2, 3, 4, 5, 6", "there is no example 6; they have the numbers 1 to 5"),
        ("a: 0, 1", "there is no example 0; they have the numbers 1 to 5"),
        ("a: 1\nb: 2\nc: 3\nd: 4, 5", "there are 4 groups; give 3 at most"),
        ("a: 1, 2\nA: 3, 4, 5", 'two of the groups are called "a"; join them'),
        ("zones", '"zones" is not of the form "what its examples have in common: 1, 3"'),
        (": 1, 2, 3", '": 1, 2, 3" is not of the form "what its examples have in common: 1, 3"'),
    ],
)
def test_groups_that_cannot_be_used_are_told(reply: str, why: str) -> None:
    with pytest.raises(ReplyError) as refused:
        read_groups(reply, ITEMS, 3)
    assert str(refused.value) == why


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("a: b\nc: d\ne: f\ng: h", "there are 4 causes; give 3 at most"),
        ("zones: none\nzones: some", 'two of the causes are called "zones"; join them'),
        ("the zones", '"the zones" is not of the form "two or three words: what the'),
        ("zones:", '"zones:" is not of the form "two or three words: what the'),
    ],
)
def test_causes_that_cannot_be_used_are_told(reply: str, why: str) -> None:
    with pytest.raises(ReplyError) as refused:
        read_causes(reply, ITEMS, 3)
    assert str(refused.value).startswith(why)


def test_what_is_read_is_what_was_written() -> None:
    groups = read_groups("- rare: 4\n- zones: east, west: 1, 3,5\nweights : 2.", ITEMS, 3)
    assert [(one.label, [item.example for item in one.items]) for one in groups] == [
        ("zones: east, west", ["1", "3", "5"]),
        ("rare", ["4"]),
        ("weights", ["2"]),
    ]
    causes = read_causes("1. zones: it lacks: all of them\n- sums: off by 2", ITEMS, 3)
    assert [one.words for one in causes] == ["zones: it lacks: all of them", "sums: off by 2"]
    assert all(one.items == ITEMS for one in causes)


def overlap(alternatives: Sequence[dict[str, Cause]]) -> int:
    return sum(
        len({i.example for i in a.items} & {i.example for i in b.items})
        for one in alternatives
        for a, b in combinations(one.values(), 2)
    )


def test_causes_of_the_same_failures_come_together() -> None:
    """Every cause once, in no more proposals than declared; a known partition is found again."""
    random = Random(3)
    for _ in range(200):
        modes = [[str(10 * mode + n) for n in range(random.randint(1, 4))] for mode in range(3)]

        def cause(mode: int, modes: Sequence[Sequence[str]] = modes) -> Cause:
            items = tuple(Item(example, "node", {}, "", ()) for example in modes[mode])
            return Cause(f"mode {mode}", "", items)

        causes = {
            name: random.sample([*map(cause, range(3))], random.randint(1, 3)) for name in "abcd"
        }
        found = list(arranged(causes, 3))
        assert len(found) <= 3
        placed = sorted((n, c.label) for one in found for n, c in one.causes.items())
        assert placed == sorted((n, c.label) for n, own in causes.items() for c in own)
        for one in found:
            assert list(one.evidence) == [name for name in causes if name in one.evidence]
        if len(causes["a"]) == 3:  # then each has a place that is its own
            assert all(len({c.label for c in one.causes.values()}) == 1 for one in found)


Reader = Callable[[str, Sequence[Item], int], Sequence[Cause]]


@pytest.mark.parametrize("read", [read_groups, read_causes])
def test_any_reply_is_read_or_refused(read: Reader) -> None:
    random = Random(7)
    parts = ["zones", ":", " ", "1", ", ", "2", "\n", "- ", "3. ", "5", "é", ".", "99999999999999"]
    for _ in range(3000):
        reply = "".join(random.choices(parts, k=random.randint(1, 14)))
        with suppress(ReplyError):
            assert 1 <= len(read(reply, ITEMS[:2], 2)) <= 2
