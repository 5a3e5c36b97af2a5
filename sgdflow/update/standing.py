"""What a writer is shown of how the parameters do: score, tally of answers, successes, frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.executor.forward import PromptForward
from sgdflow.executor.graph import Operands
from sgdflow.prompting.marks import Own
from sgdflow.update.evidence import Item, gather_evidence
from sgdflow.update.rule import Situation

_MOST_ANSWERS = 6
"""A tally with more different answers tells a reader nothing."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What a node's model is sent, with dots for the instruction and the values."""

    node: str
    text: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How the parameters do as they stand."""

    score: float
    n: int
    answers: str
    """"yes" 35 times, "no" 5 times; empty where answers differ too much to be counted."""
    expected: str


def standing(situation: Situation) -> Standing | None:
    """Return the score and the tally of answers that are known; None where nothing is."""
    scores = situation.standing.scores
    if not scores:
        return None
    output = situation.graph.output
    given = [
        outcome.passed.values.get(output)
        for name, outcome in situation.standing.outcomes.items()
        if name in scores
    ]
    wanted = [situation.targets[name] for name in scores if name in situation.targets]
    answers, expected = _tally(given), _tally(wanted)
    told = (answers, expected) if answers and expected else ("", "")
    return Standing(sum(scores.values()) / len(scores), len(scores), *told)


def successes(situation: Situation, name: str, count: int) -> tuple[Item, ...]:
    """Return at most `count` items of right answers, others in each step."""
    right = [
        outcome.passed
        for outcome in situation.standing.outcomes.values()
        if outcome.score is not None and outcome.score >= 1
    ]
    if not right or not count:
        return ()
    first = situation.step * count % len(right)
    chosen = [*right[first:], *right[:first]][:count]
    return gather_evidence(situation.graph, chosen, None, [name]).get(name, ())[:count]


def frames(situation: Situation, name: str) -> Sequence[Frame]:
    """Return the frame of each node that uses a parameter and asks a model."""
    graph, found = situation.graph, []
    for user in graph.successors[name]:
        node = graph.nodes[user]
        if isinstance(node.forward, PromptForward):
            view = graph.view(user, situation.parameters)
            dots = Operands(
                dict.fromkeys(node.predecessors, "..."), dict.fromkeys(node.parameters, "...")
            )
            found.append(Frame(user, Own(node.forward.frame(view, dots))))
    return found


def about(situation: Situation, name: str) -> str:
    """Return what is declared of the models that use a parameter."""
    forwards = (situation.graph.nodes[user].forward for user in situation.graph.successors[name])
    said = [one.about for one in forwards if isinstance(one, PromptForward) and one.about]
    return "; ".join(dict.fromkeys(said))


def _tally(values: Iterable[Any]) -> str:
    counted = Counter("no answer" if value is None else str(value).strip() for value in values)
    if not counted or len(counted) > _MOST_ANSWERS or any(len(value) > 40 for value in counted):
        return ""
    return ", ".join(f'"{value}" {n} times' for value, n in counted.most_common())
