"""Prompts as a first step would send them: rendered with examples, measured, never sent."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sgdflow.config.prepare import Prepared
from sgdflow.data import Example, Splits
from sgdflow.errors import listed, plural
from sgdflow.executor.forward import forward_roles
from sgdflow.executor.graph import Graph
from sgdflow.inspection.findings import Finding
from sgdflow.llm import Message, Reply
from sgdflow.llm.models import estimated_tokens
from sgdflow.plan.pretending import pretended_graph
from sgdflow.plan.rehearsal import Scenario, rehearse
from sgdflow.plan.standin import Assumed, StandIn
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.backend import GUESSES, only_guesses

_LONGEST = 8
"""Examples of each split that are rendered: the first, and the longest of the others."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What rendering came to."""

    largest: Mapping[str, tuple[int, str]]
    """By role: estimated tokens, and the node that the prompt is about."""
    troubles: tuple[str, ...]
    """Why some prompts could not be rendered."""
    guessed: bool = False
    """Whether simulated models are asked that know nothing of any node's prompt."""


class _Measuring(StandIn):
    """Keeps the size of the largest prompt of each role, and the different prompts of nodes."""

    def __init__(
        self,
        prepared: Prepared,
        largest: dict[str, tuple[int, str]],
        work: dict[tuple[Message, ...], None],
    ) -> None:
        calling = prepared.calling
        assumed = prepared.config.llm.assumed
        prices = dict.fromkeys(calling.models)
        super().__init__(calling.models, calling.limits, Assumed(0.0, assumed.tokens), prices)
        self._largest = largest
        self._work = work
        self._working = frozenset(forward_roles(prepared.problem.graph).values())

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return a made-up reply."""
        tokens = estimated_tokens(*(message.content for message in messages))
        if tokens > self._largest.get(role, (0, ""))[0]:
            self._largest[role] = (tokens, node)
        if role in self._working:
            self._work[tuple(messages)] = None
        return await super().complete(role, messages, node=node, sample=sample)


def rehearsed(prepared: Prepared) -> Rehearsed:
    """Render all prompts of a first step with some examples; code nodes are not run."""
    problem = prepared.problem
    splits = _few(problem.splits, problem.graph.inputs)
    few = replace(problem, graph=pretended_graph(problem.graph), splits=splits)
    largest: dict[str, tuple[int, str]] = {}
    work: dict[tuple[Message, ...], None] = {}
    found = rehearse(
        few,
        prepared.method,
        prepared.start,
        lambda: _Measuring(prepared, largest, work),
        Scenario(accepted=1.0, at_once=True),
        steps=min(1, prepared.method.stop.steps),
    )
    return Rehearsed(largest, tuple(dict.fromkeys(found.troubles)), _guessed(prepared, work))


def _guessed(prepared: Prepared, work: Collection[Sequence[Message]]) -> bool:
    """Return whether all nodes ask simulated models, none of which knows what they are asked."""
    graph, models = prepared.problem.graph, prepared.calling.models
    roles = set(forward_roles(graph).values())
    # What code makes of the examples, they may know; here it is not run.
    if any(node.forward.ask is None for node in graph.nodes.values()):
        return False
    return only_guesses(models, roles, work)


def prompt_findings(found: Rehearsed, windows: Mapping[str, int | None]) -> Iterator[Finding]:
    """Yield prompts that cannot be rendered, and those that no model of their role can read."""
    for trouble in found.troubles:
        yield Finding(trouble)
    for role, (tokens, node) in found.largest.items():
        window = windows.get(role)
        if window is not None and tokens > window:
            yield Finding(
                f"llm.models.{role}: a prompt about {node} has {_about(tokens)}, more than "
                f"the {window:,} that its model reads. Choose a model that reads more, or shorten "
                "what it is shown."
            )
    if found.guessed:
        yield Finding(f"llm: {GUESSES}.", wrong=False)


def _about(tokens: int) -> str:
    return f"about {plural(tokens, 'token')}"


def used_variables(graph: Graph, prompts: Prompts) -> Mapping[str, tuple[Sequence[str], str]]:
    """Return, for each prompt of nodes, these nodes and what it uses, in words."""
    nodes: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        if node.forward.ask is not None:
            nodes.setdefault(node.forward.ask.prompt, []).append(node.name)
    return {
        prompt: (names, listed(sorted(prompts.mentioned(prompt) - {"mark", "asks_for"})))
        for prompt, names in nodes.items()
    }


def _few(splits: Splits, inputs: Sequence[str]) -> Splits:
    def size(example: Example) -> int:
        return sum(len(str(example.inputs.get(name, ""))) for name in inputs)

    def few(examples: tuple[Example, ...]) -> tuple[Example, ...]:
        longest = sorted(examples[1:], key=size, reverse=True)[: _LONGEST - 1]
        return (*examples[:1], *longest)

    return Splits(few(splits.train), few(splits.validation), few(splits.test))
