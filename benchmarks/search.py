"""What a method reaches in the simulated worlds, and what it takes: one row for each setting.

python benchmarks/search.py [--slips 0.05] WORLD[,WORLD] SEEDS SETTING ...

Seeds: 6 (0 to 5) or 100-119. A setting: "method=paper" or "method.lazy=true"; each is compared
with the first, seed by seed. With slips, so many of the critic's replies blame the wrong one.
"""

from __future__ import annotations

import asyncio
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from statistics import fmean, median

from sgdflow.comparison.statistics import estimate, paired_difference
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.data import Example
from sgdflow.descent import Descent, Scores, Step
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.llm import Message, Reply, Spent
from sgdflow.llm.client import Client
from sgdflow.prompting.templates import Prompts

FAN = {
    "colour": "paper",
    **dict.fromkeys(("size", "shape", "origin", "material", "age"), "colour"),
}
"""One hand begins, five go on from what it did."""
DEPTHS = (2, 4, 6, 8)
WORLDS: Mapping[str, Sequence[str]] = {
    "desk2": ("graph=desk", "task=tariff", "task.data.parts=2", "task.splits.train=32"),
    "numbered": ("graph=desk", "task=tariff", "task.data.parts=2", "task.splits.train=32"),
    "products": ("graph=desk", "task=tariff", "task.data.parts=3", "task.data.family=product"),
    "desk4": ("graph=desk", "task=tariff", "task.data.parts=4"),
    "desk5": ("graph=desk", "task=tariff", "task.data.parts=5"),
    "few": (
        *("graph=desk", "task=tariff", "task.data.parts=3"),
        *("task.splits.train=20", "task.splits.validation=0"),
    ),
    "many": (
        *("graph=desk", "task=tariff", "task.data.parts=4"),
        *("task.data.count=400", "task.splits.train=200"),
    ),
    "chain": ("graph=chain", "task=tickets"),
    **{f"chain{n}": ("graph=chain", "task=tickets", f"task.data.fields={n}") for n in DEPTHS},
    "fan": (
        *("graph=chain", "task=tickets", "~graph._target_", "~graph.kind", "~graph.fields"),
        *("graph.name=fan", "+graph.inputs=[paper]", "+graph.output=join", "+graph.nodes={}"),
        *(
            f"+graph.nodes.{name}={{predecessors:[{given}],parameters:"
            f"{{instruction:'Fill in the code of the {name}.'}}}}"
            for name, given in FAN.items()
        ),
        f"+graph.nodes.join={{predecessors:[{','.join(list(FAN)[1:])}],"
        "parameters:{instruction:'Join what was filled in.'}}",
    ),
    "fan-in8": ("graph=desk", "task=tariff", "task.data.parts=8", "task.data.most=2"),
    "fan-in30": (
        *("graph=desk", "task=tariff", "task.data.parts=30", "task.data.most=2"),
        *("task.data.count=220", "task.splits.train=120"),
    ),
    "clerks": ("graph=clerks", "task=forms"),
    "relay": ("graph=relay", "task=dossiers"),
}
NUMBERED = frozenset({"numbered"})
"""Worlds in which every example has a number of its own, so that no two requests are alike."""
COMMON = ("tracking=none", "task.splits.test=60")
GOOD = 0.9
GRADIENT = re.compile(r'<(gradient[\w-]*) name="([\w.]+)">(.*?)</\1>', re.DOTALL)


@dataclass
class Counting:
    """A client at temperature 0, with the characters that it sends counted."""

    llm: Client
    slips: float = 0.0
    """How often the critic says of one value what it should say of another one."""
    characters: int = 0
    asked: set[int] = field(default_factory=set)

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Ask, and count what was not asked before."""
        key = hash((role, *messages, sample))
        if key not in self.asked:
            self.asked.add(key)
            self.characters += sum(len(message.content) for message in messages)
        reply = await self.llm.complete(role, messages, node=node, sample=sample)
        chance = Random(sha256(repr((messages, sample)).encode()).digest()).random()
        slips = role == "backward" and chance < self.slips
        return replace(reply, text=confused(reply.text)) if slips else reply

    def spent(self) -> Mapping[str, Spent]:
        """Return what was used."""
        return self.llm.spent()


def confused(text: str) -> str:
    """Deal the gradients of a reply round; a single one is taken back."""
    said = GRADIENT.findall(text)
    if len(said) == 1:
        said = [(*said[0][:2], "KEEP: it is right.")]
    turned = [*said[1:], *said[:1]]
    return (
        "".join(
            f'<{tag} name="{name}">{words}</{tag}>'
            for (tag, name, _), (_, _, words) in zip(said, turned, strict=True)
        )
        or text
    )


@dataclass
class Watch:
    """Notes what the best texts were after each step, and what had been used by then."""

    llm: Counting
    found: list[tuple[Parameters, int, int]] = field(default_factory=list)
    taken: list[tuple[Parameters, Parameters]] = field(default_factory=list)

    def scored(self, initial: Scores) -> None:
        """Need nothing."""

    def stepped(self, step: Step) -> None:
        """Note it."""
        calls = sum(one.calls for one in self.llm.spent().values())
        self.found.append((step.best, calls, self.llm.characters))
        if step.tried.decision.accepted:
            self.taken.append((step.tried.parameters, step.tried.proposed))


@dataclass(frozen=True)
class Row:
    """One run."""

    final: float
    start: float
    calls: float
    characters: float
    """Until the held-out score was good; infinite where it never was."""
    all_calls: int
    all_characters: int
    worse: int
    accepted: int


async def run(prepared: Prepared, slips: float) -> Row:
    """Run a method without splits that are for the report alone, and judge it on those."""
    problem = prepared.problem
    splits = problem.splits
    blind = type(splits)(splits.train, splits.validation, ())
    unseen = type(problem)(problem.graph, problem.score, blind, problem.optimised, problem.seed)
    async with _client(prepared) as llm, _client(prepared) as apart:
        counting = Counting(llm, slips)
        watch = Watch(counting)
        result = await Descent(unseen, prepared.method, counting, watch).run(prepared.start)
        evaluate = Evaluator(problem.graph, problem.score, apart)

        known: dict[str, float] = {}

        async def truth(parameters: Parameters) -> float:
            texts = repr(sorted(parameters.items()))
            if texts not in known:
                summary = (await evaluate(parameters, splits.test)).summary()
                known[texts] = summary.mean if summary else 0.0
            return known[texts]

        reached = (math.inf, math.inf)
        for best, calls, characters in watch.found:
            if await truth(best) >= GOOD:
                reached = (calls, characters)
                break
        pairs = [(await truth(old), await truth(new)) for old, new in watch.taken]
        return Row(
            await truth(result.parameters),
            await truth(prepared.start),
            *reached,
            sum(one.calls for one in counting.spent().values()),
            counting.characters,
            sum(new < old for old, new in pairs),
            len(pairs),
        )


def numbered(prepared: Prepared) -> Prepared:
    """Return the run with a number in every example's inputs."""

    def one(example: Example) -> Example:
        number = example.id.replace("/", "-")
        texts = {name: f"{text} Reference: {number}." for name, text in example.inputs.items()}
        return replace(example, inputs=texts)

    splits = prepared.problem.splits
    parts = (splits.train, splits.validation, splits.test)
    told = type(splits)(*(tuple(map(one, part)) for part in parts))
    return replace(prepared, problem=replace(prepared.problem, splits=told))


def _client(prepared: Prepared) -> Client:
    calling = prepared.calling
    return Client(calling.models, calling.limits, {}, backend=calling.backend)


def line(rows: Sequence[Row]) -> str:
    """Say what runs came to, in cells of a table."""
    final = estimate([row.final for row in rows], (0.0, 1.0))
    calls, characters = (median(getattr(r, name) for r in rows) for name in ("calls", "characters"))
    never = sum(math.isinf(row.calls) for row in rows)
    taken = sum(row.accepted for row in rows)
    interval = "all equal"
    if not final.flat and final.low is not None:
        interval = f"{final.low:.2f} to {final.high:.2f}"
    reached = "never" if math.isinf(calls) else f"{calls:.0f}"
    sent = "" if math.isinf(characters) else f"{characters / 1000:.0f}"
    return (
        f"{final.mean:.3f} ({interval}) | {reached} | {never} | {sent} "
        f"| {fmean(row.all_calls for row in rows):.0f} "
        f"| {fmean(row.all_characters for row in rows) / 1000:.0f} "
        f"| {sum(row.worse for row in rows)} of {taken} "
        f"| {sum(row.final < row.start for row in rows)}"
    )


def compared(first: Sequence[Row], other: Sequence[Row]) -> str:
    """Say how another setting did on the same seeds: score, and calls in all."""
    found = []
    for name in ("final", "all_calls"):
        pairs = zip(first, other, strict=True)
        tested = paired_difference([getattr(b, name) - getattr(a, name) for a, b in pairs])
        found.append(f"{name} {tested.estimate.mean:+.3f} (p = {tested.p or 1:.2g})")
    return "; ".join(found)


def main() -> None:
    """Print a table."""
    words = sys.argv[1:]
    slips = 0.0
    if words[0] == "--slips":
        slips, words = float(words[1]), words[2:]
    worlds, seeds, *settings = words
    first, _, last = seeds.rpartition("-")
    drawn = range(int(first), int(last) + 1) if first else range(int(last))
    prompts = Prompts(prompt_folders(Path.cwd()))
    print(
        "| world | setting | held-out score | calls to 0.9 | never | 1,000 characters "
        "| calls in all | 1,000 characters in all | truly worse | below start |"
    )
    print("|" + " --- |" * 10)
    for world in worlds.split(","):
        against: Sequence[Row] | None = None
        for setting in settings:
            rows = []
            for seed in drawn:
                declared = [*WORLDS[world], *setting.split(), f"seed={seed}", *COMMON]
                ready = prepare(compose(declared), prompts, {})
                ready = numbered(ready) if world in NUMBERED else ready
                rows.append(asyncio.run(run(ready, slips)))
            print(f"| {world} | `{setting}` | {line(rows)} |", flush=True)
            if against is not None:
                print(f"    against the first: {compared(against, rows)}", flush=True)
            against = against or rows


if __name__ == "__main__":
    main()
