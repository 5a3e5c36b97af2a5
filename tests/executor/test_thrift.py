"""Scores of what an example took: the price of its calls, and how long somebody waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest
from backends import Answering

from sgdflow.config.build import build_graph, expand_graph
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.data import Example
from sgdflow.errors import ScoringFailed
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.graph import Graph
from sgdflow.executor.objectives import Thrift
from sgdflow.executor.outcomes import Outcome
from sgdflow.executor.scores import Verdict
from sgdflow.executor.took import Took, took
from sgdflow.llm import Message, Reply, Usage
from sgdflow.llm.backend import Answer
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.models import Price
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.llm.store import Store
from sgdflow.prompting.ask import Call
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.source import read_steps
from sgdflow.runs.run import optimise
from sgdflow.tracking import NullTracker

PROMPTS = Prompts(prompt_folders(Path("nowhere")))


def call(node: str, cost: float | None, seconds: float | None) -> Call:
    return Call(node, "forward", (), "", Usage(), cost=cost, seconds=seconds)


def ways(graph: Graph, name: str) -> Iterator[Sequence[str]]:
    """Every way that leads to a node, one by one."""
    before = graph.upstream[name]
    if not before:
        yield [name]
    for one in before:
        yield from ([*way, name] for way in ways(graph, one))


@pytest.mark.parametrize("seed", range(20))
def test_an_example_takes_all_costs_and_the_longest_way(seed: int) -> None:
    draw = Random(seed)
    nodes: dict[str, Any] = {}
    for number in range(7):
        others = draw.sample(sorted(nodes), draw.randint(0, min(3, len(nodes))))
        nodes[f"n{number}"] = {"predecessors": ["q", *others], "parameters": {"i": "Do it."}}
    nodes["end"] = {"predecessors": sorted(nodes), "parameters": {"i": "Do it."}}
    conf = {"name": "g", "inputs": ["q"], "nodes": nodes, "output": "end"}
    graph = build_graph(expand_graph(conf), PROMPTS)
    calls = {
        name: tuple(
            call(name, draw.randint(0, 9), draw.randint(0, 9)) for _ in range(draw.randint(0, 3))
        )
        for name in nodes
    }
    with_tools = {name for name in nodes if draw.random() < 0.3}

    def own(name: str) -> float:
        each = [one.seconds or 0 for one in calls[name]]
        return sum(each) if name in with_tools else max([0, *each])

    passed = ForwardPass("one", {}, calls, {}, dict.fromkeys(with_tools, "called"))
    found = took(graph, passed)
    assert found.cost == sum(one.cost or 0 for each in calls.values() for one in each)
    assert found.seconds == max(sum(map(own, way)) for way in ways(graph, "end"))
    # What nobody knows of one call is not known of the example.
    lacking = ForwardPass("one", {}, {**calls, "n0": (call("n0", None, None),)}, {})
    assert took(graph, lacking) == Took(None, None)


@pytest.mark.parametrize(
    ("what", "found", "said"),
    [
        ("cost", 0.0, Verdict(1.0)),
        ("cost", 0.001, Verdict(1.0)),
        ("cost", 0.0025, Verdict(0.5, "It took $0.0025; $0.001 would be enough.")),
        ("cost", 0.004, Verdict(0.0, "It took $0.004; $0.001 would be enough.")),
        ("cost", 7.0, Verdict(0.0, "It took $7; $0.001 would be enough.")),
        ("latency", 12.5, Verdict(0.0, "It took 12.5 s; 0.001 s would be enough.")),
    ],
)
def test_between_the_bounds_it_scores_in_proportion(what: Any, found: float, said: Verdict) -> None:
    measured = Took(found, None) if what == "cost" else Took(None, found)
    scorer = Thrift(what, 0.001, 0.004)
    run = scorer(Example("one", {}, None), {}, "", ScriptedLLM({}), measured)
    verdict = asyncio.run(run)
    assert verdict.score == pytest.approx(said.score)
    assert verdict.feedback == said.feedback


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("cost", "nobody knows the price of one of its calls; declare it (llm.prices)"),
        ("latency", "it has a stored reply of which no time was noted; ask anew"),
    ],
)
def test_what_is_not_known_ends_the_run(what: Any, told: str) -> None:
    run = Thrift(what, 1, 2)(Example("one", {}, None), {}, "", ScriptedLLM({}), Took())
    with pytest.raises(ScoringFailed) as raised:
        asyncio.run(run)
    assert told in str(raised.value)


def test_the_shipped_experiment_weighs_the_price_of_an_examples_own_calls() -> None:
    config = compose(["experiments=frugal"])
    ready = prepare(config, PROMPTS, {})
    objectives = config["task"]["score"]["objectives"]
    (enough, too_much), price = objectives["cheap"]["score"]["cost"], Price(10, 40)

    async def scored() -> Outcome:
        async with ready.calling.opened(Path("nowhere"), {}) as llm:
            evaluator = Evaluator(ready.problem.graph, ready.problem.score, llm)
            example = ready.problem.splits.test[0]
            return (await evaluator(ready.start, [example])).outcomes[example.id]

    outcome = asyncio.run(scored())
    calls = [one for each in outcome.passed.calls.values() for one in each]
    assert {one.node for one in calls} == {"weight", "zone", "service", "desk"}
    cost = sum(
        (price.prompt * one.usage.prompt + price.completion * one.usage.completion) / 1e6
        for one in calls
    )
    assert enough < cost < too_much
    cheap = (too_much - cost) / (too_much - enough)
    right = float(outcome.feedback.startswith("right scores 1 "))
    weights = [one.get("weight", 1) for one in objectives.values()]
    assert outcome.score == pytest.approx((right * weights[0] + cheap * weights[1]) / sum(weights))
    assert f"cheap scores {cheap:.3g} of 1: It took ${cost:.3g}; $" in outcome.feedback


@dataclass
class Slow(Answering):
    """Answers after a while, which is another one each time."""

    asked: int = 0

    async def ask(self, spec: ModelSpec, messages: Sequence[Message], **how: Any) -> Answer:
        self.asked += 1
        await asyncio.sleep(0.05 * self.asked)
        return Answer("yes", "stop", Usage(1, 1), 0.5)

    async def close(self) -> None:
        """Close nothing."""


def test_a_stored_reply_took_what_it_took_when_it_was_asked(tmp_path: Path) -> None:
    backend, said = Slow(), [Message("user", "Is it?")]

    async def seconds(mode: Any) -> float | None:
        store = Store(tmp_path / "replies.db", mode, 0)
        models = {"forward": ModelSpec("openai/m", parameters={"temperature": 0})}
        limits = Limits(timeout=20, retries=0)
        async with Client(models, limits, {}, store, backend=backend) as llm:
            reply = await llm.complete("forward", said, node="a")
        store.close()
        assert reply.cost == 0.5
        return reply.seconds

    first = asyncio.run(seconds("use"))
    assert first is not None
    assert first >= 0.05
    assert asyncio.run(seconds("use")) == asyncio.run(seconds("replay")) == first
    assert backend.asked == 1


def test_what_each_of_several_scores_says_reaches_every_parameter(tmp_path: Path) -> None:
    """An answer is wrong, dear, slow and long: each is said of it, and heard by every node."""
    told: list[str] = []
    prices = {"weight": 5, "zone": 4, "service": 3}

    def team(role: str, node: str, messages: Sequence[Message]) -> Reply:
        if role == "backward":
            told.append(str(messages[-1].content))
            gradients = (f'<gradient name="{n}">As {n}, be brief.</gradient>' for n in prices)
            return Reply("".join(gradients), Usage(), cost=0.5, seconds=1)
        if role == "optimizer":
            return Reply("<improved>Be brief.</improved>", Usage(), cost=0.5, seconds=1)
        text = f"<output>{'a lot of words ' * 20} 1</output>"
        return Reply(text, Usage(), cost=0.005, seconds=10)

    others = [
        "tracking=none",
        "method.stop.steps=1",
        "method.sample.count=1",
        "method.confirm=null",
    ]
    ready = prepare(compose(["experiments=weighed", *others]), PROMPTS, {})
    folder = RunFolder(tmp_path / "run")
    asyncio.run(optimise(ready, {}, ScriptedLLM(team), NullTracker(), folder))
    [step] = read_steps(folder.path / "steps.jsonl")
    [learned] = step["sampled"]
    # Four nodes at half a cent each; the desk waits for three that work beside each other.
    assert learned["feedback"].split("What was said of it: ")[1].split("\n") == [
        "right scores 0 of 1",
        "cheap scores 0 of 1: It took $0.02; $0.001 would be enough.",
        "quick scores 0.727 of 1: It took 20 s; 5 s would be enough.",
        "short scores 0.494 of 1: It has 81 words; 40 are enough.",
    ]
    assert all("quick scores 0.727 of 1" in text for text in told)
    names = {f"{node}.instruction" for node in (*prices, "desk")}
    assert set(step["proposal"]) == names
    assert {source for node in prices for source in sources(learned, node)} == {"desk"}
    assert sources(learned, "desk") == {"loss"}


def sources(learned: Any, node: str) -> set[str]:
    return {one["source"] for one in learned["gradients"][node]}
