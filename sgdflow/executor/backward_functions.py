"""The backward functions: a prompt, a Python callable, and what a code node has without either."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sgdflow.errors import OVERFLOW, NodeFailed
from sgdflow.executor.backward_views import Work
from sgdflow.executor.branches import plain
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import (
    LOSS,
    Gradient,
    Gradients,
    as_gradients,
    heard,
    joint_wish,
    limited,
)
from sgdflow.executor.graph import BackwardFunction, Computed, Node, Operands
from sgdflow.executor.places import View
from sgdflow.executor.repetition import asking_once_for_more, repeating, taking_all
from sgdflow.executor.samples import ANYTHING, sample_operands
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call
from sgdflow.prompting.replies import check_length
from sgdflow.prompting.templates import Prompts
from sgdflow.prompting.values import MOST, few, shown


@dataclass(frozen=True, slots=True)
class PromptBackward:
    """A backward function that asks a model."""

    ask: Ask
    per_edge: bool = False
    """One call for each predecessor instead of one for all."""
    neighbors: bool = True
    """Whether a call for one predecessor shows the others."""
    of_parameters: bool = False
    """Whether it also gives gradients of the node's own parameters."""
    rules: bool = False
    """Whether gradients that only repeat the feedback are asked for once more."""
    local: bool = False
    """Whether a node that has predecessors to blame says apart what it lacks itself."""
    at_once: int | None = None
    """How many targets one call has at most, the node itself aside; None: all, all of it whole."""
    max_characters: int | None = None
    """Of a gradient; a longer one is asked for again."""

    def targets(
        self, node: Node, reach: Collection[str], optimised: Collection[str]
    ) -> Sequence[str]:
        """Return predecessors and, as declared, parameters or the node itself."""
        upstream, own = _upstream(node, reach), _own(node, optimised)
        if self.of_parameters:
            return [*upstream, *own]
        return [*upstream, node.name] if self.local and upstream and own else upstream

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        """Return one text for each target."""
        groups = self.groups(targets, node.name)
        work = {"output": output, "gradients": limited(as_gradients(gradient))}
        # A critic may hand on the rule that another one gave: what tells the target is the loss.
        said = heard(work["gradients"])
        given = operands.predecessors.values()
        repeats = repeating(said, output, given) if self.rules and said else None

        async def about(group: Sequence[str], seen: Work, *, short: bool) -> Computed:
            """Do without right work, then halve, where a prompt does not fit the model's window."""
            try:
                answered = await self.ask.send(
                    llm,
                    node.name,
                    {**self._variables(seen, group, short=short), **work},
                    group,
                    accept=self._taking(repeats),
                )
            except NodeFailed as error:
                beside = self.neighbors and len(operands.predecessors) > 1
                plain, halves = seen.alone(), _halves(group, node.name)
                if error.kind == OVERFLOW and seen.node.successes:
                    return await _all_of([about(group, plain, short=short)], error.calls)
                if error.kind != OVERFLOW or (len(halves) == 1 and (short or not beside)):
                    raise
                return await _all_of((about(one, seen, short=True) for one in halves), error.calls)
            return Computed(answered.texts, (answered.call,))

        short = self._short(operands.predecessors, targets)
        whole = Work(node, operands)
        return await _all_of(about(group, whole, short=short) for group in groups)

    def _taking(self, repeats: Callable[[str], bool] | None) -> Callable[[Mapping[str, Any]], None]:
        """Return what refuses gradients that are too long or, once, only repeat what was said."""
        heard = asking_once_for_more(repeats) if repeats else taking_all

        def accept(texts: Mapping[str, Any]) -> None:
            for name, text in texts.items():
                check_length(str(text), self.max_characters, f"what it says of {name}")
            heard(texts)

        return accept

    def _short(self, predecessors: Collection[str], targets: Collection[str]) -> bool:
        """Return whether what a call is not about stands in short beside what it is about."""
        if self.at_once is None:
            return False
        about = sum(target in predecessors for target in targets)
        return about > self.at_once or len(predecessors) > max(self.at_once, MOST)

    def groups(self, targets: Sequence[str], node: str) -> Sequence[Sequence[str]]:
        """Return the targets of each call, in order, in groups that are as equal as can be."""
        if self.per_edge:
            return [[target] for target in targets]
        others = [target for target in targets if target != node]
        if self.at_once is None or len(others) <= self.at_once:
            return [list(targets)] if targets else []
        number = -(-len(others) // self.at_once)
        ends = [len(others) * place // number for place in range(number + 1)]
        found = [others[start:end] for start, end in pairwise(ends)]
        return [*found[:-1], [*found[-1], node]] if node in targets else found

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what is wrong with the template for this node."""
        targets = self.targets(node, node.predecessors, node.parameters.values())
        if not targets:
            return
        view, operands = sample_operands(node)
        targets = targets[:1] if self.per_edge else targets
        sample = self._variables(Work(view, operands), targets)
        work = {"output": ANYTHING, "gradients": (Gradient(LOSS, "..."),)}
        yield from self.ask.problems({**sample, **work}, f"node '{node.name}'", targets)

    def _variables(
        self, seen: Work, targets: Sequence[str], *, short: bool = False
    ) -> Mapping[str, Any]:
        # For a parameter no predecessor is a neighbor to hide: they are what it worked with.
        hidden = not self.neighbors and any(t in seen.operands.predecessors for t in targets)
        work = seen.shown(targets, hidden=hidden, short=short)
        return {**work, "max_characters": self.max_characters}


async def _all_of(
    asked: Iterable[Coroutine[Any, Any, Computed]], before: tuple[Call, ...] = ()
) -> Computed:
    """Return what several calls said, after those that were made in vain.

    All of them come to their end: which calls are made depends on no clock. Raises the first
    failure, with all calls.
    """

    async def ended(one: Coroutine[Any, Any, Computed]) -> Computed | NodeFailed:
        try:
            return await one
        except NodeFailed as error:
            return error

    found = await together(map(ended, asked))
    calls = (*before, *(call for one in found for call in one.calls))
    texts: dict[str, Any] = {}
    for one in found:
        if isinstance(one, NodeFailed):
            raise NodeFailed(str(one), calls, one.kind) from one
        texts |= one.value
    return Computed(texts, calls)


def _halves(group: Sequence[str], node: str) -> Sequence[Sequence[str]]:
    """Return two parts of a group, or one; the node itself is asked about beside another target."""
    others, own = [one for one in group if one != node], [one for one in group if one == node]
    middle = len(others) // 2
    return [part for part in (others[:middle], [*others[middle:], *own]) if part]


def _upstream(node: Node, reach: Collection[str]) -> list[str]:
    return [name for name in node.predecessors if name in reach]


def _own(node: Node, optimised: Collection[str]) -> list[str]:
    return [local for local, full in node.parameters.items() if full in optimised]


@dataclass(frozen=True, slots=True)
class CallableBackward:
    """A backward function in Python: (operands, output, gradient) -> {operand: gradient}."""

    function: Function

    def targets(
        self, node: Node, reach: Collection[str], optimised: Collection[str]
    ) -> Sequence[str]:
        """Return predecessors and parameters."""
        return [*_upstream(node, reach), *_own(node, optimised)]

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        """Return what the function returns; an operand it leaves out gets no gradient."""
        given = operands.all()
        known = dict(zip(given, plain(given.values()), strict=True))
        result = await self.function(known, output, gradient)
        if not isinstance(result, Mapping):
            raise NodeFailed(
                f"{self.function.name} returned {result!r}, not a mapping of gradients"
            )
        if unknown := [name for name in result if name not in operands.all()]:
            raise NodeFailed(f"{self.function.name} returned gradients for unknown {unknown}")
        return Computed(result)

    def problems(self, node: Node) -> Iterator[str]:
        """Yield why the function cannot be called."""
        yield from self.function.problems("operands", "output", "gradient")


@dataclass(frozen=True, slots=True)
class PassThrough:
    """The backward function of a code node that declares none: no call is made.

    Every predecessor receives the node's own gradient together with what the node was
    given and what it computed, as the template puts it.
    """

    prompts: Prompts
    prompt: str = "backward/passthrough.jinja"

    def targets(
        self, node: Node, reach: Collection[str], optimised: Collection[str]
    ) -> Sequence[str]:
        """Return predecessors: a code node has nothing to be told."""
        return _upstream(node, reach)

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        """Return the same text for each target."""
        text = self.prompts.text(
            self.prompt,
            {
                "node": node,
                "predecessors": few(operands.predecessors),
                "output": output,
                "gradients": limited(as_gradients(gradient)),
            },
        )
        if asked := joint_wish(as_gradients(gradient)):
            text = f"{asked.upper()}: {text}"
        return Computed(dict.fromkeys(targets, text))

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what is wrong with the template."""
        view, operands = sample_operands(node)
        sample = {
            "node": view,
            "predecessors": shown(operands.predecessors),
            "output": ANYTHING,
            "gradients": (Gradient(LOSS, "..."),),
        }
        yield from self.prompts.problems(self.prompt, sample, f"node '{node.name}'")


def handed_on(function: BackwardFunction | None, gradients: Gradients) -> str:
    """Return the feedback on the answer that a node's predecessors are told in its own words."""
    return "\n".join(heard(gradients)) if isinstance(function, PassThrough) else ""
