"""Evidence: what the update rule sees of one parameter."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from sgdflow.executor.backward import BackwardPass
from sgdflow.executor.branches import SKIPPED
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.gradients import Gradients
from sgdflow.executor.graph import Graph
from sgdflow.executor.intervention import REFUTED, SUPPORTED, Intervention, Verdict
from sgdflow.executor.reasons import reasoning
from sgdflow.executor.tree import Summary
from sgdflow.executor.walk import Failure
from sgdflow.prompting.ask import Call


@dataclass(frozen=True, slots=True)
class Learned:
    """What one sampled example taught: its passes and the feedback between them."""

    forward: ForwardPass
    score: float
    feedback: Any = None
    backward: BackwardPass | None = None
    failure: str | None = None
    """Why there is no feedback."""
    calls: tuple[Call, ...] = ()
    """Those that wrote the feedback."""
    unanswered: Failure | None = None
    """Why there is no output; the passes then meet at the node where it began."""
    interventions: tuple[Intervention, ...] = ()
    """Trials of what its gradients ask for."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a node that uses the parameter was given, produced and was told, for one example."""

    example: str
    node: str
    predecessors: Mapping[str, Any]
    output: Any
    gradients: Gradients
    """Empty where the method makes no backward pass."""
    reasoning: str = ""
    """What its model wrote besides the output."""
    verdict: Verdict = "untested"
    """What a trial of the gradients showed."""
    summary: Summary | None = None
    """What stands for many items, which are `behind` it; the rest of this one is empty then."""
    behind: tuple[Item, ...] = ()


Evidence = Mapping[str, tuple[Item, ...]]
"""Parameter name -> its items, by example and then by node; only parameters that have some."""

ItemAggregation = Callable[[tuple[Item, ...]], tuple[Item, ...]]


def collect(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Keep every item."""
    return items


def distinct(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Keep the first of items that show the same work with the same gradients."""
    first: dict[str, Item] = {}
    for item in items:
        first.setdefault(repr((item.node, item.predecessors, item.output, item.gradients)), item)
    return tuple(first.values())


AGGREGATIONS: Mapping[str, ItemAggregation] = {"collect": collect, "distinct": distinct}


def gather_evidence(
    graph: Graph,
    forward: Sequence[ForwardPass],
    backward: Mapping[str, BackwardPass] | None,
    optimised: Collection[str],
    aggregate: ItemAggregation = collect,
) -> Evidence:
    """Return the evidence for each optimised parameter, in declared order.

    `backward` holds the backward passes by example. None: the method makes none, and every
    forward pass counts. Otherwise a node that received no gradient gives no evidence.
    """
    found: dict[str, tuple[Item, ...]] = {}
    for parameter in graph.parameters:
        if parameter not in optimised:
            continue
        items = tuple(
            item
            for passed in forward
            for name in graph.successors[parameter]
            for item in _items(graph, parameter, name, passed, backward)
        )
        if items:
            found[parameter] = aggregate(items)
    return found


def weighed(
    evidence: Evidence,
    interventions: Iterable[Intervention],
    refuted: str = "drop",
    asks: Callable[[Any], bool] = bool,
) -> Evidence:
    """Mark what trials showed: what they support comes first, what they refute last or not at all.

    refuted: "drop" or "show". What a node says of itself, and asks for nothing, no trial speaks of.
    """
    verdicts = {(one.example, one.node): one.verdict for one in interventions}
    found: dict[str, tuple[Item, ...]] = {}
    for name, items in evidence.items():
        marked = [
            replace(item, verdict=verdicts.get((item.example, item.node), "untested"))
            if any(asks(gradient.value) for gradient in item.gradients)
            else item
            for item in items
        ]
        kept = [one for one in marked if refuted == "show" or one.verdict not in REFUTED]
        if kept:
            rank = {verdict: 0 for verdict in SUPPORTED} | {verdict: 2 for verdict in REFUTED}
            found[name] = tuple(sorted(kept, key=lambda one: rank.get(one.verdict, 1)))
    return found


def shuffled(evidence: Evidence, random: Random) -> Evidence:
    """Deal the gradients of each node to examples on which it produced something else.

    A gradient dealt to the same output would not be wrong. Items that no such gradient is
    left for are left out.
    """
    dealt = {name: _dealt(items, random) for name, items in evidence.items()}
    return {name: items for name, items in dealt.items() if items}


def dealt_across_nodes(evidence: Evidence, random: Random) -> Evidence:
    """Deal the gradients of each parameter to items of another one.

    A parameter that is the only one with evidence has nobody to deal with, and is left out.
    """
    items = [(name, item) for name, found in evidence.items() for item in found]
    dealt: dict[str, dict[int, Item]] = {}
    pairs = _exchanged(range(len(items)), lambda place: items[place][0], random) if items else ()
    for place, other in pairs:
        name, item = items[place]
        moved = replace(item, gradients=items[other][1].gradients)
        dealt.setdefault(name, {})[place] = moved
    return {
        name: tuple(dealt[name][place] for place in sorted(dealt[name]))
        for name in evidence
        if name in dealt
    }


def _dealt(items: tuple[Item, ...], random: Random) -> tuple[Item, ...]:
    found: dict[int, Item] = {}
    for node in dict.fromkeys(item.node for item in items):
        places = [place for place, item in enumerate(items) if item.node == node]
        for place, other in _exchanged(places, lambda place: repr(items[place].output), random):
            found[place] = replace(items[place], gradients=items[other].gradients)
    return tuple(found[place] for place in sorted(found))


def _exchanged(
    places: Sequence[int], alike: Callable[[int], str], random: Random
) -> Iterable[tuple[int, int]]:
    """Pair places with others, each once, so that no two of a pair are alike."""
    groups: dict[str, list[int]] = {}
    for place in random.sample(places, len(places)):
        groups.setdefault(alike(place), []).append(place)
    largest = max(groups.values(), key=len)
    del largest[len(places) - len(largest) :]  # at most half of all may be alike
    order = [place for group in groups.values() for place in group]
    # Groups stand together: whoever is as far away as the largest is long stands in another.
    return zip(order, order[len(largest) :] + order[: len(largest)], strict=True)


def _items(
    graph: Graph,
    parameter: str,
    name: str,
    passed: ForwardPass,
    backward: Mapping[str, BackwardPass] | None,
) -> Iterator[Item]:
    """Yield what a node shows; of a program that was heard, what its own calls show."""
    made = backward.get(passed.example) if backward is not None else None
    if made is None or name not in made.within:
        if (item := _item(graph, parameter, name, passed, backward)) is not None:
            yield item
        return
    within = made.within[name]
    inner, calls = within.unfolded, {passed.example: within.backward}
    for call in inner.graph.successors.get(parameter, ()):
        item = _item(inner.graph, parameter, call, inner.passed, calls)
        if item is not None:  # for those who know the whole graph, it is the program's work
            yield replace(item, node=name)


def _item(
    graph: Graph,
    parameter: str,
    name: str,
    passed: ForwardPass,
    backward: Mapping[str, BackwardPass] | None,
) -> Item | None:
    there = name in passed.values or name == passed.end(graph.output)
    if not there or passed.values.get(name) is SKIPPED:
        return None
    gradients: Gradients = ()
    if backward is not None:
        gradients = _gradients(parameter, name, backward.get(passed.example))
        if not gradients:
            return None
    predecessors = {p: passed.values[p] for p in graph.nodes[name].predecessors}
    output = passed.produced(name)
    besides = reasoning(graph, passed, name)
    return Item(passed.example, name, predecessors, output, gradients, besides)


def _gradients(parameter: str, node: str, passed: BackwardPass | None) -> Gradients:
    """Return the parameter's own gradients where there are some, else its node's."""
    if passed is None:
        return ()
    own = passed.gradients.get(parameter)
    if own is not None:
        return tuple(gradient for gradient in own if gradient.source == node)
    return passed.gradients.get(node, ())
