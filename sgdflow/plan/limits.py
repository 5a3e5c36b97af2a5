"""Whether what a run may use is enough for a step of it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from sgdflow.config.prepare import Prepared
from sgdflow.data import Splits
from sgdflow.descent.method import Method, Problem
from sgdflow.errors import plural
from sgdflow.llm import Spent
from sgdflow.llm.allowance import Allowance
from sgdflow.plan.estimate import first_leg, shortage
from sgdflow.plan.pretending import pretended_graph
from sgdflow.plan.rehearsal import Scenario, rehearse
from sgdflow.plan.standin import Assumed, StandIn

_MOST = 1000
"""Examples of a split that are rehearsed; of more, the least is put too low."""
_CENTS = 10_000


def shortages(prepared: Prepared) -> Sequence[str]:
    """Return why what the run may use is less than a step of it takes; no model is asked."""
    return [*shortage(prepared.problem, prepared.method), *_of_all_calls(prepared)]


def _of_all_calls(prepared: Prepared) -> Iterator[str]:
    """Yield why `llm.limits.budget` lets no step be decided."""
    allowed = prepared.calling.limits.budget
    if allowed == Allowance() or not prepared.method.stop.steps:
        return
    before, least = _least(prepared)
    tokens = least.usage.prompt + least.usage.completion
    cost = None if least.cost is None else math.ceil(least.cost * _CENTS) / _CENTS
    for name, most, needed, sign, guess in (
        ("calls", allowed.calls, least.calls, "", ""),
        ("tokens", allowed.tokens, tokens, "", "about "),
        ("cost", allowed.cost, cost, "$", "about "),
    ):
        if most is not None and needed is not None and most < needed:
            enough = _plain(needed)
            yield (
                f"llm.limits.budget.{name}: {sign}{_plain(most)} is less than the {guess}{sign}"
                f"{enough} that the first step takes at least, the {plural(before, 'call')} "
                f"before it included{_proposals(prepared.method)}. The run would end before "
                f"anything is decided. Set llm.limits.budget.{name}={enough} or more, or score "
                "or propose less."
            )


def _least(prepared: Prepared) -> tuple[int, Spent]:
    """Return the calls before the first step, and all that is taken until it is decided.

    It learns from one failure for each proposal, which are turned down as early as can be.
    """
    problem, method = first_leg(prepared.problem, prepared.method)
    sample = replace(method.sample, count=min(1, method.sample.count), draws=1)
    always = method.gate.rule == "always"
    scenario = Scenario(float(always), 1 / max(1, len(problem.optimised)), at_once=not always)
    prices, conf = prepared.calling.prices(os.environ), prepared.config.llm.assumed
    how = prepared.calling.limits, Assumed(conf.seconds, conf.tokens), prices
    llm = partial(StandIn, prepared.calling.models, *how)
    shown = replace(_some(problem), graph=pretended_graph(problem.graph))
    asked = shown, replace(method, sample=sample), prepared.start
    moments = rehearse(*asked, llm, scenario, 1).moments
    start, end = (sum(one.taken.values(), Spent()) for one in (moments[0], moments[-2]))
    return start.calls, end


def _some(problem: Problem) -> Problem:
    splits = problem.splits
    parts = (splits.train, splits.validation, splits.test)
    return replace(problem, splits=Splits(*(part[:_MOST] for part in parts)))


def _proposals(method: Method) -> str:
    number = method.proposals.parents * method.proposals.each
    return f", with {number} proposals (method.proposals)" if number > 1 else ""


def _plain(number: float) -> str:
    """Return a number in digits, as it can be declared."""
    return str(number) if isinstance(number, int) else f"{number:g}"
