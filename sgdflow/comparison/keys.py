"""Configuration keys of recorded runs: which are meant, and which vary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.tracking.reading import RecordedRun

SEED = "seed"
_GROUPS = ("method", "task", "graph", "llm")
SHORT = {group: f"{group}.name" for group in _GROUPS}
# Where a run was recorded, and how its calls were made, changes nothing in it.
_IGNORED = ("tracking.", "llm.store.", "llm.limits.", "llm.assumed.")

Values = tuple[str | None, ...]
"""What a run has for some keys; None where its configuration has no such key."""


def values_of(run: RecordedRun, keys: Iterable[str]) -> Values:
    """Return the run's values for the keys."""
    return tuple(run.params.get(key) for key in keys)


def resolve(option: str, keys: Sequence[str], runs: Sequence[RecordedRun]) -> tuple[str, ...]:
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
    clean = "".join(character if character.isprintable() else "?" for character in shown)
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
