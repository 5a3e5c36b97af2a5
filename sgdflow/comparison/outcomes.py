"""What counts of one recorded run in a comparison, and which runs count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sgdflow.tracking.reading import RecordedRun

CALLS = "total/calls_"
_TOKENS = "total/tokens_"
_PART = "_cached"  # of the prompt's
_CLOSE = 1e-9
"""A score that misses the goal by less has reached it."""

History = tuple[tuple[int, float], ...]
"""Steps and values of a metric."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a finished run ended and what it used."""

    run: RecordedRun
    score: float
    calls: Mapping[str, float]
    """By role, everything the run did."""
    tokens: float | None
    cost: float | None
    """US dollars; None where a price is unknown."""
    seconds: float | None
    to_reach: float | None = None
    """Calls of the steps up to the one in which the goal was first reached; None: never."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A run that is not part of any average."""

    run: RecordedRun
    why: str


@dataclass(frozen=True, slots=True)
class Goal:
    """A score whose first time is looked for."""

    score: float
    split: str = "train"
    histories: Mapping[str, Mapping[str, History]] = field(default_factory=dict)
    """By run, by metric: `score/<split>` and `spent_calls/<role>`."""


def sorted_out(
    runs: Iterable[RecordedRun], split: str, goal: Goal | None
) -> tuple[tuple[Outcome, ...], tuple[LeftOut, ...]]:
    """Return the runs that ended with a score, and the others with the reason."""
    kept, left = [], []
    for run in runs:
        score = run.metrics.get(f"score_final/{split}")
        if run.status != "FINISHED":
            reason = " ".join(run.reason.split())
            words = run.status.lower() + (f": {reason}" if reason else "")
            left.append(LeftOut(run, words if len(words) <= 120 else words[:119] + "…"))
        elif score is None:
            left.append(LeftOut(run, f"finished without a final {split} score"))
        else:
            kept.append(_outcome(run, score, goal))
    return tuple(kept), tuple(left)


def calls_to_reach(goal: Goal, history: Mapping[str, History]) -> float | None:
    """Return the calls, over all roles, when the goal was first reached; None: never."""
    for step, score in history.get(f"score/{goal.split}", ()):
        if score >= goal.score - _CLOSE:
            return sum(
                _until(step, h) for key, h in history.items() if key.startswith("spent_calls/")
            )
    return None


def roles(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return the roles that any run called, those of every run first in their usual order."""
    found = dict.fromkeys(role for outcome in outcomes for role in outcome.calls)
    usual = [role for role in ("forward", "backward", "optimizer") if role in found]
    return (*usual, *(role for role in found if role not in usual))


def _outcome(run: RecordedRun, score: float, goal: Goal | None) -> Outcome:
    tokens = [
        value
        for key, value in run.metrics.items()
        if key.startswith(_TOKENS) and not key.endswith(_PART)
    ]
    calls = {
        key.removeprefix(CALLS): value
        for key, value in run.metrics.items()
        if key.startswith(CALLS)
    }
    return Outcome(
        run=run,
        score=score,
        calls=calls,
        tokens=sum(tokens) if tokens else None,
        cost=run.metrics.get("total/cost"),
        seconds=run.metrics.get("total/seconds"),
        to_reach=calls_to_reach(goal, goal.histories.get(run.id, {})) if goal else None,
    )


def _until(step: int, totals: History) -> float:
    """Return a running total as it stood after a step."""
    return max((value for number, value in totals if number <= step), default=0.0)
