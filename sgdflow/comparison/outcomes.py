"""What counts of recorded runs: how they ended, and the configuration keys that they differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sgdflow.errors import ConfigError, did_you_mean, listed, spelt_out
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
    examples: int | None = None
    """Those that the score is a mean over; None: the run does not say."""
    failed: int = 0
    """Those without a score."""
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
            kept.append(_outcome(run, split, score, goal))
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


def _outcome(run: RecordedRun, split: str, score: float, goal: Goal | None) -> Outcome:
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
        examples=None if (n := run.metrics.get(f"total/examples_{split}")) is None else int(n),
        failed=int(run.metrics.get(f"total/failed_{split}", 0)),
        to_reach=calls_to_reach(goal, goal.histories.get(run.id, {})) if goal else None,
    )


def _until(step: int, totals: History) -> float:
    """Return a running total as it stood after a step."""
    return max((value for number, value in totals if number <= step), default=0.0)


SEED = "seed"
_GROUPS = ("method", "task", "graph", "llm")
SHORT = {group: f"{group}.name" for group in _GROUPS}
# Where a run was recorded, and how its calls were made, changes nothing in it.
_IGNORED = ("tracking.", "workers.", "llm.store.", "llm.limits.", "llm.assumed.")

Values = tuple[str | None, ...]
"""What a run has for some keys; None where its configuration has no such key."""


def values_of(run: RecordedRun, keys: Iterable[str]) -> Values:
    """Return the run's values for the keys."""
    return tuple(run.params.get(key) for key in keys)


def resolve_keys(option: str, keys: Sequence[str], runs: Sequence[RecordedRun]) -> tuple[str, ...]:
    """Return keys in full as logged; raises ConfigError for one that no run has."""
    logged = dict.fromkeys(key for run in runs for key in run.params)
    found = []
    for key in keys:
        full = key if key in logged else SHORT.get(key, key)
        if full not in logged:
            raise ConfigError(
                f"{option}={key}: no run has such a key.{did_you_mean(key, [*SHORT, *logged])} "
                f"Those that vary: {listed(collapsed(varying(runs), runs))}."
            )
        found.append(full)
    return tuple(dict.fromkeys(found))


def varying(runs: Sequence[RecordedRun]) -> tuple[str, ...]:
    """Return the keys in which the runs differ, without the seed and what repeats it."""
    keys = dict.fromkeys(key for run in runs for key in run.params)
    return tuple(
        key
        for key in keys
        if not key.startswith(_IGNORED)
        and len({run.params.get(key) for run in runs}) > 1
        and any(run.params.get(key) != run.params.get(SEED) for run in runs)
    )


def collapsed(keys: Iterable[str], runs: Sequence[RecordedRun]) -> tuple[str, ...]:
    """Leave out the keys of a group (method, task, ...) that its name decides."""
    names = [key for key in keys if key in SHORT.values()]
    return tuple(
        key
        for key in keys
        if key in names
        or not any(_same_group(key, name) and _decides(name, key, runs) for name in names)
    )


def beside(
    chosen: Iterable[str], keys: Iterable[str], runs: Sequence[RecordedRun]
) -> tuple[str, ...]:
    """Return the keys that none of the chosen stands for; a group's name stands for its keys."""
    names = [key for key in chosen if key in SHORT.values()]
    left = [k for k in keys if k not in chosen and not any(_same_group(k, n) for n in names)]
    return collapsed(left, runs)


def default_rows(runs: Sequence[RecordedRun], taken: Iterable[str]) -> tuple[str, ...]:
    """Return the method where it varies or nothing does, else the first key that varies."""
    left = beside(taken, varying(runs), runs)
    method = SHORT["method"]
    return (method,) if method in left or not left else left[:1]


def default_columns(runs: Sequence[RecordedRun], rows: Iterable[str]) -> tuple[str, ...]:
    """Return the task where it varies and is not the rows' already."""
    task = SHORT["task"]
    return (task,) if task in varying(runs) and task not in rows else ()


def in_order(found: Iterable[Values]) -> tuple[Values, ...]:
    """Return distinct values: numbers by size, others in the order in which they came."""
    distinct = list(dict.fromkeys(found))
    ranks = [_ranks([values[i] for values in distinct]) for i in range(len(distinct[0]))]
    return tuple(
        sorted(distinct, key=lambda values: [r[v] for r, v in zip(ranks, values, strict=True)])
    )


def label(values: Values) -> str:
    """Return values as a short text of one line."""
    shown = ", ".join("(not set)" if v is None else " ".join(v.split()) for v in values)
    clean = spelt_out(shown)
    return clean if len(clean) <= 60 else clean[:59] + "…"


def _ranks(values: Sequence[str | None]) -> dict[str | None, float]:
    try:
        return {value: float(value or "not a number") for value in values}
    except ValueError:
        return {value: rank for rank, value in enumerate(dict.fromkeys(values))}


def _same_group(key: str, name: str) -> bool:
    return key.split(".")[0] == name.split(".")[0]


def _decides(name: str, key: str, runs: Sequence[RecordedRun]) -> bool:
    pairs = {values_of(run, (name, key)) for run in runs}
    return len(pairs) == len({pair[0] for pair in pairs})
