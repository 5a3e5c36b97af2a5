"""Evidence of many examples, summed up before a text is written from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgdflow.errors import NodeFailed
from sgdflow.executor.graph import Graph
from sgdflow.executor.tree import Tree
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Call
from sgdflow.update.evidence import Evidence, Item
from sgdflow.update.prompt_views import SAMPLE_ITEM, SAMPLE_MEMBER, examples, members
from sgdflow.update.rule import Proposal, Situation, UpdateRule


@dataclass(frozen=True, slots=True)
class Condensed:
    """Evidence as an update rule sees it, and what it took to sum it up."""

    evidence: Evidence
    skipped: Mapping[str, str]
    """Parameter -> why its evidence could not be summed up; it is not rewritten then."""
    calls: Mapping[str, tuple[Call, ...]]

    def beside(self, proposal: Proposal) -> Proposal:
        """Return the proposal with these calls and reasons in front of its own."""
        found = {name: items[0].summary for name, items in self.evidence.items()}
        summaries = {name: one for name, one in found.items() if one is not None}
        whole = proposal.after(self.skipped, self.calls)
        return replace(whole, summaries={**summaries, **proposal.summaries})


async def condensed(situation: Situation, tree: Tree | None, llm: LLM) -> Condensed:
    """Return the evidence with the gradients of many successors, and many items, summed up."""
    evidence = _of_successors(situation)
    many = {n: items for n, items in evidence.items() if tree and len(items) >= tree.fewest}
    if tree is None or not many:
        return Condensed(evidence, {}, {})
    found = await _summed_up(many, situation, tree, llm)
    kept = {
        name: found.evidence.get(name, items)
        for name, items in evidence.items()
        if name not in found.skipped
    }
    return replace(found, evidence=kept)


async def grouped(
    proposal: Proposal, situation: Situation, update: UpdateRule, tree: Tree | None, llm: LLM
) -> Proposal:
    """Return the proposal with the texts whose prompts were too long, asked for once more.

    Their writers are shown summaries of groups of what they could not be shown whole.
    """
    shown = {name: situation.evidence.get(name, ()) for name in proposal.too_long}
    many = {name: items for name, items in shown.items() if len(items) > 1}
    if tree is None or not many:
        return proposal
    summed = await _summed_up(many, situation, tree, llm)
    again = Proposal({})
    if summed.evidence:
        again = await update.propose(replace(situation, evidence=summed.evidence), llm)
    again = summed.beside(again)
    skipped = {name: why for name, why in proposal.skipped.items() if name not in many}
    whole = again.after(skipped, proposal.calls)
    return replace(whole, changes={**proposal.changes, **again.changes}, causes=proposal.causes)


async def _summed_up(many: Evidence, situation: Situation, tree: Tree, llm: LLM) -> Condensed:
    """Return each parameter's evidence as one summary."""

    async def one(name: str) -> tuple[Item | str, tuple[Call, ...]]:
        try:
            found = await tree.join(
                many[name],
                lambda group: _variables(situation, name, group),
                name,
                llm,
                situation.sample,
            )
        except NodeFailed as error:
            return str(error), error.calls
        summary = Item("", "", {}, "", (), summary=found.summary, behind=tuple(many[name]))
        return summary, found.calls

    found = dict(zip(many, await together(map(one, many)), strict=True))
    skipped = {name: said for name, (said, _) in found.items() if isinstance(said, str)}
    summed = {n: (item,) for n, (item, _) in found.items() if isinstance(item, Item)}
    return Condensed(summed, skipped, {name: calls for name, (_, calls) in found.items()})


def summary_problems(tree: Tree) -> Iterator[str]:
    """Yield what is wrong with the template that sums up evidence."""
    sample = {
        "parameter": {"name": "parameter", "text": "..."},
        "members": [SAMPLE_MEMBER],
        "examples": examples([SAMPLE_ITEM]),
    }
    yield from tree.problems(sample, "the summary of examples")


def most_items(graph: Graph, parameter: str, sampled: int) -> int:
    """Return how many items so many examples give a parameter at most."""
    return sampled * len(graph.successors[parameter])


def _variables(situation: Situation, name: str, group: Sequence[Item]) -> Mapping[str, Any]:
    return {
        "parameter": {"name": name, "text": situation.parameters[name]},
        "members": members(situation, name),
        "examples": examples(group),
    }


def _of_successors(situation: Situation) -> Evidence:
    """Put the summaries of gradients that a tree has joined in the place of the gradients."""
    joined = {
        (one.forward.example, node): gradient
        for one in situation.learned
        if one.backward
        for node, gradient in one.backward.joined.items()
    }

    def seen(item: Item) -> Item:
        gradient = joined.get((item.example, item.node))
        own = any(one.source == item.node for one in item.gradients)
        return item if gradient is None or own else replace(item, gradients=(gradient,))

    return {name: tuple(map(seen, items)) for name, items in situation.evidence.items()}
