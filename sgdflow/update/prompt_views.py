"""What the update rules' templates are shown of parameters and of earlier steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sgdflow.executor.gradients import Gradient, limited
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.intervention import REFUTED, SUPPORTED
from sgdflow.executor.places import View
from sgdflow.executor.reasons import reasoning
from sgdflow.prompting.values import few, shortened
from sgdflow.update.evidence import Item
from sgdflow.update.rule import Past, Situation, Went

SAMPLE_ITEM = Item("example", "node", {"input": "..."}, "...", (Gradient("successor", "..."),))
SAMPLE_MEMBER = View("node", ("input",), (), {"instruction": "..."})

_GRADIENTS = 6
"""Gradients that are shown with a text as it stood before."""
_LONGEST_REPLY = 500
"""Characters of a reply, and of a value, that are shown with a text that was tried."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """What a node made of an example with a text that was turned down, as templates see it."""

    node: str
    given: Mapping[str, str]
    wrote: str
    better: bool = False


SAMPLE_WROTE = Wrote("node", {"input": "..."}, "...")


@dataclass(frozen=True, slots=True)
class Attempt:
    """A text that was tried, as templates see it."""

    text: str
    score: float | None
    before: float | None = None
    """The score that it had to beat."""
    reason: str = ""
    """What the gate said."""
    most: float | None = None
    """The highest score that it could have had, where it was not scored to the end."""
    accepted: bool = False
    beside: tuple[str, ...] = ()
    """Parameters that had new texts, too, when it was scored."""
    replies: tuple[Wrote, ...] = ()
    """What a node made of some examples with it, where it was turned down."""
    since: tuple[str, ...] = ()
    """Parameters that have other texts now than those it was scored with; `beside` apart."""

    @property
    def scored(self) -> str:
        """Return the score in words: "0.45", or "at most 0.45"."""
        return score_words(self.score, self.most)

    @property
    def verdict(self) -> str:
        """Return what became of it: `Turned down, worse: 0.5 -> 0.25 on 4 examples (...)`."""
        return verdict_words(self.accepted, self.reason or f"score {self.scored}")


@dataclass(frozen=True, slots=True)
class Stand:
    """How a parameter stood in an earlier step, and the gradients it received."""

    step: int
    text: str
    gradients: Sequence[Gradient]


def score_words(score: float | None, most: float | None) -> str:
    """Say a score, or the bound that is known in its place, or that there is neither."""
    if score is None:
        return "not scored to the end" if most is None else f"at most {most:.3g}"
    return f"{score:.3g}"


def verdict_words(accepted: bool, reason: str) -> str:
    """Say what became of a try, as the gate said it."""
    return f"{'Accepted' if accepted else 'Turned down'}, {reason}."


def members(situation: Situation, name: str) -> Sequence[View]:
    """Return the places of the nodes that use a parameter, as a prompt tells them."""
    nodes = situation.graph.successors[name]
    return [situation.graph.view(node, situation.parameters).few() for node in nodes]


def examples(items: Sequence[Item], *, numbered: bool = False) -> Sequence[Mapping[str, Any]]:
    """Return evidence for a template; with numbers where a reply is to name single items."""
    return [
        {
            "number": number if numbered else 0,
            "node": item.node,
            "predecessors": few(item.predecessors),
            "reasoning": item.reasoning,
            "output": item.output,
            "gradients": limited(item.gradients),
            "verdict": item.verdict if item.verdict in (*SUPPORTED, *REFUTED) else "",
            "summary": item.summary,
        }
        for number, item in enumerate(items, 1)
    ]


def tries(
    history: Sequence[Past],
    name: str,
    count: int,
    graph: Graph | None = None,
    now: Parameters | None = None,
) -> Sequence[Attempt]:
    """Return the latest `count` texts of a parameter that the gate saw, oldest first.

    With the parameters as they are now, those that have changed since are named.
    With a graph it is known what a node that uses the text replied: to several examples with the
    last text that was turned down, to one with each before it.
    """
    all_tried = (one for past in history for one in (*past.dropped, past))
    mine = [past for past in all_tried if name in past.proposal.changes]
    newest = next((past for past in reversed(mine) if past.went), None)
    found = [
        Attempt(
            past.proposal.changes[name],
            past.after,
            past.before,
            past.decision.reason,
            past.most if past.after is None else None,
            past.decision.accepted,
            tuple(other for other in past.proposal.changes if other != name),
            tuple(_wrote(past.went[: None if past is newest else 1], name, graph)) if graph else (),
            tuple(_moved(past, now)) if now is not None else (),
        )
        for past in mine
    ]
    return found[max(0, len(found) - count) :]


def _moved(past: Past, now: Parameters) -> Iterator[str]:
    """Yield the parameters whose texts are others than when a proposal was scored."""
    for name, value in past.parameters.items():
        if name not in past.proposal.changes and now.get(name, value) != value:
            yield name


def _wrote(went: Sequence[Went], name: str, graph: Graph) -> Iterator[Wrote]:
    """Yield what a node that uses a parameter was given, and its reply, reasoning first."""
    for one in went:
        passed = one.passed
        node = next((node for node in graph.successors[name] if passed.calls.get(node)), "")
        if node:
            values = few({v: passed.values.get(v) for v in graph.nodes[node].predecessors})
            given = {one.name: shortened(str(one.value), _LONGEST_REPLY) for one in values}
            reply = f"{reasoning(graph, passed, node)}\n{passed.produced(node)}".strip()
            yield Wrote(node, given, shortened(reply, _LONGEST_REPLY), one.better)


def stands(history: Sequence[Past], name: str, count: int) -> Sequence[Stand]:
    """Return the latest `count` texts that a parameter had in earlier steps, oldest first.

    Each comes once, with the step that it stood in last and gradients of that one; a text that was
    turned down is none of them. At most so many gradients are shown, and so much of each, as a
    prompt has room for however many examples a step learns from.
    """
    found: dict[Any, Stand] = {}
    for past in history:
        if name in past.evidence:
            text = past.parameters[name]
            found.pop(text, None)
            told = [gradient for item in past.evidence[name] for gradient in item.gradients]
            few = [_briefly(gradient) for gradient in told[:_GRADIENTS]]
            found[text] = Stand(past.step, text, few)
    return list(found.values())[max(0, len(found) - count) :]


def _briefly(gradient: Gradient) -> Gradient:
    if len(str(gradient.value)) <= _LONGEST_REPLY:
        return gradient
    return replace(gradient, value=shortened(str(gradient.value), _LONGEST_REPLY))


def not_texts(graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
    """Yield the parameters that a model cannot write."""
    for name in optimised:
        value = graph.parameters[name].initial
        if not isinstance(value, str):
            yield (
                f"parameter '{name}' is {value!r}; a rewrite needs a text. "
                "Declare min and max or choices, so that a model can write it; freeze it (frozen: "
                "true), or write it as text."
            )
