"""Proposals of a step that are made and scored at once: what comes of them depends on no clock.

The world is that of test_descent.py, asked through a client with a store. The models answer at
random; each draw is that of the request's key, so that two runs with the same keys are the same.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from backends import Answering
from test_descent import (
    METHOD,
    RECALL,
    Watch,
    World,
    add_what_was_missing,
    descend,
    exactly,
    letters_graph,
    tagged,
)

from sgdflow.data import Example, Splits
from sgdflow.descent import Descent, Result
from sgdflow.descent.confirm import Confirm
from sgdflow.descent.method import Method, Problem, Proposals, Sample, Stop
from sgdflow.descent.pool import PoolRules
from sgdflow.errors import NothingAnswered
from sgdflow.executor.evaluation import First
from sgdflow.executor.functions import Function
from sgdflow.executor.lanes import Lane, Shared
from sgdflow.executor.progress import Joined, Unwatched
from sgdflow.executor.scores import Score
from sgdflow.llm import LLM, Message, Reply, Spent, Usage
from sgdflow.llm.allowance import Allowance
from sgdflow.llm.answers import Answered
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client
from sgdflow.llm.models import Limits, ModelSpec
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.llm.store import Store
from sgdflow.records import step_record
from sgdflow.update import Gate

WIDE = replace(
    METHOD,
    sample=Sample("failing", 3, "waiting"),  # some are drawn for two proposals
    lazy=True,
    proposals=Proposals(parents=2, each=2),
    pool=PoolRules(3, "pareto", merge=True),
    gate=Gate(repeats=2, wave=3),
    stop=Stop(steps=4),
)


def drawn(text: str, random: Random) -> str:
    """Return what a model may say in place of this."""
    if "<improved>" in text:
        return text.replace("</improved>", f" Draw {random.randrange(3)}.</improved>")
    if "</gradient>" in text:
        return text.replace("</gradient>", f" Draw {random.randrange(9)}.</gradient>")
    return "unknown" if len(text) == 1 and random.random() < 0.3 else text


class Drawing(Store):
    """Lets the request's key decide what is drawn."""

    async def keep(self, key: str, request: str, given: Answered) -> Answered:
        text = drawn(given.reply.text, Random(key))
        return await super().keep(
            key, request, replace(given, reply=replace(given.reply, text=text))
        )


@dataclass
class Model(Answering):
    """The world, after a while; after so many requests it ends the run."""

    hurry: Random
    ends: int | None = None
    world: World = field(default_factory=World)
    task: asyncio.Task[Any] | None = None
    asked: int = 0

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        self.asked += 1
        if self.asked == self.ends and self.task is not None:
            self.task.cancel()
        await asyncio.sleep(self.hurry.random() / 200)
        role = spec.model.partition("/")[2]
        last = '<variable name="recall">' in messages[-1].content
        node = RECALL if role == "optimizer" else "answer" if last else "recall"
        said = self.world(role, node, messages)
        assert isinstance(said, str)
        return Answer(said, "stop", Usage(), None)


@dataclass
class Late:
    """Hands requests on after a while, so that they come in another order."""

    llm: LLM
    hurry: Random

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        await asyncio.sleep(self.hurry.random() / 200)
        return await self.llm.complete(role, messages, node=node, sample=sample)

    def spent(self) -> Mapping[str, Spent]:
        return self.llm.spent()


def problem(train: str) -> Problem:
    def split(letters: str) -> tuple[Example, ...]:
        return tuple(Example(f"id {one}", {"letter": one}, one.upper()) for one in letters)

    splits = Splits(split(train), split("abcd"), ())
    return Problem(letters_graph(), Score(Function(exactly, "exactly")), splits, (RECALL,), 7)


def lines(
    file: Path,
    hurry: int,
    method: Method = WIDE,
    ends: int | None = None,
    most: int | None = None,
    world: World = World(),  # noqa: B008
    train: str = "abcdefghijklmn",  # more than are scored at once
    temperature: int = 1,
) -> list[str]:
    """Return the steps of a run with this store; fewer where it is ended."""
    return ran(file, hurry, problem(train), method, ends, most, world, temperature)[0]


def ran(
    file: Path,
    hurry: int,
    asked: Problem,
    method: Method,
    ends: int | None = None,
    most: int | None = None,
    world: World = World(),  # noqa: B008
    temperature: int = 1,
) -> tuple[list[str], Result | None]:
    """Return the same, and the result; None where it is ended."""
    random, watch = Random(hurry), Watch()
    limits = Limits(budget=Allowance(calls=most))
    found: Result | None = None

    async def run() -> Result:
        models = {
            role: ModelSpec(f"simulated/{role}", parameters={"temperature": temperature})
            for role in ("forward", "backward", "optimizer")
        }
        with closing(Drawing(file)) as store:
            model = Model(random, ends, world, asyncio.current_task())
            async with Client(models, limits, {}, store, 3, backend=model) as client:
                late = Late(client, random)
                return await Descent(asked, method, late, watch).run(asked.graph.initial())

    with suppress(asyncio.CancelledError):
        found = asyncio.run(run())
    return [json.dumps(step_record(step)) for step in watch.steps], found


def samples(file: Path) -> Iterator[list[Any]]:
    with closing(sqlite3.connect(file)) as store:
        for (request,) in store.execute("SELECT request FROM replies"):
            yield json.loads(request)["sample"]


def scored(file: Path) -> Iterator[str]:
    """Yield what `recall` was asked, draws and proposals that ask the same included."""
    with closing(sqlite3.connect(file)) as store:
        for (request,) in store.execute("SELECT request FROM replies"):
            asked = json.loads(request)
            if asked["sample"][2] == "recall" and "<improved>" not in request:
                yield json.dumps(asked["messages"])


def test_a_race_comes_to_the_same_whoever_is_answered_first(tmp_path: Path) -> None:
    first = lines(tmp_path / "0.db", 0)
    assert len(first) == 4
    assert any(len(json.loads(line)["others"]) == 3 for line in first)
    assert sum(json.loads(line)["gate"]["calls"] for line in first) > 50
    for hurry in (1, 2):
        assert lines(tmp_path / f"{hurry}.db", hurry) == first


def test_a_budget_ends_a_race_before_the_same_step_whoever_is_answered_first(
    tmp_path: Path,
) -> None:
    found = [lines(tmp_path / f"{hurry}.db", hurry, most=260) for hurry in (0, 1)]
    assert found[0] == found[1]
    assert 0 < len(found[0]) < 4
    assert len([*samples(tmp_path / "0.db")]) == len([*samples(tmp_path / "1.db")]) == 260


@pytest.mark.parametrize("ends", [90, 200, 330])
def test_a_race_that_is_killed_goes_on_to_the_same_end(ends: int, tmp_path: Path) -> None:
    whole = lines(tmp_path / "whole.db", 0)
    ended = lines(tmp_path / "killed.db", 5, ends=ends)
    assert len(ended) < len(whole)
    assert ended == whole[: len(ended)]
    kept = [*samples(tmp_path / "killed.db")]
    assert lines(tmp_path / "killed.db", 6) == whole
    asked = sorted(map(repr, samples(tmp_path / "whole.db")))
    assert sorted(map(repr, samples(tmp_path / "killed.db"))) == asked
    assert 0 < len(kept) < len(asked)


def test_a_confirmation_comes_to_the_same_whoever_is_answered_first_and_after_a_kill(
    tmp_path: Path,
) -> None:
    """Start and winner, which are scored at once, ask `answer` the same and draw by themselves."""
    knowing = letters_graph(" ".join(["Recall.", *(f"Know {one}." for one in "abcd")]))
    asked = replace(problem("efghijkl"), graph=knowing)
    method = replace(WIDE, proposals=Proposals(), pool=PoolRules(), stop=Stop(steps=2))
    method = replace(method, confirm=Confirm(0.5))
    whole, found = ran(tmp_path / "0.db", 0, asked, method)
    assert found is not None
    assert found.confirmation is not None
    assert (found.confirmation.examples, 0 < found.confirmation.before < 1) == (4, True)
    for hurry in (1, 2, 3, 4):
        other = ran(tmp_path / f"{hurry}.db", hurry, asked, method)
        assert (other[0], other[1] and other[1].confirmation) == (whole, found.confirmation)
    total = len([*samples(tmp_path / "0.db")])
    ended, nothing = ran(tmp_path / "killed.db", 5, asked, method, ends=total - 7)
    assert (ended, nothing) == (whole, None)  # all steps, and not what came of them
    again, same = ran(tmp_path / "killed.db", 6, asked, method)
    assert (again, same and same.confirmation) == (whole, found.confirmation)
    assert len([*samples(tmp_path / "killed.db")]) == total


def test_what_was_turned_down_is_not_paid_again_in_a_race_nor_after_a_kill(tmp_path: Path) -> None:
    """Three texts are all that is ever proposed, and none of them is better."""
    method = replace(WIDE, stop=Stop(steps=3), pool=PoolRules(), proposals=Proposals(each=3))
    method = replace(method, lazy=False)
    world = World(lambda text, letters: tagged("Recall no more."))
    whole = lines(tmp_path / "whole.db", 0, method, world=world)
    asked = Counter(one for one in scored(tmp_path / "whole.db") if "no more" in one)
    assert set(asked.values()) == {2}  # the gate's repeats
    assert ["turned down before in step" in line for line in whole] == [False, True, True]
    for ends in (60, 110):
        file = tmp_path / f"{ends}.db"
        assert len(lines(file, 5, method, ends, world=world)) < 3
        assert lines(file, 6, method, world=world) == whole


@pytest.mark.parametrize(("temperature", "requests"), [(0, 1), (1, 2)])
def test_the_same_rewrite_is_asked_for_twice_only_where_the_writer_answers_at_random(
    temperature: int, requests: int, tmp_path: Path
) -> None:
    """Both proposals of a step start from one candidate and learn from the only two failures."""
    method = replace(WIDE, sample=Sample("failing", 2), gate=Gate(), proposals=Proposals(each=2))
    one = replace(method, stop=Stop(steps=1))
    (line,) = lines(tmp_path / "0.db", 0, one, train="ab", temperature=temperature)
    with closing(sqlite3.connect(tmp_path / "0.db")) as store:
        asked = [request for (request,) in store.execute("SELECT request FROM replies")]
    assert sum("<improved>" in request for request in asked) == requests
    step = json.loads(line)
    (other,) = step["others"]
    assert step["accepted"]
    assert step["sampled"]
    assert step["proposal"]
    if temperature == 0:
        assert (other["proposal"], other["accepted"]) == ({}, False)
        assert other["reason"] == "another proposal of the step says the same of the same candidate"
    whole = lines(tmp_path / "whole.db", 1, method, temperature=temperature)
    killed = tmp_path / "killed.db"
    assert len(lines(killed, 2, method, 60, temperature=temperature)) < len(whole)
    assert lines(killed, 3, method, temperature=temperature) == whole


def test_a_single_proposal_asks_as_it_always_did(tmp_path: Path) -> None:
    alone = replace(WIDE, proposals=Proposals(), stop=Stop(steps=2))
    lines(tmp_path / "one.db", 0, alone)
    found = [*samples(tmp_path / "one.db")]
    assert found
    # The sample, the run's seed, the node, and how often it has asked the same.
    assert all(len(one) == 4 and one[1] == 3 and isinstance(one[3], int) for one in found)


@dataclass
class Waiting(Answering):
    """Answers no query with a new text before so many new texts are asked about at once."""

    together: int
    texts: set[str] = field(default_factory=set)
    met: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(
        self,
        spec: ModelSpec,
        messages: Sequence[Message],
        *,
        sample: int,
        key: str | None,
        seconds: float,
    ) -> Answer:
        prompt = messages[-1].content
        role = spec.model.partition("/")[2]
        last = '<variable name="recall">' in prompt
        if role == "forward" and not last and "Know" in prompt:
            self.texts.add(prompt.split("<instruction>\n")[1])
            if len(self.texts) == self.together:
                self.met.set()
            await asyncio.wait_for(self.met.wait(), 20)
        said = World()(role, "answer" if last else RECALL, messages)
        assert isinstance(said, str)
        return Answer(said, "stop", Usage(), None)


def test_all_proposals_of_a_step_are_scored_at_the_same_time() -> None:
    pairs = replace(WIDE, sample=Sample("failing", 2, "waiting"), gate=Gate())
    method = replace(pairs, lazy=False, proposals=Proposals(each=3), stop=Stop(steps=1))
    asked, watch = problem("abcdefgh"), Watch()

    async def run() -> None:
        backend = Waiting(3)
        models = {
            role: ModelSpec(f"simulated/{role}", parameters={"temperature": 0})
            for role in ("forward", "backward", "optimizer")
        }
        async with Client(models, Limits(), {}, backend=backend) as client:
            await Descent(asked, method, client, watch).run(asked.graph.initial())

    asyncio.run(run())
    (step,) = watch.steps
    sampled = [one.forward.example for made in step.proposals for one in made.learned]
    assert len(sampled) == len(set(sampled)) == 6  # each learns from examples of its own
    assert [one.number for one in step.proposals] == [1, 2, 3]


def test_the_best_of_a_race_stands_alone_where_one_is_kept() -> None:
    pairs = replace(WIDE, sample=Sample("failing", 2, "waiting"), pool=PoolRules())
    method = replace(pairs, lazy=False, proposals=Proposals(each=3), stop=Stop(steps=1))

    def short_of_a(text: str, letters: Sequence[str]) -> Said:
        return add_what_was_missing(text, "a" if "a" in letters else letters)

    (step,) = descend(World(short_of_a), replace(method, gate=Gate()), train="abcde").steps
    taken = [one for one in step.proposals if one.decision.accepted]
    assert taken == [step.tried]
    assert {one.gain for one in step.proposals} == {2 / 5, 1 / 5}
    assert step.tried.gain == 2 / 5
    turned = [one.decision.reason for one in step.others]
    assert all("another proposal of the step" in reason for reason in turned)


@dataclass
class CutOff(Model):
    """Gives no answer where a prompt holds a word."""

    word: str = ""

    async def ask(self, spec: ModelSpec, messages: Sequence[Message], **how: Any) -> Answer:
        if spec.model.endswith("forward") and self.word in messages[-1].content:
            self.asked += 1
            return Answer("", "length", Usage(), None)
        return await super().ask(spec, messages, **how)


@pytest.mark.parametrize("word", ["", "Know"])
def test_only_the_very_first_examples_are_tried_before_all_others(word: str) -> None:
    """No proposal of a race asks before them, and none is taken for them later."""
    plain = replace(WIDE, pool=PoolRules(), confirm=Confirm())  # nothing is scored before a step
    asked = problem("abcdefghijklmnopqrstuv")
    asked = replace(asked, first=First(3, lambda kind, node: "So it is."))
    model = CutOff(Random(0), word=word)

    async def run() -> int:
        models = {
            role: ModelSpec(f"simulated/{role}", parameters={"temperature": 0})
            for role in ("forward", "backward", "optimizer")
        }
        async with Client(models, Limits(), {}, backend=model) as client:
            done = await Descent(asked, plain, client, Watch()).run(asked.graph.initial())
        return done.steps

    if word:  # of the texts that are proposed
        assert asyncio.run(run()) == plain.stop.steps
    else:
        with pytest.raises(NothingAnswered):
            asyncio.run(run())
        assert model.asked == 3


def test_a_proposal_that_changes_nothing_takes_no_place_in_the_level(places: list[int]) -> None:
    def worse(text: str, letters: Sequence[str]) -> Said:
        return "nothing" if "a" in letters or "d" in letters else tagged(f"Forget {letters}.")

    pairs = replace(WIDE, sample=Sample("failing", 1, "waiting"), pool=PoolRules(), lazy=False)
    one = replace(pairs, proposals=Proposals(1, 3), gate=Gate("paired", wave=None))
    (step,) = descend(World(worse), replace(one, stop=Stop(steps=1)), train="abcdef").steps
    tried = [made for made in step.proposals if made.proposal.changes]
    assert 0 < len(tried) < len(step.proposals) == 3
    assert [*places[: len(tried)]] == [*range(len(tried))]


@pytest.mark.parametrize(
    ("form", "fallback"), [("joint", True), ("joint", False), ("single", False)]
)
def test_no_two_proposals_that_are_turned_down_share_a_part_of_the_level(
    form: Any, fallback: bool, places: list[int]
) -> None:
    number = count()  # what was turned down before takes no part again

    def worse(text: str, letters: Sequence[str]) -> str:
        return tagged(f"Forget {letters}. {next(number)}")

    method = replace(
        WIDE,
        proposals=Proposals(1, 3, form, fallback),
        pool=PoolRules(),
        gate=Gate("paired", wave=None),
        lazy=False,
        stop=Stop(steps=3),
    )
    made = descend(World(worse, worse), method, train="abcdefgh")
    assert made.result.accepted == 0
    *tried, last = places
    assert last == 0  # that of the smallest gain, in the end
    assert len(tried) == len(set(tried)) >= 9
    assert max(tried) < method.asked(2)


def test_a_step_counts_on_behind_the_last_place_that_was_turned_down(places: list[int]) -> None:
    knows = " ".join(f"Know {one}." for one in "abcdef")
    written = iter([knows, f"{knows} Do so.", *(f"Forget. {n}" for n in range(4))])
    method = replace(
        WIDE,
        proposals=Proposals(1, 3),
        pool=PoolRules(3, "best"),
        gate=Gate("paired", wave=None, level=0.9),
        lazy=False,
        stop=Stop(steps=2),
    )
    made = descend(World(lambda *_: tagged(next(written))), method, train="abcdefgh")
    decided = [[one.decision.accepted for one in step.proposals] for step in made.steps]
    assert decided == [[True, True, False], [False, False, False]]
    assert places[:6] == [0, 1, 2, 3, 4, 5]


def test_who_asks_knows_what_it_has_asked_for_and_nothing_is_scored_twice() -> None:
    asked, llm = problem("abc"), ScriptedLLM(World())
    texts, (a, b, c) = asked.graph.initial(), asked.splits.train

    async def run() -> list[list[str]]:
        whole = asked.evaluator(llm)
        await whole(texts, [a])
        shared = Shared(whole, 2, Unwatched())
        one, other = (Lane(shared, asked.graph, asked.score, llm) for _ in range(2))
        await asyncio.gather(one(texts, [a, b]), other(texts, [b]))
        await one(texts, [c])
        return [[*lane.some(texts, (a, b, c)).outcomes] for lane in (one, other, whole)]

    assert asyncio.run(run()) == [
        ["id a", "id b", "id c"],
        ["id a", "id b"],
        ["id a", "id b", "id c"],
    ]
    assert len([request for request in llm.requests if request.node == "recall"]) == 3


def test_what_several_do_at_once_is_shown_as_one_piece_of_work() -> None:
    seen: list[str] = []

    class Shown:
        def step(self, number: int, most: int) -> None:
            seen.append(f"step {number} of {most}")

        def expect(self, work: str, total: int) -> Any:
            seen.append(f"{work} {total}")
            return lambda score: seen.append(f"{score}")

    joined = Joined(Shown())
    first = joined.expect("scoring", 2)
    first(0.5)
    second = joined.expect("scoring", 3)
    second(1.0)
    joined.expect("learning", 1)(None)
    first(0.0)
    third = joined.expect("scoring", 1)
    second(0.0)
    third(1.0)
    whole = ["scoring 2", "0.5", "scoring 5", "0.5", "1.0", "learning 1", "None"]
    assert seen == [*whole, "scoring 1", "1.0"]
