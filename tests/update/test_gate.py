"""Proposals on trial: the decisions of full evaluations, from fewer calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from simulated import Simulated

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.descent.trial import Trial, put_to_the_first_gate, put_to_the_gate
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.llm import Message, Reply
from sgdflow.llm.client import Client
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import result_record, step_record
from sgdflow.runs.closing import closing_words
from sgdflow.simulation.worlds import reply
from sgdflow.update import Gate

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
Outcomes = Mapping[str, float | None]
"""None: could not be scored."""


def evaluation(outcomes: Outcomes) -> Evaluation:
    return Evaluation(
        {
            i: Outcome(ForwardPass(i, {}, {}, {}), score, "broken" if score is None else None)
            for i, score in outcomes.items()
        }
    )


def tried(gate: Gate, before: Outcomes, after: Outcomes) -> tuple[Trial, list[str]]:
    """Return what became of a proposal and the examples that were scored, in order."""
    order: list[str] = []

    async def score(ids: Collection[str]) -> Evaluation:
        order.extend(i for i in ids if i not in order)
        return evaluation({i: after[i] for i in ids})

    return asyncio.run(put_to_the_gate(gate, evaluation(before), score)), order


def drawn(random: Random, kind: str, count: int) -> Outcomes:
    def one() -> float | None:
        if kind == "failing" and random.random() < 0.1:
            return None
        whole = float(random.random() < 0.6)
        return random.choice([whole, random.random(), 0.1, 0.3]) if kind == "parts" else whole

    return {str(i): one() for i in range(count)}


def changed(random: Random, before: Outcomes, share: float, kind: str) -> Outcomes:
    other = drawn(random, kind, len(before))
    return {i: other[i] if random.random() < share else before[i] for i in before}


def test_the_decision_is_that_of_the_full_evaluation() -> None:
    random, spared, accepted = Random(1), 0, 0
    for _ in range(1500):
        kind = random.choice(["binary", "parts", "failing"])
        before = drawn(random, kind, random.randint(1, 25))
        after = changed(random, before, random.choice([0.1, 0.5, 1]), kind)
        gate = Gate(
            random.choice(["strict", "not_worse", "always"]),
            random.choice([0.0, 0.0, 0.1, 0.04, 1 / 3]),
            wave=random.choice([None, 1, 2, 5, 16]),
        )
        full = gate.decide(evaluation(before), evaluation(after))
        trial, order = tried(gate, before, after)
        assert trial.decision.accepted == full.accepted, (gate, before, after)
        spared, accepted = spared + trial.spared, accepted + full.accepted
        assert len(order) == len(before) - trial.spared
        if trial.spared == 0:
            assert trial.candidate == evaluation(after)
            continue
        # Neither too early nor too late: with full marks for the rest it would still be turned
        # down, and a wave earlier it would not have been.
        assert trial.candidate is None
        best = {i: after[i] if i in order else 1.0 for i in before}
        assert not gate.decide(evaluation(before), evaluation(best)).accepted
        if order:
            assert gate.wave is not None
            shorter = order[: -gate.wave]
            best = {i: after[i] if i in shorter else 1.0 for i in before}
            assert gate.decide(evaluation(before), evaluation(best)).accepted
        scores = [2.0 if (score := before[i]) is None else score for i in order]
        assert scores == sorted(scores)
    assert spared > 1500
    assert accepted > 250


def test_a_gate_that_is_always_open_scores_all_at_once() -> None:
    waves = list(Gate("always", wave=2).waves(evaluation({str(i): 1.0 for i in range(5)})))
    assert waves == [[str(i) for i in range(5)]]


@pytest.mark.parametrize("rule", ["strict", "not_worse", "paired"])
def test_waves_are_few_however_many_examples_there_are(rule: Any) -> None:
    before = evaluation({f"{i:06}": float(i % 2) for i in range(50_000)})
    waves = list(Gate(rule, wave=16).waves(before))
    assert sorted(i for wave in waves for i in wave) == list(before.outcomes)
    assert len(waves) <= 110
    assert [len(wave) for wave in waves[:18]] == [16] * 17 + [17]


def test_the_reason_says_how_far_it_came() -> None:
    before = {"a": 1.0, "b": 0.0, "c": 1.0, "d": 0.5}
    trial, order = tried(Gate(wave=1), before, {**before, "d": 0.8, "a": 0.0})
    assert (order, trial.spared) == (["b", "d", "a"], 1)
    assert trial.decision.reason == (
        "cannot pass: 0.625 -> at most 0.45, after 3 of 4 examples (1 up, 1 down)"
    )
    assert trial.decision.most == 0.45
    trial, _ = tried(Gate(wave=2), before, {**before, "b": None})
    assert trial.decision.reason == (
        "cannot pass: an example fails with the proposal (broken), after 2 of 4 examples"
    )


@pytest.mark.parametrize(
    ("after", "passes"),
    [
        ({"a": 0.0, "b": 0.5}, False),
        ({"a": None, "b": None}, False),
        ({"a": 0.0, "b": 0.6}, True),
        ({"a": 0.1, "b": 0.0}, True),
    ],
)
def test_the_first_gate_wants_a_sampled_failure_repaired(after: Outcomes, passes: bool) -> None:
    async def score(ids: Collection[str]) -> Evaluation:
        return evaluation({i: after[i] for i in ids})

    before = evaluation({"c": 1.0, "a": 0.0, "b": 0.5})
    trial = asyncio.run(put_to_the_first_gate({"a": 0.0, "b": 0.5}, before, score))
    assert (trial is None) == passes
    if trial is not None:
        lost = sum((after[i] or 0) < score for i, score in (("a", 0.0), ("b", 0.5)))
        words = f"repairs none of the 2 sampled failures (0 up, {lost} down)"
        assert trial.decision.reason == words
        assert (trial.candidate, trial.spared) == (None, 1)


# Whole runs


class Careless(Simulated):
    """Spoils every other rewrite, so that the gate has something to turn down."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        said = await super().complete(role, messages, node=node, sample=sample)
        if role != "optimizer" or (sample + len(messages[-1].content)) % 2:
            return said
        return replace(said, text=re.sub(r"costs (\d+)", r"costs 1\1", said.text))


@dataclass(frozen=True)
class Watch:
    steps: list[Step]

    def scored(self, initial: Scores) -> None: ...

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def ready(*words: str) -> Prepared:
    few = ["task.splits.train=24", "task.splits.validation=8", "task.splits.test=2"]
    if not any(word.startswith("method=copro") for word in words):  # all known, one trial a step
        few += ["method.lazy=false", "method.proposals.fallback=false", "method.confirm=null"]
        few += ["method.sample.order=random", "method.idle=true"]
    return prepare(compose(["experiments=quickstart", "tracking=none", *few, *words]), PROMPTS, {})


@pytest.mark.parametrize(
    ("words", "wave"),
    [
        (["graph=single"], 64),
        (["graph=hints"], 32),  # both hints at once, then the answer
        (["graph=chain", "task=tickets"], 64),  # six hands, one at a time
        (["graph=clerks", "task=forms"], 13),  # five clerks at once: 65 calls
        (["graph=voted", "task=tariff"], 13),  # one node that is asked five times
        (["graph=hints", "method.gate.wave=9"], 9),
        (["graph=hints", "llm.limits.concurrency=256"], 128),
        (["graph=hints", "llm.limits.concurrency=2"], 32),
        (["graph=hints", "llm.limits.concurrency=256", "method.gate.wave=9"], 9),
        (["graph=hints", "llm.limits.concurrency=256", "method=sequence"], 128),
    ],
)
def test_a_wave_keeps_64_calls_under_way(words: Sequence[str], wave: int) -> None:
    raw = compose(["task=tariff", "llm=simulated", "tracking=none", *words])
    method = prepare(raw, PROMPTS, {}).method
    assert {one.gate.wave for one in (method, *(leg.method for leg in method.legs))} == {wave}


def descend(*words: str) -> tuple[Result, list[dict[str, Any]]]:
    prepared, watch = ready(*words), Watch([])
    descent = Descent(prepared.problem, prepared.method, Careless(), watch)
    return asyncio.run(descent.run(prepared.start)), [step_record(s) for s in watch.steps]


RUNS = [
    # Prompts that show what the gate said differ by where it stopped.
    *([f"seed={seed}", "method.update.memory=0"] for seed in range(3)),
    [
        "method=no_neighbors",
        "method.update.memory=0",
        "method.gate.rule=not_worse",
        "method.gate.examples=validation",
    ],
    ["method=copro"],
]


@pytest.mark.parametrize("words", RUNS, ids=" ".join)
def test_runs_come_to_the_same_with_fewer_calls(words: Sequence[str]) -> None:
    (full, wanted), *others = [
        descend(*words, f"method.gate.wave={wave}", "method.stop.steps=4")
        for wave in ("null", 1, 16)
    ]
    assert full.gating.spared == 0
    for result, steps in others:
        assert result.parameters == full.parameters
        assert [s["accepted"] for s in steps] == [s["accepted"] for s in wanted]
        assert [s["proposal"] for s in steps] == [s["proposal"] for s in wanted]
        assert (result.final, result.stop_reason) == (full.final, full.stop_reason)
        assert 0 <= full.gating.calls - result.gating.calls <= result.gating.spared
        saved = result.gating.calls - full.gating.calls
        assert result.spent["forward"].calls == full.spent["forward"].calls + saved
        for step, same in zip(steps, wanted, strict=True):
            gate, cut = step["gate"], step["gate"]["evaluated"] < step["gate"]["examples"]
            assert step["scores"]["candidate"] == (None if cut else same["scores"]["candidate"])
            assert cut == step["reason"].startswith("cannot pass") == (gate["spared"] > 0)


def test_early_reject_spares_calls_and_says_so() -> None:
    # With this seed Careless spoils rewrites that come to the gate.
    result, steps = descend("method.gate.wave=4", "method.stop.steps=4", "seed=1")
    assert result.gating.spared > 0
    record = result_record(result, {}, 1.0, {})
    calls = sum(record["calls"].values())
    gate = record["gate"]
    for key in ("calls", "examples", "evaluated", "spared"):
        assert gate[key] == sum(step["gate"][key] for step in steps)
    assert gate["share"] == pytest.approx(gate["calls"] / calls, abs=1e-4)
    left = gate["examples"] - gate["evaluated"]
    assert (
        f"  gate        {gate['calls']} of all calls ({gate['share']:.0%}); "
        f"{left} of {gate['examples']} examples not scored, at most {gate['spared']} calls"
    ) in closing_words(record)


def test_a_first_gate_is_passed_before_the_rest_is_scored() -> None:
    words = ["method=no_neighbors", "method.sample.count=2", "method.stop.steps=4"]
    result, steps = descend(*words, "method.gate.first=sampled")
    down = [
        s for s in steps if s["reason"].startswith("repairs none of the 2 sampled failures (0 up")
    ]
    assert len(down) > 1
    assert all(s["gate"]["evaluated"] == 2 for s in down)
    assert all(s["scores"]["candidate"] is None and not s["accepted"] for s in down)
    assert result.gating.calls == sum(s["gate"]["calls"] for s in steps)


def test_calls_for_scores_are_told_from_those_for_learning() -> None:
    """The search of copro scores its texts itself; all of it counts, and none of it twice."""
    result, steps = descend("method=copro", "method.stop.steps=2", "task.splits.validation=0")
    for step in steps:
        assert step["gate"]["calls"] == step["calls"]["forward"] > 0
    assert result.gating.calls == sum(step["gate"]["calls"] for step in steps)


@pytest.mark.parametrize("changed", ["weight", "desk"])
def test_unchanged_nodes_with_unchanged_inputs_are_not_called_again(changed: str) -> None:
    prepared = ready()
    graph, start = prepared.problem.graph, prepared.start
    others = {
        **start,
        f"{changed}.instruction": f"{start[f'{changed}.instruction']} The weight light costs 3.",
    }

    async def calls() -> list[int]:
        calling = prepared.calling
        client = Client(calling.models, calling.limits, {}, backend=calling.backend)
        async with client as llm:
            evaluate = Evaluator(graph, prepared.problem.score, llm)
            counts = []
            for parameters in (start, others, start):
                await evaluate(parameters, prepared.problem.splits.train)
                counts.append(llm.spent()["forward"].calls)
            return counts

    def distinct(*runs: Mapping[str, Any]) -> int:
        llm = ScriptedLLM(lambda role, node, messages: reply(messages, 0))

        async def work() -> None:
            for parameters in runs:
                await Evaluator(graph, prepared.problem.score, llm)(
                    parameters, prepared.problem.splits.train
                )

        asyncio.run(work())
        return len({request.messages for request in llm.requests})

    first, second, third = asyncio.run(calls())
    assert (first, second) == (distinct(start), distinct(start, others))
    assert third == second
    per_node = first / 4
    assert 0 < second - first <= (2 if changed == "weight" else 1) * per_node


# What a model could not answer


def judged(outcomes: Mapping[str, float | str]) -> Evaluation:
    """Return an evaluation; a text is the kind of a failure."""
    return Evaluation(
        {
            i: Outcome(
                ForwardPass(i, {}, {}, {}),
                (None if one == "server" else 0.0) if isinstance(one, str) else one,
                "answer: broken" if isinstance(one, str) else None,
                one if isinstance(one, str) else "",
            )
            for i, one in outcomes.items()
        }
    )


BEFORE: Mapping[str, float | str] = {"a": 0, "b": 0, "c": 1, "d": "truncated"}


@pytest.mark.parametrize(
    ("after", "accepted", "reason"),
    [
        (
            {"a": 1, "b": 1, "c": "truncated", "d": 0},
            True,
            "better: 0.25 -> 0.5 on 4 examples (2 up, 1 down); with it 1 unanswered: truncated 1",
        ),
        (
            {"a": 1, "b": 1, "c": "tool_call", "d": "malformed"},
            True,
            "better: 0.25 -> 0.5 on 4 examples (2 up, 1 down); "
            "with it 2 unanswered: malformed 1, tool_call 1",
        ),
        (
            {"a": 1, "b": 0, "c": "reasoning_only", "d": 0},
            False,
            "equal: 0.25 -> 0.25 on 4 examples (1 up, 1 down); "
            "with it 1 unanswered: reasoning_only 1",
        ),
        (
            {"a": 0, "b": 0, "c": 1, "d": 1},
            True,
            "better: 0.25 -> 0.5 on 4 examples (1 up, 0 down)",
        ),
        (
            {"a": 1, "b": 1, "c": 1, "d": "server"},
            False,
            "1 of 4 examples fail with the proposal (answer: broken)",
        ),
    ],
)
def test_a_reply_that_cannot_be_read_counts_as_wrong_and_vetoes_nothing(
    after: Mapping[str, float | str], accepted: bool, reason: str
) -> None:
    decision = Gate().decide(judged(BEFORE), judged(after))
    assert (decision.accepted, decision.reason) == (accepted, reason)

    async def score(ids: Collection[str]) -> Evaluation:
        return judged({i: after[i] for i in ids})

    trial = asyncio.run(put_to_the_gate(Gate(wave=1), judged(BEFORE), score))
    assert trial.decision.accepted == accepted


# The paired rule


def drawn_pair(random: Random, kind: str, count: int, gain: float) -> tuple[Outcomes, Outcomes]:
    before = drawn(random, kind, count)
    after = {
        i: score if score is None else min(1.0, score + (random.random() < gain))
        for i, score in changed(random, before, 0.2, kind).items()
    }
    return before, after


def test_the_paired_rule_decides_in_waves_what_it_would_decide_in_the_end() -> None:
    random, spared, accepted = Random(2), 0, 0
    for _ in range(300):
        kind = random.choice(["binary", "parts", "failing"])
        before, after = drawn_pair(random, kind, random.randint(1, 40), random.random())
        gate = Gate("paired", wave=random.choice([None, 1, 3, 16]), level=0.1)
        full = gate.decide(evaluation(before), evaluation(after))
        trial, order = tried(gate, before, after)
        assert trial.decision == full
        spared, accepted = spared + trial.spared, accepted + full.accepted
        assert len(order) == len(before) - trial.spared
        scored = [i for i in order if before[i] is not None]
        if full.gain is not None:
            gains = [(after[i] or 0) - (before[i] or 0) for i in scored]
            assert full.gain == pytest.approx(sum(gains), abs=0.005 * len(gains) + 1e-9)
    assert spared > 1000
    assert accepted > 50


def test_the_order_of_the_paired_rule_has_nothing_to_do_with_scores() -> None:
    ids = {str(i): float(i % 2) for i in range(20)}
    other = {i: 1 - score for i, score in ids.items()}
    gate = Gate("paired")
    assert [*gate.waves(evaluation(ids))] == [*gate.waves(evaluation(other))]


def test_the_paired_rule_says_what_it_saw() -> None:
    before = {str(i): 0.0 for i in range(12)}
    trial, order = tried(Gate("paired"), before, {**before, **dict.fromkeys(before, 1.0)})
    assert trial.decision.reason == (
        "shown to be better: 0 -> 1 on 8 of 12 examples (8 up, 0 down; gained 8, 8 needed)"
    )
    assert len(order) == 8
    trial, _ = tried(Gate("paired"), before, before)
    assert trial.decision.reason == (
        "no gain in sight: 0 -> 0 on 2 of 12 examples "
        "(0 up, 0 down; gained 0, no gain is enough yet)"
    )
