"""What a writer is shown of how the parameters do: score, tally of answers, successes, frames."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from sgdflow.executor.forward import PromptForward
from sgdflow.executor.graph import Operands
from sgdflow.executor.graph_names import SYSTEM
from sgdflow.prompting.marks import Own
from sgdflow.prompting.values import MOST, named, shortened
from sgdflow.update.evidence import Item, gather_evidence
from sgdflow.update.rule import Situation
from sgdflow.update.tally import tally

_LONGEST = 3000
"""Characters that are shown of what a node with many predecessors is sent."""


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
    """As they were read: `"no" 35, "yes" 5`; empty where they differ too much to be counted."""
    expected: str
    """The same of what should have been read."""
    constant: str = ""
    """`38 of 40 answers are "no" (20 should be)`; empty where they are not so equal."""


def standing(situation: Situation) -> Standing | None:
    """Return the score and the tally of answers that are known; None where nothing is."""
    scores = situation.standing.scores
    if not scores:
        return None
    found = tally(situation.standing, situation.targets, situation.graph.output, situation.reader)
    mean = sum(scores.values()) / len(scores)
    return Standing(mean, len(scores), found.answers, found.wanted, found.constant)


def successes(
    situation: Situation, names: Collection[str], count: int
) -> Mapping[str, tuple[Item, ...]]:
    """Return at most `count` items of right answers for each parameter, others in each step."""
    right = situation.standing.right
    if not right or not count:
        return {}
    first = situation.step * count % len(right)
    chosen = [one.passed for one in [*right[first:], *right[:first]][:count]]
    found = gather_evidence(situation.graph, chosen, None, names)
    return {name: items[:count] for name, items in found.items()}


def frames(situation: Situation, name: str) -> Sequence[Frame]:
    """Return the frames of the nodes that use a parameter and ask a model, equal ones once."""
    graph = situation.graph
    alike: dict[str, list[str]] = {}
    for node in graph.successors[name]:
        if isinstance(graph.nodes[node].forward, PromptForward):
            alike.setdefault(_frame(situation, node), []).append(node)
    return [Frame(named(names), text) for text, names in alike.items()]


def _frame(situation: Situation, name: str) -> Own:
    node = situation.graph.nodes[name]
    assert isinstance(node.forward, PromptForward)
    dots = Operands(dict.fromkeys(node.predecessors, "..."), dict.fromkeys(node.parameters, "..."))
    view = situation.graph.view(name, situation.parameters)
    text = node.forward.frame(view, dots)
    # With fewer it is as long as its own template.
    return Own(text if len(node.predecessors) <= MOST else shortened(text, _LONGEST))


def ways(situation: Situation) -> Sequence[Frame]:
    """Return the frame of one node for each way in which models are asked, with all their names."""
    graph = situation.graph
    alike: dict[str, list[str]] = {}
    for name in graph.order:
        if isinstance(one := graph.nodes[name].forward, PromptForward):
            own = SYSTEM in graph.nodes[name].parameters
            way = repr((one.ask.prompt, one.ask.reply, "" if own else one.system, own))
            alike.setdefault(way, []).append(name)
    return [Frame(named(names), _frame(situation, names[0])) for names in alike.values()]


def about(situation: Situation, *names: str) -> str:
    """Return what is declared of the models that use these parameters, or of all."""
    graph = situation.graph
    users = [user for name in names for user in graph.successors[name]] or graph.order
    forwards = (graph.nodes[user].forward for user in users)
    said = [one.about for one in forwards if isinstance(one, PromptForward) and one.about]
    return "; ".join(dict.fromkeys(said))
