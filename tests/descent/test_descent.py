"""Semantic gradient descent on a small world in which knowledge enters through feedback only.

Questions are letters and the answer to a letter is its capital. `recall` knows the letters that its
instruction names ("Know a."), `answer` repeats what `recall` says. The model that differentiates
passes on the expected answer, and the one that rewrites adds to the instruction what it is shown.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Literal, TypeVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sgdflow.config.paths import prompt_folders
from sgdflow.data import Example, Splits
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.descent.budget import Budget
from sgdflow.descent.method import Method, Problem, Sample, Stop
from sgdflow.errors import CallFailed
from sgdflow.executor.backward import BackwardPass, Differentiation
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import ForwardPass, PromptForward
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS, Gradient, Gradients
from sgdflow.executor.graph import Graph, Node, Parameter, Parameters
from sgdflow.executor.loss import CallableLoss, PromptLoss
from sgdflow.executor.means import summarise
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.executor.scores import Score
from sgdflow.llm import Message, Reply
from sgdflow.llm.scripted import Request, Said, ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.records import FORMAT, RunFolder, as_yaml, step_record
from sgdflow.records.source import read_steps
from sgdflow.update import Decision, Gate, Item, Rewrite, gather_evidence
from sgdflow.update import evidence as items
from sgdflow.update.decision import Moved

T = TypeVar("T")
Rule = Literal["strict", "not_worse", "always"]
Learn = Callable[[str, Sequence[str]], Said]
"""Current instruction, letters it was wrong about -> what the optimizer replies."""

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
RECALL, ANSWER = "recall.instruction", "answer.instruction"


# The world


def tagged(text: str) -> str:
    return f"Here it is. <improved>{text}</improved>"


def add_what_was_missing(text: str, letters: Sequence[str]) -> Said:
    return tagged(" ".join([text, *(f"Know {letter}." for letter in letters)]))


def in_turn(*texts: Said) -> Learn:
    """Return a learner that writes these texts, one a step."""
    left = iter(texts)

    def learn(text: str, letters: Sequence[str]) -> Said:
        said = next(left)
        return tagged(said) if isinstance(said, str) else said

    return learn


def between(tag: str, prompt: str) -> list[str]:
    return re.findall(rf"<{tag}[^>]*>\n(.*?)\n</{tag}>", prompt, re.DOTALL)


@dataclass(frozen=True)
class World:
    learn: Learn = add_what_was_missing
    style: Learn = lambda text, letters: tagged(text)
    """Of the instruction of `answer`."""

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
        prompt = next(m for m in messages if m.role == "user").content
        if role == "optimizer":
            learn = self.learn if node == RECALL else self.style
            letters = re.findall(r"It should be ([A-Z])\.", prompt)
            return learn(between("parameter", prompt)[0], [letter.lower() for letter in letters])
        if role == "backward":
            (feedback,) = re.findall(r"^Feedback from `loss`: (.*)$", prompt, re.MULTILINE)
            said = "It is right." if "is right" in feedback else f"It should be {feedback[-1]}."
            return f'<gradient name="recall">{said}</gradient>'
        (given,) = between("variable", prompt)
        if node == "answer":
            return given
        (instruction,) = between("instruction", prompt)
        if f"Fail at {given}." in instruction:
            return CallFailed(f"cannot do {given}", "overloaded")
        return given.upper() if f"Know {given}." in instruction else "unknown"


def node(name: str, *predecessors: str, **parameters: str) -> Node:
    ask = Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("text"))
    return Node(name, predecessors, parameters, PromptForward(ask))


def letters_graph(recall: str = "Recall.", answer: str = "Answer.") -> Graph:
    return Graph(
        "letters",
        ("letter",),
        {RECALL: Parameter(RECALL, recall), ANSWER: Parameter(ANSWER, answer)},
        {
            "recall": node("recall", "letter", instruction=RECALL),
            "answer": node("answer", "recall", instruction=ANSWER),
        },
        "answer",
    )


JOINT = PromptBackward(
    Ask(PROMPTS, "backward/joint.jinja", "backward", ReplyFormat("tagged", "gradient"))
)
REWRITE = Rewrite(
    Ask(PROMPTS, "optimizer/rewrite.jinja", "optimizer", ReplyFormat("tagged", "improved"))
)
METHOD = Method(
    name="test",
    sample=Sample("failing", 1),
    loss=PromptLoss(PROMPTS, "loss/expected.jinja"),
    differentiation=Differentiation(JOINT),
    aggregate_examples=items.collect,
    update=REWRITE,
    gate=Gate(),
    stop=Stop(),
)


def exactly(output: object, target: object) -> float:
    return float(output == target)


@dataclass
class Watch:
    initial: Scores | None = None
    steps: list[Step] = field(default_factory=list)

    def scored(self, initial: Scores) -> None:
        self.initial = initial

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


@dataclass(frozen=True)
class Run:
    result: Result
    steps: list[Step]
    llm: ScriptedLLM

    def count(self, role: str) -> int:
        return sum(request.role == role for request in self.llm.requests)

    def asked_about(self, role: str) -> set[str]:
        return {request.node for request in self.llm.requests if request.role == role}

    def lines(self) -> list[str]:
        return [json.dumps(step_record(step), ensure_ascii=False) for step in self.steps]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(30):
            return await coroutine

    return asyncio.run(bounded())


def descend(
    script: World | ScriptedLLM,
    method: Method = METHOD,
    train: str = "abcd",
    validation: str = "",
    optimised: Sequence[str] = (RECALL, ANSWER),
    graph: Graph | None = None,
    seed: int = 0,
) -> Run:
    def split(letters: str) -> tuple[Example, ...]:
        return tuple(Example(f"id {one}", {"letter": one}, one.upper()) for one in letters)

    graph = graph or letters_graph()
    splits = Splits(split(train), split(validation), split("z"))
    problem = Problem(graph, Score(Function(exactly, "exactly")), splits, tuple(optimised), seed)
    llm = script if isinstance(script, ScriptedLLM) else ScriptedLLM(script)
    watch = Watch()
    result = run(Descent(problem, method, llm, watch).run(graph.initial()))
    assert watch.initial == result.initial or method.report_train or method.confirm
    assert [step.number for step in watch.steps] == list(range(1, result.steps + 1))
    return Run(result, watch.steps, llm)


def known(parameters: Parameters) -> str:
    """Return the letters that these parameters know."""
    return "".join(re.findall(r"Know (\w)\.", parameters[RECALL]))


def test_what_is_only_reported_counts_against_no_budget_when_it_is_asked_again() -> None:
    """The test example is lost at first; the runs are those to which that did not happen."""

    class Broken:
        def __init__(self) -> None:
            self.world, self.lost = World(), False

        def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
            if not self.lost and "\nz\n" in messages[-1].content:
                self.lost = True
                return CallFailed("the connection broke", "connection")
            return self.world(role, node, messages)

    steps = set()
    for calls in range(8, 24):
        method = replace(METHOD, stop=Stop(budget=Budget(calls=calls)))
        whole, broken = descend(World(), method), descend(ScriptedLLM(Broken()), method)
        assert broken.lines() == whole.lines()
        assert broken.result.stop_reason == whole.result.stop_reason
        assert broken.count("forward") == whole.count("forward") + 1
        steps.add(len(whole.steps))
    assert len(steps) > 1


# When it ends


USELESS = "Recall. Whatever."


@pytest.mark.parametrize(
    ("learn", "stop", "steps", "accepted", "reason"),
    [
        (add_what_was_missing, Stop(steps=2), 2, 2, "steps: all 2 were taken"),
        (add_what_was_missing, Stop(steps=0), 0, 0, "steps: all 0 were taken"),
        (add_what_was_missing, Stop(), 4, 4, "score: 1 on all 4 training examples"),
        (add_what_was_missing, Stop(score=0.5), 2, 2, "score: 0.5 on all 4 training examples"),
        (add_what_was_missing, Stop(score=0.51), 3, 3, "score: 0.75 on all 4 training examples"),
        (
            lambda text, letters: tagged(USELESS),
            Stop(patience=3),
            3,
            0,
            "patience: 3 steps in a row without an accepted proposal",
        ),
        (  # an accepted proposal gives it new patience
            in_turn(USELESS, "Know a.", USELESS, "Know a. Know b.", USELESS, USELESS, "Know c."),
            Stop(patience=2),
            6,
            2,
            "patience: 2 steps in a row without an accepted proposal",
        ),
    ],
)
def test_it_ends_for_a_reason(
    learn: Learn, stop: Stop, steps: int, accepted: int, reason: str
) -> None:
    made = descend(World(learn), replace(METHOD, stop=stop))
    assert made.result.stop_reason == reason
    assert (made.result.steps, made.result.accepted) == (steps, accepted)
    assert [step.tried.decision.accepted for step in made.steps].count(True) == accepted
    final = made.result.final.train
    assert final is not None
    assert final.mean == len(known(made.result.parameters)) / 4


def test_it_ends_where_no_training_example_can_be_scored() -> None:
    graph = letters_graph("Fail at a. Fail at b.")
    made = descend(World(), train="ab", graph=graph)
    assert made.result.stop_reason == (
        "failures: no training example could be scored (recall: cannot do a)"
    )
    assert (made.result.steps, made.result.initial.train) == (0, None)
    assert made.result.parameters == graph.initial()


def test_a_failed_training_example_is_no_perfect_score() -> None:
    made = descend(
        World(),
        replace(METHOD, stop=Stop(steps=5)),
        "ab",
        graph=letters_graph("Know a. Fail at b."),
    )
    assert made.result.stop_reason.startswith("steps")
    assert made.steps[0].tried.decision.reason.startswith("no example was sampled")


# The gate


def evaluation(outcomes: Mapping[str, float | str]) -> Evaluation:
    """Return an evaluation; a text is a failure."""
    return Evaluation(
        {
            name: Outcome(
                ForwardPass(name, {}, {}, {}),
                None if isinstance(one, str) else one,
                one if isinstance(one, str) else None,
            )
            for name, one in outcomes.items()
        }
    )


def scored(*outcomes: float | str) -> Evaluation:
    return evaluation({str(i): one for i, one in enumerate(outcomes)})


@pytest.mark.parametrize(
    ("rule", "tolerance", "before", "after", "accepted"),
    [
        ("strict", 0.0, (0.5,), (0.6,), True),
        ("strict", 0.0, (0.5,), (0.5,), False),
        ("strict", 0.0, (0.5,), (0.4,), False),
        ("strict", 0.0, (0, 1, 1), (1, 1, 0), False),
        ("strict", 0.0, (0.1, 0.2, 0.3), (0.3, 0.2, 0.1), False),  # a tie, summed in another order
        ("strict", 0.0, (0.1,) * 10, (0, 0, 0, 0, 0, 0, 0, 0, 0, 1.0), False),
        ("strict", 0.0, (0,) * 999 + (0.5,), (0,) * 999 + (0.501,), True),
        # A gain of exactly the tolerance, computed a bit too small and a bit too large.
        ("strict", 0.1, (0.6,), (0.7,), False),
        ("strict", 0.1, (0.3,), (0.4,), False),
        ("strict", 0.1, (0.3,), (0.41,), True),
        ("not_worse", 0.0, (0.5,), (0.6,), True),
        ("not_worse", 0.0, (0.5,), (0.5,), True),
        ("not_worse", 0.0, (0.1, 0.2, 0.3), (0.3, 0.2, 0.1), True),
        ("not_worse", 0.0, (0.5,), (0.49,), False),
        ("not_worse", 0.1, (0.7,), (0.6,), True),
        ("not_worse", 0.1, (0.4,), (0.3,), True),
        ("not_worse", 0.1, (0.4,), (0.29,), False),
        ("always", 0.0, (1.0,), (0.0,), True),
        ("always", 0.0, (1.0,), ("broken",), True),
        # Failures: a score is never made up for them.
        ("strict", 0.0, (0, 0, 1), (1, 1, "broken"), False),
        ("not_worse", 0.0, (0, 0, 0), (1, 1, "broken"), False),
        ("strict", 0.0, (0.5, "broken"), (0.6, "broken"), True),
        ("strict", 0.0, (0.5, "broken"), (0.5, 1), False),
        ("not_worse", 0.0, (0.5, "broken"), (0.5, 0), True),
        ("strict", 0.0, ("broken", "broken"), (1, 1), False),
        ("not_worse", 1.0, ("broken",), (1,), False),
    ],
)
def test_the_gate(
    rule: Rule,
    tolerance: float,
    before: Sequence[float | str],
    after: Sequence[float | str],
    accepted: bool,
) -> None:
    decision = Gate(rule, tolerance).decide(scored(*before), scored(*after))
    assert decision.accepted is accepted
    assert decision.reason


def test_the_gate_says_why() -> None:
    gate = Gate()
    assert gate.decide(scored(0, 1, 1), scored(1, 1, 1)) == Decision(
        True, "better: 0.6667 -> 1 on 3 examples (1 up, 0 down)", moved=Moved(1, 0)
    )
    assert gate.decide(scored(0, 1), scored(0, "out of tokens")) == Decision(
        False, "1 of 2 examples fail with the proposal (out of tokens)"
    )


def test_the_gate_compares_the_same_examples_only() -> None:
    with pytest.raises(ValueError, match="same examples"):
        Gate().decide(evaluation({"a": 0}), evaluation({"b": 1}))


def test_a_proposal_that_makes_examples_fail_is_rejected() -> None:
    learn = in_turn("Recall. Know b. Know c. Know d. Fail at a.")
    made = descend(World(learn), replace(METHOD, stop=Stop(steps=1)))
    (step,) = made.steps
    assert step.tried.decision == Decision(
        False, "1 of 4 examples fail with the proposal (recall: cannot do a)"
    )
    assert made.result.parameters == letters_graph().initial()
    assert made.result.final == made.result.initial


# Proposals


MALFORMED: dict[str, tuple[Said, str]] = {
    "untagged": ("Recall. Know a.", "<improved> is missing"),
    "empty": ("<improved> \n </improved>", "empty"),
    "never closed": ("<improved>Recall. Know a.", "</improved> is missing"),
    "twice": (tagged("Know a.") + tagged("Know b."), "<improved> stands 2 times"),
    "closed twice": (tagged("Write </improved> at the end. Know a."), "</improved>"),
    "cut off": (Reply(tagged("Know a."), truncated=True), "cut off at the token limit"),
    "too long": (tagged("Know a. " * 30), "it has 239 characters; at most 200 may be used"),
}


@pytest.mark.parametrize(("said", "reason"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_rewrite_never_becomes_a_parameter(said: Said, reason: str) -> None:
    method = replace(
        METHOD,
        update=replace(REWRITE, max_characters=200),
        gate=Gate("always"),
        stop=Stop(steps=1),
    )
    world = World(lambda text, letters: said, style=lambda text, letters: tagged("Be brief."))
    made = descend(world, method)
    # The other parameter is rewritten all the same.
    assert made.result.parameters == {RECALL: "Recall.", ANSWER: "Be brief."}
    record = step_record(made.steps[0])
    assert record["proposal"] == {ANSWER: "Be brief."}
    assert record["skipped"].keys() == {RECALL}
    assert "3 replies of the optimizer model could not be used" in record["skipped"][RECALL]
    assert reason in record["skipped"][RECALL]
    assert record["calls"]["optimizer"] == 4


def test_a_malformed_rewrite_may_be_followed_by_a_good_one() -> None:
    learn = in_turn(Reply("Know b."), "Recall. Know a.")
    made = descend(World(learn), replace(METHOD, stop=Stop(steps=1)))
    assert made.result.parameters[RECALL] == "Recall. Know a."
    assert step_record(made.steps[0])["malformed"] == 1


def test_replies_that_were_asked_for_again_in_vain_are_counted_too() -> None:
    made = descend(World(lambda text, letters: "no tags"), replace(METHOD, stop=Stop(steps=1)))
    record = step_record(made.steps[0])
    assert record["reason"].startswith(f"no usable proposal ({RECALL}: 3 replies")
    assert record["malformed"] >= 2


@pytest.mark.parametrize("text", ["Recall.", "Recall.\nSlowly.\n"])
def test_an_unchanged_proposal_costs_no_evaluation(text: str) -> None:
    world = World(lambda text, letters: tagged(text))
    method = replace(METHOD, gate=Gate("always"), stop=Stop(steps=3))
    made = descend(world, method, graph=letters_graph(text))
    assert made.count("forward") == 2 * (4 + 1)  # train and test, once each
    for step in made.steps:
        assert step.tried.candidate is None
        assert step.tried.decision == Decision(False, "the proposal changes nothing")
    assert made.result.parameters[RECALL] == text


def test_each_step_asks_the_writer_for_a_reply_of_its_own() -> None:
    world = World(lambda text, letters: tagged(USELESS))
    made = descend(world, replace(METHOD, stop=Stop(steps=3)), train="a", optimised=[RECALL])
    samples = [(one.role, one.sample) for one in made.llm.requests if one.role != "forward"]
    assert samples == [one for i in (1, 2, 3) for one in (("backward", 0), ("optimizer", i))]


def test_only_the_named_parameters_change() -> None:
    world = World(style=lambda text, letters: tagged("Be brief."))
    made = descend(world, replace(METHOD, gate=Gate("always")), optimised=[RECALL])
    assert made.asked_about("optimizer") == {RECALL}
    assert made.result.parameters[ANSWER] == "Answer."
    assert sorted(known(made.result.parameters)) == ["a", "b", "c", "d"]

    method = replace(METHOD, gate=Gate("always"), stop=Stop(steps=1))
    made = descend(world, method, optimised=[ANSWER])
    assert made.asked_about("optimizer") == {ANSWER}
    assert made.count("backward") == 0  # nothing upstream of `answer` may change
    assert made.result.parameters == {RECALL: "Recall.", ANSWER: "Be brief."}


def test_without_a_backward_pass_the_rule_sees_what_was_done_and_no_gradients() -> None:
    method = replace(METHOD, differentiation=None, sample=Sample("random", 4), stop=Stop(steps=1))
    made = descend(World(), method)
    assert made.asked_about("backward") == set()
    evidence = made.steps[0].tried.evidence
    assert [(item.example, item.output, item.gradients) for item in evidence[RECALL]] == [
        (f"id {letter}", "unknown", ()) for letter in "abcd"
    ]


def _no_feedback(output: object, target: object) -> str:
    raise ValueError("no idea")


def test_a_step_without_gradients_says_why() -> None:
    loss = CallableLoss(Function(_no_feedback, "critic"))
    made = descend(World(), replace(METHOD, loss=loss, stop=Stop(steps=1)))
    record = step_record(made.steps[0])
    line = _no_feedback.__code__.co_firstlineno + 1
    why = f"loss: critic raised ValueError: no idea (test_descent.py, line {line})"
    assert record["reason"] == f"no gradient reached a parameter ({why})"
    assert record["sampled"][0]["failures"] == {"loss": why}
    assert made.count("optimizer") == 0

    world = World()
    broken = ScriptedLLM(
        lambda role, node, messages: (
            CallFailed("overloaded", "overloaded")
            if role == "backward"
            else world(role, node, messages)
        )
    )
    made = descend(broken, replace(METHOD, stop=Stop(steps=1)), optimised=[RECALL])
    record = step_record(made.steps[0])
    assert record["reason"] == "no gradient reached a parameter (answer: overloaded)"
    assert record["sampled"][0]["failures"]["recall"] == "answer: overloaded"


# Samples and batches


def test_samples_have_the_declared_kind_and_size_and_keep_the_order_of_the_batch() -> None:
    outcomes = evaluation({"a": 0, "b": 1, "c": 0.5, "d": "broken", "e": 0, "f": 0.99, "g": 1})
    pools: dict[Literal["failing", "random"], str] = {"failing": "acef", "random": "abcefg"}
    for kind, pool in pools.items():
        for count in range(9):
            drawn = {Sample(kind, count).draw(outcomes, Random(seed)) for seed in range(40)}
            for one in drawn:
                assert len(one) == min(count, len(pool))
                assert list(one) == [letter for letter in pool if letter in one]
            assert len(drawn) > 1 or count in (0, *range(len(pool), 9))
            if count:
                assert {letter for one in drawn for letter in one} == set(pool)
        one, again = (Sample(kind, 2).draw(outcomes, Random("seed")) for _ in "12")
        assert one == again


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_step_learns_from_as_many_examples_as_declared(count: int) -> None:
    method = replace(METHOD, sample=Sample("failing", count), stop=Stop(steps=1))
    made = descend(World(), method, train="abcdef", seed=3)
    (step,) = made.steps
    learned = [one.forward.example for one in step.tried.learned]
    assert len(learned) == min(count, 6)
    assert learned == sorted(learned)
    # One joint call for each; the optimizer sees them in the order of the batch.
    assert made.count("backward") == len(learned)
    assert [f"id {letter}" for letter in known(made.result.parameters)] == learned


def test_a_step_scores_only_its_batch() -> None:
    method = replace(METHOD, batch=3, gate=Gate("always"), stop=Stop(steps=6))
    made = descend(World(), method, train="abcdefgh")
    assert made.result.stop_reason == "steps: all 6 were taken"
    batches = []
    for step, record in zip(made.steps, map(step_record, made.steps), strict=True):
        batch = list(step.tried.current.outcomes)
        assert len(batch) == 3
        assert batch == sorted(batch)
        assert {one.forward.example for one in step.tried.learned} <= set(batch)
        if step.tried.candidate is not None:
            assert list(step.tried.candidate.outcomes) == batch
        # At most two nodes, two sets of parameters and three examples.
        assert record["calls"]["forward"] <= 12
        batches.append(tuple(batch))
    assert len(set(batches)) > 1
    # Scores on different batches do not compare: the last accepted parameters are the best.
    accepted = [step for step in made.steps if step.tried.decision.accepted]
    assert made.result.parameters == accepted[-1].tried.proposed


def test_a_batch_of_failures_is_not_called_a_batch_without_failures() -> None:
    method = replace(METHOD, batch=2, stop=Stop(steps=1))
    graph = letters_graph("Fail at a. Fail at b. Fail at c.")
    made = descend(World(), method, train="abc", graph=graph)
    assert made.steps == []
    assert made.result.stop_reason.startswith("failures: no training example could be scored")


# Which parameters are the best


def best_of(validation: str, *texts: str, **changes: Any) -> Run:
    """Return a run through these texts, whatever the gate would say."""
    method = replace(METHOD, gate=Gate("always"), stop=Stop(steps=len(texts)), **changes)
    return descend(World(in_turn(*texts)), method, validation=validation)


def test_the_best_parameters_are_those_with_the_highest_validation_score() -> None:
    good, better_in_training = "Know a. Know v.", "Know a. Know b. Know c."
    made = best_of("vw", good, better_in_training, "Know b.")
    assert made.result.parameters[RECALL] == good
    assert [step.best[RECALL] for step in made.steps] == [good] * 3
    means = [step.validation.mean for step in made.steps if step.validation]
    assert means == [0.5, 0, 0]
    assert made.result.final.validation == made.steps[0].validation
    final = made.result.final.train
    assert final is not None
    assert final.mean == 0.25


def test_of_equally_good_parameters_the_later_are_the_best() -> None:
    made = best_of("v", "Know v.", "Know a. Know v.", "Know a.")
    assert made.result.parameters[RECALL] == "Know a. Know v."


def test_without_validation_examples_the_training_score_decides() -> None:
    made = best_of("", "Know a. Know b.", "Know a.")
    assert made.result.parameters[RECALL] == "Know a. Know b."
    assert made.result.final.validation is None


def test_parameters_that_fail_on_validation_examples_are_not_the_best_on_the_rest() -> None:
    half, of_one = "Know v.", "Know v. Fail at w."
    made = best_of("vw", half, of_one)
    assert made.result.parameters[RECALL] == half


def test_parameters_that_fail_on_all_validation_examples_are_not_the_best() -> None:
    half, none = "Know v.", "Know a. Know b. Know c. Fail at v. Fail at w."
    made = best_of("vw", half, none)
    assert made.result.parameters[RECALL] == half


# Scores


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [
        # z = 1.959964. For 0 of n the upper end is z^2 / (n + z^2) = 3.841459 / 13.841459.
        ([0] * 10, 0, 0.2775328),
        ([1] * 10, 0.7224672, 1),
        ([1] * 8 + [0] * 2, 0.4901625, 0.9433178),
        ([1] * 5 + [0] * 5, 0.2365931, 0.7634069),
        ([1] * 50 + [0] * 50, 0.4038315, 0.5961685),
        ([1], 0.2065493, 1),
        ([0.5] * 10, 0.2365931, 0.7634069),  # at most as wide as for 0 and 1
    ],
)
def test_the_interval_is_wilsons(scores: list[float], low: float, high: float) -> None:
    summary = summarise(scores, failed=3)
    assert summary is not None
    assert (summary.n, summary.failed) == (len(scores), 3)
    assert summary.mean == sum(scores) / len(scores)
    assert summary.low == pytest.approx(low, abs=5e-8)
    assert summary.high == pytest.approx(high, abs=5e-8)
    assert 0 <= summary.low <= summary.mean <= summary.high <= 1  # whatever rounding does
    assert summarise([]) is None


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_the_interval_holds_the_mean(scores: list[float]) -> None:
    summary = summarise(scores)
    assert summary is not None
    assert 0 <= summary.low <= summary.mean <= summary.high <= 1


# Evidence


def test_evidence_is_ordered_by_parameter_then_example_then_node() -> None:
    graph = Graph(
        "shared",
        ("x", "y"),
        {name: Parameter(name, name) for name in ("style", "own", "unused_here")},
        {
            "last": node("last", "second", "first", style="style", other="unused_here"),
            "second": node("second", "y", "x", how="style"),
            "first": node("first", "x", how="own"),
        },
        "last",
    )
    names = ("x", "y", "first", "second", "last")
    forward = [
        ForwardPass(e, {name: f"{name} of {e}" for name in names}, {}, {}) for e in ("e2", "e1")
    ]
    told: dict[str, dict[str, Gradients]] = {
        "e1": {"last": (Gradient(LOSS, "no"),), "second": (Gradient("last", "more"),)},
        "e2": {"last": (Gradient(LOSS, "no"),), "second": (), "first": (Gradient("last", "!"),)},
    }
    backward = {e: BackwardPass(e, gradients, {}, {}, {}) for e, gradients in told.items()}
    evidence = gather_evidence(graph, forward, backward, ["own", "style"])

    def item(e: str, name: str, *predecessors: str) -> Item:
        given = {p: f"{p} of {e}" for p in predecessors}
        return Item(e, name, given, f"{name} of {e}", told[e][name])

    assert list(evidence.items()) == [
        (
            "style",
            (  # nothing was said of `second` in e2
                item("e2", "last", "second", "first"),
                item("e1", "last", "second", "first"),
                item("e1", "second", "y", "x"),
            ),
        ),
        ("own", (item("e2", "first", "x"),)),
    ]
    assert list(evidence["style"][2].predecessors) == ["y", "x"]


def test_the_same_work_with_the_same_gradients_may_count_once() -> None:
    def of(example: str, output: str, gradient: str) -> Item:
        return Item(example, "n", {"x": 1}, output, (Gradient(LOSS, gradient),))

    one, same, other, third = (
        of("1", "o", "g"),
        of("2", "o", "g"),
        of("3", "p", "g"),
        of("4", "o", "h"),
    )
    every = (one, other, same, third)
    assert items.distinct(every) == (one, other, third)
    assert items.collect(every) == every


# Records


def test_a_step_is_recorded_whole() -> None:
    made = descend(World(), replace(METHOD, stop=Stop(steps=1)), train="ab", validation="v")
    (step,) = made.steps
    record = step_record(step)
    letter = record["sampled"][0]["values"]["letter"]
    feedback = f"The output is wrong. The expected answer is: {letter.upper()}"
    tokens = record.pop("tokens")
    assert record == {
        "format": FORMAT,
        "step": 1,
        "scores": {
            "train": {
                "mean": 0,
                "n": 2,
                "low": 0,
                "high": pytest.approx(0.65762),
                "failed": 0,
                "unanswered": {},
            },
            "candidate": {
                "mean": 0.5,
                "n": 2,
                "low": pytest.approx(0.09453, abs=1e-5),
                "high": pytest.approx(0.90547, abs=1e-5),
                "failed": 0,
                "unanswered": {},
            },
            "validation": {
                "mean": 0,
                "n": 1,
                "low": 0,
                "high": pytest.approx(0.79345),
                "failed": 0,
                "unanswered": {},
            },
        },
        "accepted": True,
        "reason": "better: 0 -> 0.5 on 2 examples (1 up, 0 down)",
        "known": {
            "mean": 0.5,
            "n": 2,
            "of": 2,
            "outcomes": {f"id {one}": float(one == letter) for one in "ab"},
        },
        "constant": "",
        "sampled": [
            {
                "example": f"id {letter}",
                "score": 0,
                "unanswered": None,
                "values": {"letter": letter, "recall": "unknown", "answer": "unknown"},
                "feedback": feedback,
                "gradients": {
                    "recall": [{"source": "answer", "value": f"It should be {letter.upper()}."}],
                    "answer": [{"source": "loss", "value": feedback}],
                },
                "failures": {},
            }
        ],
        "proposal": {RECALL: f"Recall. Know {letter}."},
        "skipped": {},
        "from": [0],
        "candidate": 1,
        "why": "joint",
        "pool": [1],
        "tested": [],
        "others": [],
        "tried": [],
        "gate": {
            "at_most": None,
            "gain": None,
            "needed": None,
            "up": 1,
            "down": 0,
            "calls": 2 * 2,
            "examples": 2,
            "evaluated": 2,
            "spared": 0,
        },
        "calls": {"backward": 1, "forward": 2 * (2 + 1), "optimizer": 2},
        "cost": {"backward": 0.0, "forward": 0.0, "optimizer": 0.0},
        "malformed": 0,
    }
    assert list(tokens) == ["backward", "forward", "optimizer"]
    assert all(count.pop("cached") == 0 for count in tokens.values())
    assert all(count > 0 for role in tokens.values() for count in role.values())
    spent = made.result.spent
    assert {role: one.calls for role, one in spent.items()} == Counter(
        request.role for request in made.llm.requests
    )


class Jittery(ScriptedLLM):
    """Lets its replies arrive in another order each time."""

    def __init__(self, script: World, seed: int) -> None:
        super().__init__(script)
        self._random = Random(seed)

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        for _ in range(self._random.randrange(8)):
            await asyncio.sleep(0)
        reply = await super().complete(role, messages, node=node, sample=sample)
        for _ in range(self._random.randrange(8)):
            await asyncio.sleep(0)
        return reply


def a_whole_run(seed: int, llm: ScriptedLLM) -> tuple[list[str], str, list[Request]]:
    method = replace(METHOD, sample=Sample("random", 3), batch=5, gate=Gate("not_worse"))
    made = descend(llm, method, train="hgfedcbaijk", validation="vwxab", seed=seed)
    assert made.result.accepted > 2
    return made.lines(), as_yaml(made.result.parameters), made.llm.requests


def test_the_same_seed_and_replies_give_the_same_bytes_in_whatever_order_they_arrive() -> None:
    lines, parameters, requests = a_whole_run(7, ScriptedLLM(World()))
    orders = set()
    for seed in range(5):
        again = a_whole_run(7, Jittery(World(), seed))
        assert again[:2] == (lines, parameters)
        assert Counter(again[2]) == Counter(requests)
        orders.add(tuple(again[2]))
    assert len(orders) > 1  # they did arrive in another order
    other, *_ = a_whole_run(8, ScriptedLLM(World()))
    assert other != lines


def test_the_bytes_do_not_depend_on_how_python_hashes() -> None:
    outputs = {
        subprocess.run(
            [sys.executable, __file__],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            stdout=subprocess.PIPE,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    lines, parameters, _ = a_whole_run(7, ScriptedLLM(World()))
    assert outputs == {"\n".join([*lines, parameters, ""]).encode()}


AWKWARD = [
    "{{ x }}",
    "${y}",
    "${oc.env:HOME}",
    "trailing blanks  ",
    "  leading",
    "two lines  \nwith trailing blanks \n",
    "\n\nlines\n\n\n",
    "\tindented\n\t\tmore",
    "käse, 東京, 🙂, \u2028 and \x85",
    "next line\x85\nin two",
    "carriage\r\nreturns\r",
    "yes",
    "null",
    "~",
    "1e3",
    "0o17",
    "1_000",
    "12:30:00",
    "2024-01-01",
    "",
    " ",
    "- a list",
    "a: b # c",
    "# comment",
    "'quoted' \"twice\" \\n",
    "---\n...\n",
    "| block",
    "%TAG",
    "@at `tick`",
    "\x00\x07",
    "x " * 200,
]


def test_parameters_read_back_as_they_were(tmp_path: Path) -> None:
    parameters = {f"node_{i}.instruction": text for i, text in enumerate(AWKWARD)}
    folder = RunFolder(tmp_path / "run")
    folder.save(parameters)
    saved = (tmp_path / "run" / "parameters.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(saved) == parameters
    folder.append({"step": 1, "proposal": parameters}, {})
    folder.append({"step": 2}, {})
    file = tmp_path / "run" / "steps.jsonl"
    assert file.read_bytes().count(b"\n") == 2
    assert file.read_bytes().endswith(b"\n")
    assert read_steps(file) == [{"step": 1, "proposal": parameters}, {"step": 2}]


@settings(derandomize=True, deadline=None, database=None, max_examples=300)
@given(
    st.text(
        st.sampled_from(" \n\t\r\x85\u2028:#-|>'\"{}$%&*!?,[]aé") | st.characters(codec="utf-8")
    )
)
def test_any_text_reads_back_as_it_was(text: str) -> None:
    data = {"text": text, "list": [text, {"deep": text}], "number": 1.5}
    assert yaml.safe_load(as_yaml(data)) == data


def test_texts_of_several_lines_are_written_for_readers() -> None:
    assert (
        as_yaml({"b": "Do this.\nThen that.", "a": 1}) == "b: |-\n  Do this.\n  Then that.\na: 1\n"
    )


if __name__ == "__main__":
    records, best, _ = a_whole_run(7, ScriptedLLM(World()))
    sys.stdout.write("\n".join([*records, best, ""]))
