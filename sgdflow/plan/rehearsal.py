"""A rehearsal: a run with made-up replies, which is counted and never sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from hashlib import sha256
from typing import Any, ClassVar

from sgdflow.descent import Descent, Scores, Step
from sgdflow.descent.method import Method, Problem
from sgdflow.executor.backward_functions import CallableBackward
from sgdflow.executor.constraints import Constraints
from sgdflow.executor.evaluation import Evaluation
from sgdflow.executor.fields import FieldForward
from sgdflow.executor.forward import CallableForward
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import collect
from sgdflow.executor.graph import Computed, Graph, Node, Operands, Parameters, View
from sgdflow.executor.loss import CallableLoss
from sgdflow.executor.samples import Anything
from sgdflow.llm import LLM, Spent
from sgdflow.plan.scores import PretendedScore
from sgdflow.plan.standin import AnyForm, NoWaiting, StandIn, made_up
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.update import CallableUpdate, Decision, Gate, Proposal, Situation, StepCalls
from sgdflow.update import evidence as items
from sgdflow.update.checks import no_check
from sgdflow.update.optoprime import Whole
from sgdflow.update.rewrite import Rewrite

Taken = Mapping[str, Spent]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is taken for granted about proposals."""

    accepted: float
    """Share of the proposals that the gate takes."""
    changed: float = 1.0
    """Share of the parameters that a proposal changes, at least one."""
    at_once: bool = False
    """Others are turned down as early as can be, instead of after a full evaluation."""


@dataclass(frozen=True, slots=True)
class Moment:
    """All that a rehearsal had taken at some moment."""

    taken: Taken
    seconds: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was counted: before the first step, after each step, and at the end."""

    moments: tuple[Moment, ...]
    stop_reason: str
    troubles: tuple[str, ...]
    """Why some prompts could not be rendered with made-up values."""


def rehearse(
    problem: Problem,
    method: Method,
    start: Parameters,
    llm: Callable[[], StandIn],
    scenario: Scenario,
    steps: int,
) -> Rehearsal:
    """Go through a run of at most so many steps; the budget, too, ends it."""
    judges = tuple(map(_pretended, problem.score.judges()))
    pretended = replace(
        problem,
        graph=_pretended_graph(problem.graph),
        score=PretendedScore(bool(scenario.accepted), judges),
        first=None,
    )
    # Patience is a matter of the scenario; a score that is good enough, of luck.
    stop = replace(method.stop, steps=steps, patience=None, score=2.0)
    declared = method.gate
    wave, first = (declared.wave, declared.first) if scenario.at_once else (None, None)
    same = {one.name: getattr(declared, one.name) for one in fields(declared)}
    gate = _Decided(**{**same, "wave": wave, "first": first}, scenario=scenario)
    rehearsed = replace(
        method,
        loss=_pretended(method.loss),
        differentiation=_differentiation(method),
        aggregate_examples=items.collect,
        verification=_pretended(method.verification),
        tree=_pretended(method.tree),
        update=_Thinned(_pretended(method.update), scenario.changed),
        gate=gate,
        stop=stop,
    )
    with asyncio.Runner(loop_factory=NoWaiting) as runner:
        return runner.run(_run(pretended, rehearsed, start, llm()))


async def _run(problem: Problem, method: Method, start: Parameters, llm: StandIn) -> Rehearsal:
    watch = _Watch(llm)
    result = await Descent(problem, method, llm, watch).run(start)
    watch.note()
    return Rehearsal(tuple(watch.moments), result.stop_reason, tuple(watch.troubles))


@dataclass(frozen=True, slots=True)
class _Watch:
    llm: StandIn
    moments: list[Moment] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def note(self) -> None:
        self.moments.append(Moment(self.llm.spent(), asyncio.get_running_loop().time()))

    def scored(self, initial: Scores) -> None:
        self.note()
        for evaluation in initial.evaluations.values():
            self._trouble(evaluation)

    def stepped(self, step: Step) -> None:
        self.note()
        tried = step.tried
        self._trouble(tried.current)
        self.troubles.extend(one.failure for one in tried.learned if one.failure)
        for one in tried.learned:
            failures = one.backward.failures.values() if one.backward else ()
            self.troubles.extend(failure.reason for failure in failures)
        self.troubles.extend(tried.proposal.skipped.values())

    def _trouble(self, evaluation: Evaluation) -> None:
        outcomes = evaluation.outcomes.values()
        self.troubles.extend(one.failure for one in outcomes if one.failure is not None)


# What stands in for the parts of a run that ask somebody, or that are somebody's own.


@dataclass(frozen=True, slots=True)
class _AnyReply(ReplyFormat):
    """Asks as the declared format does, and takes any reply for one in that format."""

    longest: int | None = None

    def read(self, text: str, names: Sequence[str] = (), *, cut: bool = False) -> Mapping[str, str]:
        share = len(text) // (len(names) or 1) // 4
        if self.longest is not None:
            share = min(share, self.longest // 4)
        made = {name: made_up(_digest(name, text), max(share, 4)) for name in names or [""]}
        return {"": Anything(made[""])} if self.schema is not None else made


def _pretended(thing: Any) -> Any:
    """Return a part of a method or node that takes any reply."""
    if isinstance(thing, CallableForward | FieldForward):
        return _OwnForward()
    if isinstance(thing, CallableBackward):
        return _OwnBackward(thing)
    if isinstance(thing, CallableLoss):
        return CallableLoss(Function(lambda output, target: f"Not {output}.", "loss"))
    if isinstance(thing, CallableUpdate):
        return _OwnUpdate()
    if not is_dataclass(thing) or isinstance(thing, type):
        return thing
    longest = getattr(thing, "max_characters", None)
    asks = {
        one.name: replace(ask, reply=_any(ask.reply, longest), attempts=1)
        for one in fields(thing)
        if isinstance(ask := getattr(thing, one.name), Ask)
    }
    if isinstance(thing, Rewrite | Whole):
        thing = replace(thing, check=no_check)
    if isinstance(thing, Rewrite):
        thing = replace(thing, form=AnyForm(thing.form))
    return replace(thing, **asks) if asks else thing


def _pretended_graph(graph: Graph) -> Graph:
    def node(real: Node) -> Node:
        return replace(real, forward=_pretended(real.forward), backward=_pretended(real.backward))

    # Made-up texts keep to nothing.
    free = {name: replace(one, constraints=Constraints()) for name, one in graph.parameters.items()}
    nodes = {name: node(real) for name, real in graph.nodes.items()}
    return replace(graph, nodes=nodes, parameters=free)


def _differentiation(method: Method) -> Any:
    how = method.differentiation
    tree = _pretended(how and how.tree)
    return how and replace(how, default=_pretended(how.default), aggregate=collect, tree=tree)


def _any(declared: ReplyFormat, longest: int | None) -> _AnyReply:
    return _AnyReply(
        declared.format,
        declared.tag,
        declared.partial,
        reasoning=declared.reasoning,
        schema=declared.schema,
        longest=longest,
    )


def _digest(*parts: object) -> str:
    return sha256(repr(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _OwnForward:
    """In place of a node's Python function, which may do anything."""

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        return Computed(Anything(made_up(_digest(node.name, operands), 4)))

    def problems(self, node: Node) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, slots=True)
class _OwnBackward:
    real: CallableBackward

    def targets(self, *where: Any) -> Sequence[str]:
        return self.real.targets(*where)

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        return Computed({name: f"Another {name}." for name in targets})

    def problems(self, node: Node) -> Iterator[str]:
        return iter(())


@dataclass(frozen=True, slots=True)
class _OwnUpdate:
    goes_by_scores: ClassVar[bool] = True

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        return Proposal({n: f"Text {situation.step} of {n}." for n in situation.optimised})

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        return iter(())

    def calls(self, parameters: int) -> StepCalls:
        return StepCalls()


@dataclass(frozen=True, slots=True)
class _Thinned:
    """An update rule of whose changes a share is kept, each parameter in its turn."""

    rule: Any
    share: float

    async def propose(self, situation: Situation, llm: LLM) -> Proposal:
        proposal: Proposal = await self.rule.propose(situation, llm)
        names = list(proposal.changes)
        each = self.share * len(names)
        begin, end = int((situation.step - 1) * each), int(situation.step * each)
        kept = {names[i % len(names)] for i in range(begin, max(end, begin + 1)) if names}
        return replace(proposal, changes={n: v for n, v in proposal.changes.items() if n in kept})

    def problems(self, graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
        return iter(())

    def calls(self, parameters: int) -> StepCalls:
        return self.rule.calls(parameters)  # type: ignore[no-any-return]

    @property
    def goes_by_scores(self) -> bool:
        return self.rule.goes_by_scores  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class _Decided(Gate):
    """Takes its share of the proposals, spread evenly."""

    scenario: Scenario = field(default_factory=lambda: Scenario(1.0))
    asked: list[None] = field(default_factory=list)

    def decide(self, current: Evaluation, candidate: Evaluation) -> Decision:
        self.asked.append(None)
        number, share = len(self.asked), self.scenario.accepted
        return Decision(int(number * share + 0.5) > int((number - 1) * share + 0.5), "")

    def certain(self, current: Evaluation, candidate: Evaluation) -> Decision | None:
        sure = self.scenario.at_once and (candidate.outcomes or not current.outcomes)
        return Decision(False, "") if sure else None
