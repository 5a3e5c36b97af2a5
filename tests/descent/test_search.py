"""Lazy training sets, guards, parts of proposals, and pools of candidates.

The world is that of test_descent.py: what `recall` knows stands in its instruction.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import FrozenInstanceError, replace
from itertools import count
from random import Random
from typing import Any, Literal

import pytest
from test_descent import (
    ANSWER,
    METHOD,
    RECALL,
    REWRITE,
    Run,
    Watch,
    World,
    add_what_was_missing,
    between,
    descend,
    exactly,
    in_turn,
    known,
    letters_graph,
    node,
    tagged,
)

from sgdflow.data import Example, Splits
from sgdflow.descent.budget import Meter
from sgdflow.descent.confirm import Confirm
from sgdflow.descent.method import Method, Problem, Proposals, Sample, Stop
from sgdflow.descent.pool import Candidate, Pool, PoolRules
from sgdflow.descent.stretch import Course, Stretch
from sgdflow.executor.backward import Differentiation
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS
from sgdflow.executor.graph import Graph, Parameter
from sgdflow.executor.progress import Unwatched
from sgdflow.executor.scores import Score
from sgdflow.llm import LLM, Message, Reply
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.records import result_record, step_record
from sgdflow.records.account import account
from sgdflow.records.details import calls_record, example_records
from sgdflow.records.tree import candidates
from sgdflow.report.worth import rows
from sgdflow.update import Decision, Gate, Past, Proposal, Rewrite, Select, Situation
from sgdflow.update.prompt_views import tries

LETTERS = "abcdefghijklmnopqrstuvwx"
LAZY = replace(METHOD, sample=Sample("failing", 2, "waiting"), lazy=True, stop=Stop(steps=40))


def scored(made: Run) -> Counter[tuple[str, str]]:
    """Return how often each letter was answered with each instruction of `recall`."""
    found: Counter[tuple[str, str]] = Counter()
    for request in made.llm.requests:
        if request.node == "recall" and request.role == "forward":
            text = next(m for m in request.messages if m.role == "user").content
            letter = text.split('<variable name="letter">\n')[1][0]
            found[letter, text.split("<instruction>\n")[1]] += 1
    return found


def test_a_lazy_method_scores_what_steps_need_and_nothing_twice() -> None:
    made = descend(World(), replace(LAZY, stop=Stop(steps=1)), train=LETTERS)
    counts = scored(made)
    assert set(counts.values()) == {1}
    tested = {letter for letter, _ in counts} - {"z"}  # z is the test split
    assert len(tested) == 8
    assert made.result.initial.train is None
    assert made.result.final.train is None


def test_a_lazy_method_ends_when_everything_is_right() -> None:
    made = descend(World(), LAZY, train=LETTERS)
    assert sorted(known(made.result.parameters)) == list(LETTERS)
    assert made.result.stop_reason == "score: 1 on all 24 training examples"
    assert set(scored(made).values()) == {1}
    whole = descend(World(), replace(LAZY, lazy=False), train=LETTERS)
    assert made.count("forward") < whole.count("forward")
    assert made.result.parameters.keys() == whole.result.parameters.keys()


def test_a_lazy_method_scores_all_for_the_report_when_asked() -> None:
    method = replace(LAZY, stop=Stop(steps=1), report_train=True)
    made = descend(World(), method, train=LETTERS)
    assert made.result.initial.train is not None
    assert made.result.final.train is not None
    assert (made.result.initial.train.mean, made.result.final.train.n) == (0, 24)


def test_a_batch_ends_the_run_when_everything_is_right() -> None:
    method = replace(METHOD, batch=2, stop=Stop(steps=60))
    made = descend(World(), method, train="abcdef")
    assert made.result.stop_reason == "score: 1 on all 6 training examples"


def test_a_guard_turns_down_what_breaks_as_much_as_it_repairs() -> None:
    forgets = in_turn("Know a. Know b.", "Know c.", "Know a. Know b. Know c.", "x", "x")
    gate = Gate(examples="sampled", guard=3)
    method = replace(METHOD, gate=gate, sample=Sample("failing", 1), stop=Stop(steps=3))
    made = descend(World(forgets), method, train="abc")
    accepted = [step.tried.decision.accepted for step in made.steps]
    assert accepted == [True, False, True]
    second = made.steps[1].tried
    assert second.trial.current is not None
    assert len(second.trial.current.outcomes) == 3
    assert "cannot pass" in second.decision.reason or "worse" in second.decision.reason


@pytest.mark.parametrize(
    ("text", "lost", "moved"),
    [("Know c.", 2, "1 up, 2 down"), ("Know a. Know c.", 1, "1 up, 1 down")],
)
def test_a_first_gate_with_a_guard_weighs_repairs_against_breakage(
    text: str, lost: int, moved: str
) -> None:
    forgets = in_turn("Know a. Know b.", text, "x")
    gate = Gate(first="sampled", guard=2)
    method = replace(METHOD, gate=gate, sample=Sample("failing", 1), stop=Stop(steps=2))
    made = descend(World(forgets), method, train="abc")
    assert made.steps[1].tried.decision.reason == (
        f"breaks as much as it repairs: 1 gained, {lost} lost ({moved})"
    )


# What a step learns from


def test_failures_that_were_sampled_wait_for_the_others() -> None:
    method = replace(
        METHOD, sample=Sample("failing", 2, "waiting"), stop=Stop(steps=4), gate=Gate()
    )
    useless = World(lambda text, letters: tagged("Recall. Nothing."))
    made = descend(useless, method, train="abcdefgh")
    drawn = [one.forward.example for step in made.steps for one in step.tried.learned]
    assert len(drawn) == len(set(drawn)) == 8


class Silent:
    """A backward model that asks for a change about some letters only."""

    def __init__(self, letters: str) -> None:
        self.world, self.letters = World(), letters

    def __call__(self, role: str, node: str, messages: Sequence[Message]) -> Said:
        said = self.world(role, node, messages)
        if role == "backward" and str(said).rsplit(".", 1)[0][-1].lower() not in self.letters:
            return '<gradient name="recall">What is shown does not settle it.</gradient>'
        return said


def run_silent(letters: str, **changes: Any) -> Run:
    method = replace(METHOD, idle=False, **changes)
    return descend(ScriptedLLM(Silent(letters)), method, train="abcdef", optimised=[RECALL])


def test_where_a_sample_teaches_nothing_others_are_drawn() -> None:
    sample = Sample("failing", 1, "waiting", draws=6)
    made = run_silent("e", sample=sample, stop=Stop(steps=1))
    (step,) = made.steps
    assert step.tried.learned[-1].forward.example == "id e"
    assert known(made.result.parameters) == "e"
    assert made.count("backward") == len(step.tried.learned) <= 6
    assert made.count("optimizer") == 1


def test_no_rewrite_is_made_that_nobody_asked_for() -> None:
    made = run_silent("", sample=Sample("failing", 2, draws=1), stop=Stop(steps=2))
    assert made.count("optimizer") == 0
    assert made.steps[0].tried.decision.reason == "no gradient asks for a change"


def test_a_node_that_nobody_asks_for_a_change_makes_no_backward_call() -> None:
    asks = Select().asks
    assert METHOD.differentiation is not None
    settled = Differentiation(METHOD.differentiation.default, asks=lambda value: False)
    made = descend(World(), replace(METHOD, differentiation=settled, stop=Stop(steps=1)))
    assert made.count("backward") == 0
    assert not asks("Nothing should change: all is right.")
    assert not asks("What is shown does not settle it.")
    assert asks("It should be B.")


class Remembering(ScriptedLLM):
    """Is asked once for what is asked again, as a model at temperature 0 is."""

    def __init__(self, script: Any) -> None:
        super().__init__(script)
        self.said: dict[Any, Reply] = {}

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        asked = (role, node, tuple(messages), sample)
        if asked not in self.said:
            self.said[asked] = await super().complete(role, messages, node=node, sample=sample)
        return self.said[asked]


def test_a_run_ends_where_every_failure_was_shown_to_teach_nothing() -> None:
    """Of eight failures one teaches something; the others are asked about once, with each text."""
    sample = Sample("failing", 2, "waiting", draws=2)
    method = replace(METHOD, idle=False, sample=sample, stop=Stop(steps=60), lazy=True)

    def run(model: type[ScriptedLLM]) -> Run:
        return descend(model(Silent("e")), method, train="abcdefgh", optimised=[RECALL])

    made, endless = run(Remembering), run(ScriptedLLM)
    assert made.result.stop_reason == "gradients: none of the 7 failures asks for a change"
    assert known(made.result.parameters) == "e"
    since = [step for step in made.steps if known(step.tried.parameters) == "e"]
    seen = {one.forward.example for step in since for one in step.tried.learned}
    assert seen == {f"id {letter}" for letter in "abcdfgh"}
    assert len(made.steps) < 10
    # Where each answer may be another one, a later step may still hear something.
    assert endless.result.stop_reason == "steps: all 60 were taken"
    assert endless.result.parameters == made.result.parameters


def test_what_the_critics_of_an_earlier_leg_heard_ends_no_other_one() -> None:
    sample = Sample("failing", 2, "waiting", draws=2)
    method = replace(METHOD, idle=False, sample=sample, stop=Stop(steps=12))
    train = tuple(Example(f"id {one}", {"letter": one}, one.upper()) for one in "abcdefgh")
    graph = letters_graph()
    score = Score(Function(exactly, "exactly"))
    problem = Problem(graph, score, Splits(train, (), ()), (RECALL,), 0)
    llm, start = Remembering(Silent("")), graph.initial()
    evaluate = problem.evaluator(llm, Unwatched())
    sampled = ("id a",) * 50 + tuple(one.id for one in train)
    earlier = Past(1, start, {}, Proposal({}), Decision(False, ""), sampled=sampled, silent=True)
    meter, watch = Meter(llm, graph), Watch()
    stretch = Stretch(problem, method, llm, evaluate, meter, watch, Unwatched())
    asyncio.run(stretch.go(course := Course(start, start, steps=1, history=(earlier,))))
    seen = {one.forward.example for step in watch.steps for one in step.tried.learned}
    assert seen == {one.id for one in train[1:]}  # it waits, as it was sampled so often
    assert course.reason == "steps: all 12 were taken"


@pytest.mark.parametrize("memory", [0, 3])
def test_no_rewrite_is_asked_for_twice_from_the_same_evidence_and_tries(memory: int) -> None:
    """A writer that is shown its last tries is asked as often more; no prompt comes twice."""
    number = count()
    useless = World(lambda text, letters: tagged(f"Recall. Nothing {next(number)}."))
    sample = Sample("failing", 4, "waiting")
    update = replace(REWRITE, memory=memory)
    method = replace(METHOD, idle=False, update=update, sample=sample, stop=Stop(steps=40))
    made = descend(useless, method, train="abcd", optimised=[RECALL])
    asked = [
        tuple(item.example for item in step.tried.evidence.get(RECALL, ())) for step in made.steps
    ]
    times = Counter(filter(None, asked))
    assert made.count("optimizer") == times.total()
    assert max(times.values()) == 1 + memory
    prompts = [one.messages for one in made.llm.requests if one.role == "optimizer"]
    assert len(set(prompts)) == len(prompts)
    assert len(asked[0]) == 4
    assert all(len(items) <= 2 for items in asked[1:])  # fewer at once teach something else
    reasons = {step.tried.decision.reason for step in made.steps}
    nothing = f"nothing new: {RECALL} had this evidence in an earlier step, and was not asked again"
    assert nothing in reasons or memory  # whose tries last longer
    # So it is where other draws found nothing more to learn from than the one failure there is.
    made = descend(useless, method, train="a", optimised=[RECALL])
    empty = [one for one in made.steps if not one.tried.evidence]
    assert {one.tried.decision.reason for one in empty} == {nothing}
    assert len(empty) == 40 - 1 - memory
    again = descend(useless, replace(method, idle=True), train="abcd", optimised=[RECALL])
    assert again.count("optimizer") == 40


@pytest.mark.parametrize(
    ("said", "asks"),
    [
        ("Undecided: any of them may be wrong.", False),
        ("**UNDECIDED**", False),
        ("It was undecided whether to say B; it should be B.", True),
        ("Undecidedly wrong.", True),
        ("From this it cannot be told.", False),
        ("It should be B.", True),
    ],
)
def test_what_cannot_be_told_is_known_by_a_declared_word_or_phrase(said: str, asks: bool) -> None:
    assert Select().asks(said) == asks


def test_a_word_of_ones_own_may_say_that_it_cannot_be_told() -> None:
    assert not Select(undecided=("?",)).asks("? The values do not tell.")
    assert Select(undecided=("?",)).asks("Undecided. Is it B?")


def test_a_run_may_deal_gradients_across_nodes() -> None:
    """What `recall` is shown comes from `answer`; what that one is shown, from the loss."""
    method = replace(METHOD, sample=Sample("failing", 3), stop=Stop(steps=1))
    for dealt, source in ((method, "answer"), (replace(method, shuffle="nodes"), LOSS)):
        (step,) = descend(World(), dealt, train="abc").steps
        items = step.tried.evidence[RECALL]
        assert {gradient.source for item in items for gradient in item.gradients} == {source}


# The winner meets the start


def test_without_a_confirmation_a_paired_gate_says_what_it_could_show() -> None:
    """By hand: of one test at level .1 four gains of eight are the fewest, at 1/16."""
    method = replace(METHOD, gate=Gate("paired", level=0.1), stop=Stop(steps=1))
    made = descend(World(), method, train="abcdefgh", optimised=[RECALL])
    record = result_record(made.result, {}, 0.0, {})
    assert record["gate"]["smallest"] == 0.5
    found = {"gain": 0.5, "examples": 8, "split": "train", "level": 0.1}
    assert account([], record)["detectable"] == found
    assert (
        "a gain of 0.500 or more, if nothing had got worse (8 train examples, level 0.1)"
        in (dict(rows(account([], record), record))["Detectable effect"])
    )


def test_validation_waits_for_a_winner_that_it_is_to_confirm() -> None:
    method = replace(METHOD, confirm=Confirm(0.5), stop=Stop(steps=1))
    made = descend(World(), method, train="ab", validation="abc")
    steps = [request.node for request in made.llm.requests if request.role == "optimizer"]
    first = made.llm.requests[: made.llm.requests.index(_rewrite(made))]
    assert steps
    assert not any('<variable name="letter">\nc' in r.messages[-1].content for r in first)
    assert made.result.initial.validation is not None
    assert made.result.initial.validation.mean == 0
    assert made.result.final.validation is not None
    assert made.result.confirmation is not None
    assert made.result.unconfirmed == ""


def _rewrite(made: Run) -> Any:
    return next(request for request in made.llm.requests if request.role == "optimizer")


# Parts of a proposal


HARMFUL = "Fail at a. Fail at b. Fail at c. Fail at d."


class Mixed(World):
    """Writes a good text for one node and ruins the other."""


def mixed(method: Method, asked: list[str] | None = None) -> Run:
    def ruin(text: str, letters: Sequence[str]) -> Said:
        return tagged("Say nothing.")

    world = World(add_what_was_missing, ruin)

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        sent = "".join(message.content for message in messages)
        if asked is not None and role == "optimizer" and node == ANSWER:
            asked.append(sent)
        if node == "answer" and role == "forward" and "Say nothing." in sent:
            return "nothing"
        return world(role, node, messages)

    return descend(ScriptedLLM(script), method, train="abcd")


def test_a_good_text_is_not_lost_with_a_harmful_one() -> None:
    lost = mixed(replace(METHOD, stop=Stop(steps=1)))
    assert lost.result.accepted == 0
    made = mixed(replace(METHOD, stop=Stop(steps=1), proposals=Proposals(fallback=True)))
    (step,) = made.steps
    assert list(step.tried.proposal.changes) == [RECALL]
    assert [(one.changes, one.decision.accepted) for one in step.tried.tested] == [
        ((RECALL, ANSWER), False),
        ((RECALL,), True),
        ((ANSWER,), False),
    ]
    record = step_record(step)
    assert (record["why"], record["candidate"], list(record["proposal"])) == ("part", 1, [RECALL])


@pytest.mark.parametrize(("form", "asked"), [("joint", [6, 6, 6, 7] * 4), ("single", [1] * 100)])
def test_the_gate_is_not_asked_more_often_the_more_texts_a_joint_proposal_has(
    form: Any, asked: list[int]
) -> None:
    """A graph of 1,000 nodes would be scored 1,000 times where the whole is turned down."""
    names = [f"p{i}" for i in range(100)]
    proposals = Proposals(form=form, fallback=True)
    parts = proposals.parts(names)
    assert [name for part in parts for name in part] == names
    assert [len(part) for part in parts] == asked
    assert proposals.tests(100) == len(parts) + 1 + (form == "joint")
    assert proposals.parts(["a", "b"]) == [["a"], ["b"]]


def test_a_text_that_was_left_out_is_a_try_of_its_parameter() -> None:
    asked: list[str] = []
    update, proposals = replace(REWRITE, memory=2), Proposals(fallback=True)
    made = mixed(replace(METHOD, stop=Stop(steps=2), proposals=proposals, update=update), asked)
    assert made.steps[0].tried.decision.accepted
    first, second = asked
    assert "Say nothing." not in first
    shown = second.split("<tried", 1)[1]
    assert "Say nothing." in shown
    assert made.steps[0].tried.tested[2].decision.reason in shown


def test_a_text_that_was_turned_down_early_is_remembered_with_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Situation] = []
    true = Rewrite.propose

    async def propose(rule: Rewrite, situation: Situation, llm: LLM) -> Proposal:
        seen.append(situation)
        return await true(rule, situation, llm)

    monkeypatch.setattr(Rewrite, "propose", propose)
    method = replace(METHOD, gate=Gate(wave=1), stop=Stop(steps=2))
    graph = letters_graph("Know a. Know b.")
    descend(World(in_turn("x", "y")), method, optimised=[RECALL], graph=graph)
    (attempt,) = tries(seen[1].history, RECALL, 3)
    # The two that are wrong are scored first; if both others stay right it is no better.
    assert (attempt.text, attempt.scored) == ("x", "at most 0.5")


def test_single_proposals_are_joined_where_both_help() -> None:
    """Each text helps by itself with another letter; the joint one is tried after them."""
    made = mixed(replace(METHOD, stop=Stop(steps=1), proposals=Proposals(form="single")))
    assert [one.changes for one in made.steps[0].tried.tested] == [(RECALL,), (ANSWER,)]
    assert made.result.accepted == 1


@pytest.mark.parametrize(
    ("knows", "guesses", "taken"),
    [("ac", "b", [RECALL]), ("a", "ab", [ANSWER]), ("a", "b", [RECALL, ANSWER])],
)
def test_of_parts_that_pass_those_are_taken_that_gain_most(
    knows: str, guesses: str, taken: Sequence[str]
) -> None:
    """To know letters and to guess others are each better than nothing, and together gain one."""
    text = " ".join(f"Know {letter}." for letter in knows)
    world = World(lambda *_: tagged(text), lambda *_: tagged("Guess."))

    def script(role: str, node: str, messages: Sequence[Message]) -> Said:
        said = str(world(role, node, messages))
        if role == "forward" and node == "recall" and said == "unknown":
            return f"not {between('variable', messages[-1].content)[0]}"
        if role == "forward" and node == "answer" and "Guess." in messages[-1].content:
            return said[-1].upper() if said[-1] in guesses and "not" in said else "nothing"
        return said

    method = replace(METHOD, proposals=Proposals(form="single"), stop=Stop(steps=1))
    (step,) = descend(ScriptedLLM(script), method, train="abc").steps
    gains = {one.changes: one.trial.gain for one in step.tried.tested}
    assert all(one.decision.accepted for one in step.tried.tested)
    assert gains == {
        (RECALL,): pytest.approx(len(knows) / 3),
        (ANSWER,): pytest.approx(len(guesses) / 3),
        (RECALL, ANSWER): pytest.approx(1 / 3),
    }
    assert list(step.tried.proposal.changes) == taken  # as much is enough for both


# The pool


def candidate(number: int, scores: Mapping[str, float], *parents: int, **texts: str) -> Candidate:
    parameters = {"a": "", "b": "", "c": "", **texts}
    return Candidate(number, parameters, scores, parents)


def test_the_lowest_makes_room_and_the_newest_stays() -> None:
    pool = Pool.of(PoolRules(2), candidate(0, {"x": 0.5}))
    pool = pool.add(candidate(1, {"x": 0.9}, 0)).add(candidate(2, {"x": 0.1}, 1))
    assert [one.number for one in pool.candidates] == [1, 2]


@pytest.mark.parametrize(
    ("choose", "order"), [("best", [3, 1, 0, 2, 3]), ("newest", [3, 2, 1, 0, 3])]
)
def test_the_best_and_the_newest_come_first(
    choose: Literal["best", "newest"], order: Sequence[int]
) -> None:
    """Of equals the newer one; where more are wanted than there are, they come in turn."""
    pool = Pool.of(PoolRules(4, choose), candidate(0, {"x": 0.5}))
    for number, score in enumerate((0.9, 0.1, 0.9), 1):
        pool = pool.add(candidate(number, {"x": score}, 0))
    assert [one.number for one in pool.choose(5, Random(0))] == order


def test_who_is_best_on_more_examples_is_chosen_more_often() -> None:
    hard = {"u": 0, "v": 0, "w": 0}  # nobody is best where nobody gets anything right
    pool = Pool.of(PoolRules(3, "pareto"), candidate(0, {"x": 1, "y": 0, "z": 0, **hard}))
    pool = pool.add(candidate(1, {"x": 0, "y": 1, "z": 1, **hard}, 0))
    pool = pool.add(candidate(2, {"x": 0, "y": 0, "z": 0, **hard}, 0))
    chosen = Counter(one.number for one in pool.choose(3000, Random(1)))
    assert chosen[2] == 0
    assert chosen[1] / chosen[0] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(("temperature", "least", "most"), [(0.01, 0, 0), (100, 900, 1100)])
def test_a_warm_queue_is_even_and_a_cold_one_takes_the_best(
    temperature: float, least: int, most: int
) -> None:
    pool = Pool.of(PoolRules(2, "queue", temperature), candidate(0, {"x": 0.2}))
    pool = pool.add(candidate(1, {"x": 0.8}, 0))
    chosen = Counter(one.number for one in pool.choose(2000, Random(1)))
    assert least <= chosen[0] <= most


def test_candidates_that_changed_different_parameters_are_merged_once() -> None:
    pool = Pool.of(PoolRules(4, "best", merge=True), candidate(0, {"x": 0}))
    pool = pool.add(candidate(1, {"x": 0.3}, 0, a="A")).add(candidate(2, {"x": 0.6}, 0, b="B"))
    pool = pool.add(candidate(3, {"x": 0.7}, 2, a="other", b="B"))
    chain = graph_of({"A": "", "B": "A", "C": "B"})
    ((one, other),) = pool.merges((), chain)
    assert (one.number, other.number) == (2, 1)
    assert dict(pool.merged(one, other)) == {"a": "A"}
    assert list(pool.merges({(1, 2)}, chain)) == []


def graph_of(nodes: Mapping[str, Sequence[str]], plain: str = "") -> Graph:
    """Return a graph; the text of node A is a, those in `plain` have none."""
    texts = {name: {} if name in plain else {"text": name.lower()} for name in nodes}
    return Graph(
        "drawn",
        ("letter",),
        {name.lower(): Parameter(name.lower(), "") for name in nodes if texts[name]},
        {
            name: node(name, *(before or ("letter",)), **texts[name])
            for name, before in nodes.items()
        },
        [*nodes][-1],
    )


@pytest.mark.parametrize(
    ("nodes", "plain", "expected"),
    [
        # B and C are side by side; both work on what A makes.
        ({"A": "", "B": "A", "C": "A", "D": "BC"}, "D", [(3, 2), (2, 1), (3, 1)]),
        # A and B are side by side, and C joins them.
        ({"A": "", "B": "", "C": "AB"}, "", [(2, 1), (3, 1), (3, 2)]),
        # C and A are side by side, and so are C and B, which works on what A makes.
        ({"A": "", "B": "A", "C": "", "D": "BC"}, "D", [(3, 1), (3, 2), (2, 1)]),
        # The same, seen through E, which has no text.
        ({"A": "", "E": "A", "B": "E", "C": "", "D": "BC"}, "DE", [(3, 1), (3, 2), (2, 1)]),
        # One after the other: nothing is independent, and all are tried as they came.
        ({"A": "", "B": "A", "C": "B"}, "", [(2, 1), (3, 1), (3, 2)]),
        ({"C": "", "B": "C", "A": "B"}, "", [(2, 1), (3, 1), (3, 2)]),
    ],
)
def test_changes_that_do_not_work_on_each_other_are_merged_first(
    nodes: Mapping[str, str], plain: str, expected: Sequence[tuple[int, int]]
) -> None:
    pool = Pool.of(PoolRules(4, "best", merge=True), candidate(0, {"x": 0}))
    for number, name in enumerate("abc", 1):
        pool = pool.add(candidate(number, {"x": number / 10}, 0, **{name: "better"}))
    pairs = pool.merges((), graph_of(nodes, plain))
    assert [(one.number, other.number) for one, other in pairs] == expected


def test_a_text_that_two_nodes_share_is_independent_where_both_of_them_are() -> None:
    texts = {name: Parameter(name, "") for name in "abc"}
    told = {"left": "a", "right": "b", "last": "a"}
    before = {"left": ("letter",), "right": ("letter",), "last": ("right",)}
    nodes = {name: node(name, *before[name], text=told[name]) for name in told}
    nodes["join"] = node("join", "left", "last", text="c")
    graph = Graph("shared", ("letter",), texts, nodes, "join")
    assert not graph.independent({"a"}, {"b"})
    own = replace(graph, nodes={**nodes, "last": node("last", "right", text="c")})
    assert own.independent({"a"}, {"b"})
    assert own.independent({"b"}, {"a"})
    assert not own.independent({"a", "b"}, {"c"})


def wide(**changes: Any) -> Method:
    return replace(
        METHOD,
        sample=Sample("failing", 1),
        proposals=Proposals(parents=2, each=2),
        pool=PoolRules(3, "pareto", merge=True),
        stop=Stop(steps=6),
        **changes,
    )


def test_a_wide_search_is_repeatable_and_records_its_tree() -> None:
    first = descend(World(), wide(), train="abcdefgh", validation="abcdefgh")
    again = descend(World(), wide(), train="abcdefgh", validation="abcdefgh")
    assert first.lines() == again.lines()
    assert first.result.parameters == again.result.parameters
    records = [json.loads(line) for line in first.lines()]
    numbers = {0}
    for step, record in zip(first.steps, records, strict=True):
        made = [record, *record["others"]]
        assert len(made) == (1 if record["why"] == "merge" else 4)
        for one in made:
            assert set(one["from"]) <= numbers
            assert (one["candidate"] is not None) == one["accepted"]
        numbers |= {one["candidate"] for one in made if one["accepted"]}
        assert set(record["pool"]) <= numbers
        assert len(record["pool"]) <= 3
        calls = calls_record(step, {})
        assert len(calls["examples"]) == sum(len(one.learned) for one in step.proposals)
    assert numbers == set(range(first.result.accepted + 1))
    assert len(known(first.result.parameters)) >= 6


def test_what_is_known_of_every_proposal_is_recorded() -> None:
    """Whoever stands for the step: at the gate, and where the pool chooses by it."""
    validation, train = "abyz", "abcdefgh"
    method = replace(wide(), pool=PoolRules(4), proposals=Proposals(each=2), stop=Stop(steps=3))
    made = descend(World(), method, train=train, validation=validation)
    records = [json.loads(line) for line in made.lines()]
    texts = {one.number: one.parameters for one in candidates(records, letters_graph().initial())}
    found = [one for record in records for one in (record, *record["others"])]
    assert sum(one["accepted"] for one in found) > len(records)
    for one in found:
        if not one["proposal"]:  # it was that of another one
            assert (one["known"], one["accepted"]) == (None, False)
            continue
        knows = known({**texts[one["from"][0]], **one["proposal"]})
        right = {f"id {letter}": float(letter in knows) for letter in train}
        assert one["known"]["outcomes"] == right
        assert [one["known"][key] for key in ("mean", "n", "of")] == [
            sum(right.values()) / len(train), len(train), len(train),
        ]  # fmt: skip
        mean = sum(letter in knows for letter in validation) / len(validation)
        pooled = {"split": "validation", "mean": mean, "n": len(validation)}
        assert one.get("pooled") == (pooled if one["accepted"] else None)


def test_of_many_outcomes_those_are_told_that_changed() -> None:
    train = "".join(map(chr, range(0x4E00, 0x4E00 + 100)))  # letters that are known from the start
    graph = letters_graph(" ".join(["Recall.", *(f"Know {one}." for one in train)]))
    made = descend(World(), replace(METHOD, stop=Stop(steps=1)), train=f"{train}a", graph=graph)
    (record,) = map(json.loads, made.lines())
    assert (record["known"]["n"], len(record["known"]["outcomes"])) == (101, 64)
    assert next(iter(record["known"]["outcomes"].items())) == ("id a", 1)


def test_a_candidate_knows_whatever_is_told_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Candidate] = []
    true = Pool.add

    def add(pool: Pool, one: Candidate) -> Pool:
        found.append(one)
        return true(pool, one)

    monkeypatch.setattr(Pool, "add", add)
    made = descend(World(), replace(wide(), stop=Stop(steps=3)), train="abcd", validation="abef")
    records = [{**json.loads(line), "at": at} for at, line in enumerate(made.lines(), 1)]
    told = [{**each, "at": one["at"]} for one in records for each in (one, *one["others"])]
    told = sorted((one for one in told if one["accepted"]), key=lambda one: one["candidate"])
    keys = ("candidate", "at", "why", "from")
    assert [(c.number, c.step, c.why, [*c.parents], [*c.changed]) for c in found] == [
        (*(one[key] for key in keys), [*one["proposal"]]) for one in told
    ]
    assert len(found) > 3
    assert all(len(one.scores) == 4 for one in found)  # those of validation
    with pytest.raises(FrozenInstanceError):
        found[0].number = 9  # type: ignore[misc]


@pytest.mark.parametrize("confirm", [None, Confirm(0.5)])
@pytest.mark.parametrize("rule", ["strict", "paired"])
def test_a_pool_that_knows_scores_returns_its_best_candidate(
    confirm: Confirm | None, rule: Literal["strict", "paired"]
) -> None:
    method = replace(
        wide(confirm=confirm, gate=Gate(rule, level=0.9)),
        proposals=Proposals(each=2),
        stop=Stop(steps=1),
    )
    most, fewer = (" ".join(f"Know {one}." for one in letters) for letters in ("abcdef", "efgh"))
    twice = World(in_turn(most, fewer))
    made = descend(twice, method, train="abcdefgh", validation="abcd" if confirm else "")
    assert made.result.accepted == 2
    assert sorted(known(made.result.parameters)) == list("abcdef")
    assert made.result.returned is not None
    assert made.result.returned.why == (
        "0.75 on 8 training examples, the best of those that were accepted"
    )


def test_a_lazy_method_looks_for_other_failures_where_the_known_ones_led_nowhere() -> None:
    useless = World(lambda text, letters: tagged("Recall."))
    made = descend(useless, replace(LAZY, stop=Stop(steps=12)), train=LETTERS)
    drawn = [one.forward.example for step in made.steps for one in step.tried.learned]
    assert len(set(drawn)) == len(drawn) == len(LETTERS)
    found = dict.fromkeys(f"id {letter}" for letter, _ in scored(made) if letter in LETTERS)
    # Those that were found to be failures first come first; two a step.
    taken = [{one.forward.example for one in step.tried.learned} for step in made.steps]
    assert taken == [{*pair} for pair in zip(*[iter(found)] * 2, strict=True)]


def test_what_a_lazy_run_knew_in_the_end_alone_is_recorded() -> None:
    made = descend(World(), LAZY, train="abcd")
    records = [one for one in example_records(made.result) if one["split"] == "train"]
    assert [(one["initial"], one["final"]) for one in records] == [(None, 1.0)] * 4
