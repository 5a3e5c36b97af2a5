"""What a run would take, from rehearsals of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from sgdflow.config.prepare import Prepared
from sgdflow.config.schema import AssumedConf
from sgdflow.errors import every, plural
from sgdflow.llm import Spent, Usage
from sgdflow.llm.models import Price
from sgdflow.plan.estimate import step_estimate
from sgdflow.plan.limits import shortages
from sgdflow.plan.pretending import pretended_graph
from sgdflow.plan.rehearsal import Moment, Rehearsal, Scenario, rehearse
from sgdflow.plan.standin import Assumed, StandIn
from sgdflow.update import CallableUpdate

_CALLS = 3000
"""About so many are rehearsed; further steps are taken to be like the last rehearsed one."""


@dataclass(frozen=True, slots=True)
class Row:
    """What some part of a run takes."""

    name: str
    taken: Mapping[str, Spent]
    """By role."""
    seconds: float

    @property
    def total(self) -> Spent:
        """Return the sum over the roles."""
        return sum(self.taken.values(), Spent())


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would take, without retries and malformed replies."""

    title: str
    parts: tuple[Row, ...]
    """Before the first step, a step at least and at most, after the last step."""
    totals: tuple[Row, ...]
    """The least, all steps turned down at once, what is expected, the most."""
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def make_plan(prepared: Prepared, prices: Mapping[str, Price | None]) -> Plan:
    """Rehearse the run in several ways, from nothing accepted to everything."""
    problem, method, conf = prepared.problem, prepared.method, prepared.config.llm.assumed
    steps = method.stop.steps
    rehearsed = _rehearsed_steps(prepared)
    assumed = Assumed(conf.seconds, conf.tokens)
    llm = partial(StandIn, prepared.calling.models, prepared.calling.limits, assumed, prices)
    shown = replace(problem, graph=pretended_graph(problem.graph))
    go = partial(rehearse, shown, method, prepared.start, llm)
    open_gate = method.gate.rule == "always"
    few = Scenario(float(open_gate), 1 / max(1, len(problem.optimised)), at_once=not open_gate)
    patient = steps if open_gate else min(steps, method.stop.patience or steps)
    least = go(few, min(rehearsed, patient))
    most = go(Scenario(1.0), rehearsed)
    share = 1.0 if open_gate else conf.accepted
    expected = go(Scenario(share, conf.changed), rehearsed)
    before = _row("before the first step", most.moments[0])
    parts, totals = [before], [_row("at least: the start is good enough", before)]
    if steps and not open_gate:
        parts.append(_step("a step, turned down at once", least))
        words = f"{every(_taken(least, patient), 'step')} turned down at once"
        totals.append(_row(words, _whole(least, patient)))
    if steps:
        parts.append(_step("a step, accepted", most))
        parts.append(_row("after the last step", _difference(*most.moments[-2:])))
        words = f"expected: {share:.0%} accepted, {conf.changed:.0%} of the texts changed"
        mixed = _whole(expected, steps)
        totals.append(_row(words, mixed))
        late = None
        if method.lazy or method.proposals.fallback:
            legs = (replace(leg, method=replace(leg.method, lazy=False)) for leg in method.legs)
            whole = replace(method, lazy=False, legs=tuple(legs))
            late = rehearse(shown, whole, prepared.start, llm, Scenario(0.0), rehearsed)
        totals += at_most(most, late, mixed, steps, alone=method.proposals.fallback)
    splits = problem.splits
    title = (
        f"{method.name} on {problem.graph.name}: {len(splits.train)} training, "
        f"{len(splits.validation)} validation, {plural(len(splits.test), 'test example')}; "
        f"at most {plural(steps, 'step')}"
    )
    warnings = [*shortages(prepared), *_ended_early(most, steps), *_troubles(most)]
    notes = _notes(prepared, prices, conf, rehearsed)
    return Plan(title, tuple(parts), tuple(totals), tuple(notes), tuple(warnings))


def at_most(
    most: Rehearsal, late: Rehearsal | None, mixed: Moment, steps: int, *, alone: bool
) -> Iterator[Row]:
    """Yield what is taken where all is accepted and, where that may be more, turned down late.

    Where some is accepted it may be more than either: candidates that differ share no requests.
    """
    whole, taken = _whole(most, steps), every(_taken(most, steps), "step")
    if late is None:
        yield _row(f"at most: {taken} accepted", whole)
        return
    yield _row(f"{taken} accepted", whole)
    later = _sum(_whole(late, steps), _difference(*most.moments[-2:]))
    words = f"at most: {taken} scored to the end and turned down"
    words += ", each text alone, too" if alone else ""
    yield _row(words, _most(_most(later, whole), mixed))


def _rehearsed_steps(prepared: Prepared) -> int:
    stop, estimate = prepared.method.stop, step_estimate(prepared.problem, prepared.method)
    budget = stop.budget
    if any(most is not None for most in (budget.forward, budget.calls, budget.tokens, budget.cost)):
        return stop.steps  # it ends the rehearsal, too
    return min(stop.steps, max(2, _CALLS // max(1, estimate.calls)))


def _notes(
    prepared: Prepared, prices: Mapping[str, Price | None], conf: AssumedConf, rehearsed: int
) -> Iterator[str]:
    models, method = prepared.calling.models, prepared.method
    tokens = ", ".join(f"{conf.tokens.get(role, 100)} {role}" for role in models)
    yield f"Assumed (llm.assumed): {conf.seconds:g} seconds a call, tokens of a reply: {tokens}."
    yield "Prompts are rendered, their tokens estimated at a quarter of the characters."
    if any(spec.deterministic for spec in models.values()):
        yield (
            "At temperature 0 the same request counts once. This is exact for nodes that are given "
            "inputs alone; others may share more, so that there the figures are upper bounds."
        )
    yield "Not counted: retries, malformed replies. What the store of replies holds costs nothing."
    if method.batch is not None or method.lazy:
        yield (
            "Not counted: the other training examples, scored as soon as those of a step reach "
            f"method.stop.score ({method.stop.score:g})."
        )
    if method.stop.steps and (method.lazy or method.proposals.fallback):
        yield _late_words(prepared)
    if method.choice is not None:
        yield (
            "Not counted: the call of a step that chooses demonstrations, one for each parameter "
            "that holds some (method.update.demonstrations)."
        )
    if method.unconfirmed:
        yield f"No winner will be confirmed: {method.unconfirmed}."
    if isinstance(method.update, CallableUpdate):
        yield f"Calls of {method.update.function.name} are not known, and not counted."
    if rehearsed < method.stop.steps:
        yield f"Steps after step {rehearsed} are taken to be like it."
    unknown = [models[role].model for role, price in prices.items() if price is None]
    if unknown:
        yield f"No price is known for {', '.join(dict.fromkeys(unknown))} (llm.prices)."


def _late_words(prepared: Prepared) -> str:
    """Say what the calls of the last row are."""
    method, splits = prepared.method, prepared.problem.splits
    kind = "validation" if method.gate.examples == "validation" else "training"
    number = method.compared(splits)
    words = (
        f"Scored to the end and turned down: a proposal that fails only after up to "
        f"{plural(number, f'{kind} example')} were scored with it"
    )
    if method.proposals.fallback:
        words += "; then as many are scored with each of its texts alone, in vain as well"
    return f"{words}."


def _ended_early(most: Rehearsal, steps: int) -> Iterator[str]:
    if (taken := _taken(most, steps)) < steps and most.stop_reason.startswith("budget"):
        yield f"The budget may end the run after step {taken} of {steps} ({most.stop_reason})."


def _troubles(most: Rehearsal) -> Iterator[str]:
    if most.troubles:
        yield (
            f"With made-up values {len(most.troubles)} prompts could not be rendered, so that the "
            f"figures are too low. The first: {most.troubles[0]}"
        )


def _taken(rehearsal: Rehearsal, steps: int) -> int:
    """Return after how many steps the run ends: the budget may end it."""
    return steps if rehearsal.stop_reason.startswith("steps") else len(rehearsal.moments) - 2


def _whole(rehearsal: Rehearsal, steps: int) -> Moment:
    """Return what the run takes in all, with the steps that were not rehearsed."""
    moments = rehearsal.moments
    missing = steps - (len(moments) - 2)
    if _taken(rehearsal, steps) < steps or missing <= 0:
        return moments[-1]
    more = _difference(moments[-3], moments[-2])
    return Moment(
        {
            role: spent + _times(more.taken[role], missing)
            for role, spent in moments[-1].taken.items()
        },
        moments[-1].seconds + missing * more.seconds,
    )


def _step(name: str, rehearsal: Rehearsal) -> Row:
    """Return the mean step."""
    steps = max(1, len(rehearsal.moments) - 2)
    all_of_them = _difference(rehearsal.moments[0], rehearsal.moments[-2])
    mean = {role: _times(spent, 1 / steps) for role, spent in all_of_them.taken.items()}
    return Row(name, mean, all_of_them.seconds / steps)


def _row(name: str, moment: Moment | Row) -> Row:
    return Row(name, moment.taken, moment.seconds)


def _difference(before: Moment, after: Moment) -> Moment:
    taken = {role: spent - before.taken[role] for role, spent in after.taken.items()}
    return Moment(taken, after.seconds - before.seconds)


def _sum(one: Moment, more: Moment) -> Moment:
    taken = {role: spent + more.taken.get(role, Spent()) for role, spent in one.taken.items()}
    return Moment(taken, one.seconds + more.seconds)


def _most(one: Moment, other: Moment) -> Moment:
    """Return the larger of both for each role: requests that are alike are in neither twice."""
    taken = {
        role: max(spent, other.taken.get(role, Spent()), key=lambda used: used.calls)
        for role, spent in one.taken.items()
    }
    return Moment(taken, max(one.seconds, other.seconds))


def _times(spent: Spent, factor: float) -> Spent:
    return Spent(
        round(spent.calls * factor),
        Usage(round(spent.usage.prompt * factor), round(spent.usage.completion * factor)),
        None if spent.cost is None else spent.cost * factor,
    )
