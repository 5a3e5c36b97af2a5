"""What the runs of each row could show, and what they took for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from sgdflow.comparison.outcomes import Outcome, label, values_of
from sgdflow.comparison.table import Comparison
from sgdflow.errors import plural

_PREFIX = "total/"
_TRIED = f"{_PREFIX}proposals_tried"
HEADER = (
    "detectable effect",
    "proposals an accepted one",
    "verified gradients",
    "calls for proposals' scores",
    "backward calls",
)


def rows(comparison: Comparison) -> Iterator[tuple[str, ...]]:
    """Yield a line a row; none where no run tells of it, as those of earlier versions."""
    told = [one for one in comparison.outcomes if _TRIED in one.run.metrics]
    for row in comparison.rows if told else ():
        runs = [one for one in told if values_of(one.run, comparison.row_keys) == row]
        if runs:
            yield (label(row), *_line(runs))


def lines(comparison: Comparison) -> Iterator[str]:
    """Yield what the columns mean, and whose scores are too good."""
    yield (
        "Detectable effect: the smallest gain that a run could have confirmed, shown by a paired "
        "gate at its level, or on a split that decided nothing (level 0.05), if nothing had got "
        "worse. Verified: share of the trials of gradients that support what these ask. Shares of "
        "calls are of all calls."
    )
    decided = [one for one in comparison.outcomes if _decided(one, comparison.split)]
    if decided:
        yield (
            f"In {len(decided)} of {plural(len(comparison.outcomes), 'run')} {comparison.split} "
            "scores decided what was kept: expect less elsewhere. score=test is the honest one."
        )


def _line(runs: Sequence[Outcome]) -> Iterator[str]:
    found = [gain for one in runs if (gain := _metric(one, "detectable")) is not None]
    yield f"{fmean(found):.3f}" if found else "-"
    tried, accepted = _sum(runs, "proposals_tried"), _sum(runs, "proposals_accepted")
    words = f"{tried / accepted:.1f}" if accepted else "none accepted"
    yield f"{words} ({accepted:.0f} of {tried:.0f})"
    trials = _sum(runs, "gradients_trials")
    supported = _sum(runs, "gradients_supported")
    yield f"{supported / trials:.0%} of {trials:.0f}" if trials else "none tried"
    calls = sum(sum(one.calls.values()) for one in runs)
    for number in (_sum(runs, "gate_calls"), sum(one.calls.get("backward", 0.0) for one in runs)):
        yield f"{number / calls:.0%}" if calls else "-"


def _decided(outcome: Outcome, split: str) -> bool:
    return _metric(outcome, f"decided_{split}") is not None


def _metric(outcome: Outcome, name: str) -> float | None:
    return outcome.run.metrics.get(f"{_PREFIX}{name}")


def _sum(runs: Sequence[Outcome], name: str) -> float:
    return sum(_metric(one, name) or 0.0 for one in runs)
