"""Worlds in which the truth about every proposal is known, for gate_null.py and gate_noise.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sgdflow.data import Example, Splits
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.descent.confirm import Confirm
from sgdflow.descent.method import Method, Problem, Proposals, Sample, Stop
from sgdflow.executor.forward import CallableForward
from sgdflow.executor.functions import Function
from sgdflow.executor.graph import Graph, Node, Parameter
from sgdflow.executor.loss import CallableLoss
from sgdflow.executor.scores import Score
from sgdflow.llm import LLM
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.update import CallableUpdate, Gate, Proposal, Situation
from sgdflow.update import evidence as items

TEXT = "work.instruction"


@dataclass(frozen=True)
class Judged:
    """A proposal that was decided on, and what was true of it."""

    accepted: bool
    gain: float
    """True accuracy of the proposal less that of what it was to replace."""
    evaluated: int


@dataclass
class World:
    """A node of code whose true accuracy is a function of its text."""

    seed: int
    flips: float | None = None
    """None: each call is right at random, with the accuracy in the text. Else an item is right in
    60 % of all cases, and flips with this probability where the text is another."""
    moves: float = 0.0
    """How far a proposal moves the accuracy, up or down."""
    texts: int = 1
    """How many texts the node has; each of them flips items of its own."""
    calls: dict[tuple[str, str], int] = field(default_factory=dict)

    def truth(self, text: str) -> float:
        """Return the accuracy that the text stands for."""
        return float(text.split()[1]) if self.flips is None else 0.6

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the texts."""
        return (TEXT, *(f"{TEXT}_{i}" for i in range(1, self.texts)))

    def right(self, item: str, instruction: str, **more: str) -> str:
        """Answer an item."""
        if self.flips is None:
            nth = self.calls[item, instruction] = self.calls.get((item, instruction), 0) + 1
            return str(self._draw(item, instruction, nth) < self.truth(instruction))
        plain = self._draw(item) < 0.6
        for text in (instruction, *(f"{name} {text}" for name, text in more.items())):
            plain ^= self._draw(item, text) < self.flips
        return str(plain)

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        """Move the accuracy at random; in a world without accuracies, only renumber the text."""
        text = str(situation.parameters[TEXT])
        if self.flips is not None:
            return Proposal(dict.fromkeys(self.names, f"text {situation.step}"))
        moved = self.truth(text) + situation.random.uniform(-self.moves, self.moves)
        return Proposal({TEXT: f"accuracy {min(1.0, max(0.0, moved)):.6f} {situation.step}"})

    def _draw(self, *parts: object) -> float:
        digest = sha256(repr((self.seed, *parts)).encode()).digest()
        return int.from_bytes(digest[:7], "big") / 2**56


@dataclass(frozen=True)
class Watch:
    """Keeps the steps."""

    steps: list[Step] = field(default_factory=list)

    def scored(self, initial: Scores) -> None:
        """Need nothing."""

    def stepped(self, step: Step) -> None:
        """Keep it."""
        self.steps.append(step)


@dataclass(frozen=True)
class Run:
    """What became of one run."""

    result: Result
    judged: Sequence[Judged]
    start: float
    end: float
    """True accuracies."""


def descend(
    world: World, start: str, gate: Gate, train: int, steps: int, confirm: Confirm | None, held: int
) -> Run:
    """Run a descent in a world; several texts are tried together, and then each by itself."""
    graph = Graph(
        "work",
        ("item",),
        {name: Parameter(name, start) for name in world.names},
        {
            "work": Node(
                "work",
                ("item",),
                {name.partition(".")[2]: name for name in world.names},
                CallableForward(Function(world.right, "")),
            )
        },
        "work",
    )
    examples = [Example(f"{i}", {"item": str(i)}, "True") for i in range(train + held)]
    splits = Splits(tuple(examples[:train]), tuple(examples[train:]), ())
    score = Score(Function(lambda output, target: float(output == target), "score"))
    problem = Problem(graph, score, splits, world.names, world.seed)
    method = Method(
        "gate",
        Sample("failing", 2),
        CallableLoss(Function(lambda output, target: "", "loss")),
        None,
        items.collect,
        CallableUpdate(Function(world.propose, "propose")),
        gate,
        Stop(steps, score=2.0),
        confirm=confirm,
        proposals=Proposals(fallback=True),
    )
    watch = Watch()
    nobody = ScriptedLLM({})
    result = asyncio.run(Descent(problem, method, nobody, watch).run(graph.initial()))
    truth = world.truth
    return Run(
        result,
        list(_judged(world, watch.steps)),
        truth(start),
        truth(str(result.parameters[TEXT])),
    )


def _judged(world: World, steps: Sequence[Step]) -> Iterator[Judged]:
    for step in steps:
        tried: Any = step.tried
        if tried.proposal.changes:
            old, new = str(tried.parameters[TEXT]), str(tried.proposed[TEXT])
            gain = world.truth(new) - world.truth(old)
            yield Judged(tried.decision.accepted, gain, tried.gating.evaluated)
