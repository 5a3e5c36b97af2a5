"""Whether a run has a result: scores, and proposals that were decided on what they are."""

from __future__ import annotations

from collections.abc import Sequence

from sgdflow.descent import Result, Step
from sgdflow.descent.steps import Tried
from sgdflow.errors import NoResult, plural
from sgdflow.executor.outcomes import Evaluation


def check_result(result: Result, lost: Sequence[str | None]) -> None:
    """Raise NoResult where a run has scored nothing, or lost all its proposals to failures.

    `lost` says of each step what `why_lost` does.
    """
    for split, evaluation in result.final.evaluations.items():
        check_scores(evaluation, f"{split} example")
    if not any(evaluation.scores for evaluation in result.final.evaluations.values()):
        raise NoResult(f"nothing was scored ({result.stop_reason})")
    if lost and all(lost):
        all_of = (
            "the proposal of the only step was"
            if len(lost) == 1
            else f"all proposals of {plural(len(lost), 'step')} were"
        )
        last = "" if len(lost) == 1 else ", the last one"
        raise NoResult(f"{all_of} lost to failures{last}: {lost[-1]}")


def check_scores(evaluation: Evaluation, what: str) -> None:
    """Raise NoResult where no example that was run has a score."""
    if evaluation.outcomes and not evaluation.scores:
        number, why = len(evaluation.outcomes), next(iter(evaluation.failures.values()))
        none = f"the {what}" if number == 1 else f"none of {plural(number, what)}"
        raise NoResult(f"{none} could {'not ' if number == 1 else ''}be scored ({why})")


def why_lost(step: Step) -> str | None:
    """Return why a step has no proposal that could be scored; None where one was decided on."""
    reasons = [_lost(one) for one in step.proposals]
    return reasons[0] if all(reasons) else None


def _lost(tried: Tried) -> str | None:
    trial, reason = tried.trial, tried.decision.reason
    if tried.decision.accepted:
        return None
    if tried.malformed:
        return reason
    if not tried.proposal.changes:
        failed = any(
            one.failure or (one.backward and one.backward.failures) for one in tried.learned
        )
        return reason if failed and not tried.evidence else None
    if trial.current is None or trial.seen is None:
        return None
    current, seen = trial.current, trial.seen
    return reason if not current.scores or current.scores.keys() & seen.failures.keys() else None
