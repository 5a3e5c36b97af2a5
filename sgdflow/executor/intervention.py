"""Verified blame: a blamed value is replaced by what was asked for, and what follows runs again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import partial
from typing import Any, Literal

from sgdflow.data import Example
from sgdflow.errors import NodeFailed
from sgdflow.executor.backward import BackwardPass
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import PromptForward
from sgdflow.executor.gradients import LOSS, Gradient, Gradients, limited
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.outcomes import Outcome
from sgdflow.executor.places import View
from sgdflow.executor.samples import sample_operands
from sgdflow.executor.walk import together
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call
from sgdflow.prompting.values import few

Verdict = Literal["repaired", "better", "nearer", "open", "no effect", "worse", "untested"]
SUPPORTED: tuple[Verdict, ...] = ("repaired", "better", "nearer")
REFUTED: tuple[Verdict, ...] = ("no effect", "worse")


@dataclass(frozen=True, slots=True)
class Intervention:
    """What came of one value, written anew as its gradients ask."""

    example: str
    node: str
    before: float
    """The score of the example."""
    value: Any = None
    """None: it could not be written."""
    after: float | None = None
    """The score with that value; None where there is none."""
    failure: str | None = None
    moved: Literal["nearer", "otherwise"] | None = None
    """Where the output went at the same score, as seen from the target; None: it is the same."""
    together: bool = False
    """Whether it took the other blamed values, written anew as well, for that score."""
    calls: tuple[Call, ...] = ()
    """Those that wrote the value."""

    @property
    def verdict(self) -> Verdict:
        """Return what the trial says of the gradients."""
        if self.after is None:
            return "untested"
        if self.after > self.before:
            return "repaired" if self.after >= 1 else "better"
        if self.after < self.before:
            return "worse"
        # An answer that is right or wrong cannot show one mended value where more is wrong.
        return "no effect" if self.moved is None else "nearer" if self.moved == "nearer" else "open"


@dataclass(frozen=True, slots=True)
class Verification:
    """Tries, for some failures of a step, whether blamed values are to blame.

    A value costs one call that writes it anew, and those of the nodes after it and of judges.
    """

    ask: Ask
    examples: int = 1
    """Of a step."""
    refuted: Literal["drop", "show"] = "drop"
    """Whether the update rule sees gradients that a trial speaks against."""

    async def verify(
        self,
        graph: Graph,
        parameters: Parameters,
        example: Example,
        outcome: Outcome,
        backward: BackwardPass,
        asks: Callable[[Any], bool],
        evaluate: Evaluator,
        llm: LLM,
    ) -> tuple[Intervention, ...]:
        """Try each value that a gradient asks to change; all of them where none does it alone."""
        assert outcome.score is not None
        before, values = outcome.score, outcome.passed.values
        run_again = partial(_run_again, graph, parameters, example, values, evaluate)

        async def one(name: str) -> Intervention:
            blame = Intervention(example.id, name, before)
            variables = _variables(
                graph.view(name, parameters),
                graph.operands(name, parameters, values).predecessors,
                values[name],
                _asked(backward, name, asks),
            )
            try:
                written = await self._asking(graph, name).send(llm, name, variables)
            except NodeFailed as error:
                return replace(blame, failure=str(error), calls=error.calls)
            value = written.texts[""]
            tried = await run_again({name: value})
            moved = None  # of what broke on the way nothing is known
            if tried.failure is None:
                moved = _moved(example.target, *(_output(graph, one) for one in (outcome, tried)))
            blame = replace(blame, value=value, calls=(written.call,), moved=moved)
            return replace(blame, after=tried.score, failure=tried.failure)

        found = await together(one(name) for name in testable(graph, outcome, backward, asks))
        new = {trial.node: trial.value for trial in found if trial.after is not None}
        if len(new) > 1 and not any(new_score > before for new_score in _scores(found)):
            return _together(found, new, (await run_again(new)).score)
        return found

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        """Yield why nothing could be tried on this graph, and what is wrong with the template."""
        names = _replaceable(graph, graph.reach(optimised))
        if not names:
            yield (
                f"graph '{graph.name}' has no value that could be replaced: no node before "
                f"'{graph.output}' is computed by a model and can be blamed. Take it out."
            )
        forms = {self._asking(graph, name).reply.schema is None: name for name in reversed(names)}
        for name in forms.values():
            view, operands = sample_operands(graph.nodes[name])
            sample = _variables(view, operands.predecessors, "...", (Gradient(LOSS, "..."),))
            yield from self._asking(graph, name).problems(sample, "the trial of a value")

    def _asking(self, graph: Graph, name: str) -> Ask:
        """Return what asks for a value: with all its fields in the form of its node's own reply."""
        forward = graph.nodes[name].forward
        fields = isinstance(forward, PromptForward) and forward.has_fields
        return replace(self.ask, reply=forward.ask.reply) if fields and forward.ask else self.ask

    def most(self, graph: Graph, optimised: Sequence[str], judges: int) -> tuple[int, int]:
        """Return how many values of an example may be written, and the calls that follow them.

        Each outcome is scored by so many judges.
        """
        names = _replaceable(graph, graph.reach(optimised))
        trials = [downstream(graph, name) for name in names]
        if len(names) > 1:
            trials.append(frozenset[str]().union(*trials))  # all of them together
        followed = sum(graph.nodes[name].forward.requests for trial in trials for name in trial)
        return len(names), followed + len(trials) * judges


def _scores(found: Sequence[Intervention]) -> Sequence[float]:
    return [trial.after for trial in found if trial.after is not None]


def testable(
    graph: Graph, outcome: Outcome, backward: BackwardPass, asks: Callable[[Any], bool]
) -> Sequence[str]:
    """Return the nodes before the output whose value a gradient asks to change."""
    if outcome.failure is not None:
        return []
    return [
        name
        for name in _replaceable(graph, graph.order)
        if any(asks(gradient.value) for gradient in backward.gradients.get(name, ()))
    ]


def downstream(graph: Graph, node: str) -> frozenset[str]:
    """Return the nodes that depend on a node."""
    found = {node}
    for name in graph.order:
        if found.intersection(graph.nodes[name].predecessors):
            found.add(name)
    return frozenset(found - {node})


async def _run_again(
    graph: Graph,
    parameters: Parameters,
    example: Example,
    values: Mapping[str, Any],
    evaluate: Evaluator,
    new: Mapping[str, Any],
) -> Outcome:
    """Return the outcome with new values; all that does not depend on them stays as it was."""
    after = frozenset[str]().union(*(downstream(graph, name) for name in new))
    kept = {n: v for n, v in values.items() if n in graph.nodes and n not in after}
    return await evaluate.given(parameters, example, {**kept, **new})


def _output(graph: Graph, outcome: Outcome) -> str:
    passed = outcome.passed
    return str(passed.produced(passed.end(graph.output)))


def _moved(target: Any, before: str, after: str) -> Literal["nearer", "otherwise"] | None:
    """Say whether an output shares more of its words with the target than the one before."""
    if before.split() == after.split():
        return None
    near = [
        SequenceMatcher(None, said.split(), str(target).split(), autojunk=False).ratio()
        for said in (before, after)
    ]
    return "nearer" if target is not None and near[1] > near[0] else "otherwise"


def _together(
    found: tuple[Intervention, ...], new: Mapping[str, Any], score: float | None
) -> tuple[Intervention, ...]:
    """Return the trials; the score with all new values counts for each where it is higher."""
    if score is None or score <= found[0].before:
        return found
    return tuple(
        replace(trial, after=score, together=True) if trial.node in new else trial
        for trial in found
    )


def _replaceable(graph: Graph, among: Collection[str]) -> Sequence[str]:
    """Return the nodes before the output whose value is one reply, in topological order."""

    def written(name: str) -> bool:
        forward = graph.nodes[name].forward
        # A list is written in several replies.
        return isinstance(forward, PromptForward) and (forward.is_text or forward.has_fields)

    return [n for n in graph.order if n in among and n != graph.output and written(n)]


def _asked(backward: BackwardPass, name: str, asks: Callable[[Any], bool]) -> Gradients:
    """Return the gradients to follow: of many successors, their summary where it asks, too."""
    summary = backward.joined.get(name)
    if summary is not None and asks(summary.value):
        return (summary,)
    return tuple(gradient for gradient in backward.gradients[name] if asks(gradient.value))


def _variables(
    node: View, predecessors: Mapping[str, Any], value: Any, gradients: Gradients
) -> Mapping[str, Any]:
    return {
        "node": node,
        "predecessors": few(predecessors),
        "output": value,
        "gradients": limited(gradients),
    }
