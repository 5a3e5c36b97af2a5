"""Prompts as a first step would send them: rendered with examples, measured, never sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sgdflow.config.prepare import Prepared
from sgdflow.data import Example, Splits
from sgdflow.errors import listed, plural
from sgdflow.executor.graph import Graph
from sgdflow.inspection.findings import Finding
from sgdflow.llm import Message, Reply
from sgdflow.llm.models import estimated_tokens
from sgdflow.plan.rehearsal import Scenario, rehearse
from sgdflow.plan.standin import Assumed, StandIn
from sgdflow.prompting.templates import Prompts

_LONGEST = 8
"""Examples of each split that are rendered: the first, and the longest of the others."""


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What rendering came to."""

    largest: Mapping[str, tuple[int, str]]
    """By role: estimated tokens, and the node that the prompt is about."""
    troubles: tuple[str, ...]
    """Why some prompts could not be rendered."""


class _Measuring(StandIn):
    """Keeps the size of the largest prompt of each role."""

    def __init__(self, prepared: Prepared, largest: dict[str, tuple[int, str]]) -> None:
        calling = prepared.calling
        assumed = prepared.config.llm.assumed
        prices = dict.fromkeys(calling.models)
        super().__init__(calling.models, calling.limits, Assumed(0.0, assumed.tokens), prices)
        self._largest = largest

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        """Return a made-up reply."""
        tokens = estimated_tokens(*(message.content for message in messages))
        if tokens > self._largest.get(role, (0, ""))[0]:
            self._largest[role] = (tokens, node)
        return await super().complete(role, messages, node=node, sample=sample)


def rehearsed(prepared: Prepared) -> Rehearsed:
    """Render all prompts of a first step with some examples; code nodes are not run."""
    problem = prepared.problem
    few = replace(problem, splits=_few(problem.splits, problem.graph.inputs))
    largest: dict[str, tuple[int, str]] = {}
    found = rehearse(
        few,
        prepared.method,
        prepared.start,
        lambda: _Measuring(prepared, largest),
        Scenario(accepted=1.0, at_once=True),
        steps=min(1, prepared.method.stop.steps),
    )
    return Rehearsed(largest, tuple(dict.fromkeys(found.troubles)))


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
