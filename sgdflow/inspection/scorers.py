"""Scorers of one's own, tried with answers that are right."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from sgdflow.config.prepare import Prepared
from sgdflow.data import scoring
from sgdflow.errors import NodeFailed, ReplyError, ScoringFailed, plural, shortly
from sgdflow.executor.forward import PromptForward
from sgdflow.executor.graph import Graph
from sgdflow.executor.mapping import Each
from sgdflow.executor.objectives import Objective, Weighted
from sgdflow.executor.scores import Score, Scorer, unscored
from sgdflow.executor.took import Took
from sgdflow.inspection.findings import Finding
from sgdflow.plan.standin import Assumed, StandIn

_TRIED = 3
"""Rows that a scorer is tried on: it may cost something."""
_GIVEN = frozenset({"output", "target", "inputs"})
"""What a row alone can give a scorer."""


def scorer_findings(prepared: Prepared) -> Iterator[Finding]:
    """Yield which own scorers raise, give no score, or give no right answer all of it.

    Their output is the expected answer, as the graph's output node would have written it. Judges
    and what is shipped are not run, nor what looks at the values of nodes.
    """
    problem, calling = prepared.problem, prepared.calling
    outputs = [
        (example, output)
        for example in problem.splits.train[:_TRIED]
        if (output := _written(problem.graph, example.target)) is not None
    ]
    llm = StandIn(calling.models, calling.limits, Assumed(0.0), {})  # which nobody asks
    for where, own, scorer in _own(problem.score):
        low: list[str] = []
        for example, output in outputs:
            try:
                verdict = asyncio.run(scorer(example, example.inputs, output, llm, Took()))
            except (NodeFailed, ScoringFailed) as error:
                zero = isinstance(error, NodeFailed) and scorer.errors == "zero"
                yield Finding(unscored(example, error), wrong=not zero)
                break
            if verdict.score == 1:
                break
            low.append(f"{verdict.score:.3g} ({example.place}: {_both(output, example.target)})")
        else:
            if low and own.needs_target:
                yield Finding(_never_right(where, own, low), wrong=False)


def _own(scorer: Scorer) -> Iterator[tuple[str, Score, Scorer]]:
    """Yield where each own scorer is declared, and what scores with it alone."""
    parts = scorer.parts if isinstance(scorer, Weighted) else {"": Objective(scorer)}
    for name, one in parts.items():
        own = one.scorer
        if not isinstance(own, Score) or not own.takes <= _GIVEN:
            continue
        if own.function.name in scoring.SCORERS or own.function.name.startswith("sgdflow."):
            continue
        if isinstance(scorer, Weighted):
            yield f"task.score.objectives.{name}.score", own, Weighted({name: one}, scorer.errors)
        else:
            yield "task.score", own, scorer


def _written(graph: Graph, target: Any) -> Any:
    """Return an expected answer as the model at the output would give it; None: nobody knows."""
    forward = graph.nodes[graph.output].forward
    if not isinstance(forward, PromptForward) or isinstance(forward, Each):
        return None
    if forward.ask.reply.schema is None:
        return str(target) if isinstance(target, str | int | float | Decimal) else None
    if not isinstance(target, Mapping):
        return None
    try:
        forward.ask.reply.schema.check(target)
    except ReplyError:  # it is not all of what is written
        return None
    return target


def _never_right(where: str, own: Score, low: list[str]) -> str:
    rows = f" on each of the {plural(len(low), 'row')} that were tried" * (len(low) > 1)
    return (
        f"{where}: {own.function.name} gives less than 1{rows} where the output is the expected "
        f"answer itself: {low[0]}. See whether it compares like with like."
    )


def _both(output: Any, target: Any) -> str:
    """Return an output and a target with their types, which look alike in print."""
    said = (f"{shortly(repr(one))} of type {type(one).__name__}" for one in (output, target))
    return "output {}, target {}".format(*said)
