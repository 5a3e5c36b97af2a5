"""Runs averaged: a cell within each seed first, then over seeds; rows as paired differences."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sgdflow.comparison.common import Common
from sgdflow.comparison.outcomes import SEED, Outcome, Values, label
from sgdflow.comparison.statistics import (
    Difference,
    Estimate,
    estimate,
    holm,
    median_reached,
    paired_difference,
)

Stratum = Values
"""What a run has for the keys that vary within a cell."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Scores by seed."""

    seeds: Mapping[str, float]
    incomplete: Mapping[str, tuple[Stratum, ...]]
    """Seeds that do not count, with what they lack."""
    repeats: int
    """Runs beyond the first of the same seed and stratum."""
    by_run: bool = False
    """No seed is complete: every run counts as one of its own."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is shown of a group of runs: spending is a mean over runs."""

    score: Estimate
    spread: Spread
    runs: int
    failed: int
    """Examples without a score, over all runs: their runs' means are over fewer."""
    calls: Mapping[str, float]
    tokens: float | None
    cost: float | None
    priced: int
    """Runs whose cost is known; `cost` is their mean."""
    seconds: float | None
    reached: int
    """Runs that reached the goal."""
    to_reach: float | None
    """Median of the calls until then, never being later than any number; None: never."""


def make_cell(
    outcomes: Sequence[Outcome],
    stratum: Callable[[Outcome], Stratum],
    family: Callable[[Stratum], object] = lambda stratum: stratum,
) -> Cell:
    """Return the cell of at least one run.

    Within a seed, repeats of a stratum are averaged, then the strata of a family, then families.
    """
    spread = spread_of(outcomes, stratum, family)
    priced = [outcome.cost for outcome in outcomes if outcome.cost is not None]
    reached = [outcome.to_reach for outcome in outcomes]
    names = dict.fromkeys(role for outcome in outcomes for role in outcome.calls)
    return Cell(
        score=estimate(list(spread.seeds.values()), bounds=(0.0, 1.0)),
        spread=spread,
        runs=len(outcomes),
        failed=sum(outcome.failed for outcome in outcomes),
        calls={role: fmean(o.calls.get(role, 0.0) for o in outcomes) for role in names},
        tokens=_mean(outcome.tokens for outcome in outcomes),
        cost=_mean(priced),
        priced=len(priced),
        seconds=_mean(outcome.seconds for outcome in outcomes),
        reached=sum(calls is not None for calls in reached),
        to_reach=median_reached(reached),
    )


def spread_of(
    outcomes: Sequence[Outcome],
    stratum: Callable[[Outcome], Stratum],
    family: Callable[[Stratum], object],
) -> Spread:
    """Return the score of each seed that has a run in every stratum that any seed has."""
    scores: dict[str, dict[Stratum, list[float]]] = defaultdict(lambda: defaultdict(list))
    for outcome in outcomes:
        seed = outcome.run.params.get(SEED, "")
        scores[seed][stratum(outcome)].append(outcome.score)
    strata = dict.fromkeys(s for by_stratum in scores.values() for s in by_stratum)
    repeats = len(outcomes) - sum(map(len, scores.values()))
    lacking = {seed: tuple(s for s in strata if s not in has) for seed, has in scores.items()}
    complete = {seed: _joined(scores[seed], family) for seed in scores if not lacking[seed]}
    incomplete = {seed: lacks for seed, lacks in lacking.items() if lacks}
    if complete:
        return Spread(complete, incomplete, repeats)
    single = {outcome.run.id: outcome.score for outcome in outcomes}
    return Spread(single, incomplete, repeats, by_run=True)


def spread_notes(where: str, spread: Spread) -> list[str]:
    """Say what of the runs of a cell is not as one would expect."""
    notes = []
    if spread.by_run:
        notes.append(
            f"{where}: no seed has every combination of what is averaged over; every run counts "
            "as one, and the interval is one over runs."
        )
    else:
        notes += [
            f"{where}: seed {seed} does not count, it has no finished run for "
            f"{'; '.join(label(lacked) for lacked in lacks)}."
            for seed, lacks in spread.incomplete.items()
        ]
    if spread.repeats and not spread.by_run:
        runs = "run repeats" if spread.repeats == 1 else "runs repeat"
        notes.append(
            f"{where}: {spread.repeats} {runs} the configuration and seed of another; "
            "they are averaged and count once."
        )
    return notes


def _joined(
    by_stratum: Mapping[Stratum, Sequence[float]], family: Callable[[Stratum], object]
) -> float:
    families: dict[object, list[float]] = defaultdict(list)
    for stratum, scores in by_stratum.items():
        families[family(stratum)].append(fmean(scores))
    return fmean(map(fmean, families.values()))


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@dataclass(frozen=True, slots=True)
class PairedRow:
    """A row against another."""

    row: Values
    difference: Difference | None
    """None without pairs."""
    unpaired: int
    """Pair keys that only one of the two rows has."""
    fewer: int = 0
    """Pairs that are compared over fewer examples than were scored."""
    apart: int = 0
    """Pair keys that both rows have, and no example that both are known to have scored."""
    corrected: float | None = None
    """The p-value corrected (Holm) for the number of rows tested."""


def paired_rows(
    rows: Mapping[Values, Sequence[Outcome]],
    against: Values,
    pair_key: Callable[[Outcome], Values],
    common: Common,
) -> tuple[PairedRow, ...]:
    """Compare every other row with one: runs with the same pair key belong together.

    Repeats of a key within a row are averaged and make one pair.
    """
    base = _by_key(rows[against], pair_key)
    found = []
    for row, outcomes in rows.items():
        if row == against:
            continue
        runs = _by_key(outcomes, pair_key)
        pairs = [common.compared(runs[key], base[key]) for key in base if key in runs]
        kept = [pair for pair in pairs if pair is not None]
        difference = paired_difference([one.first - one.second for one in kept]) if kept else None
        unpaired, fewer = len(runs.keys() ^ base.keys()), sum(one.fewer for one in kept)
        found.append(PairedRow(row, difference, unpaired, fewer, len(pairs) - len(kept)))
    corrected = holm([one.difference.p if one.difference else None for one in found])
    return tuple(replace(one, corrected=p) for one, p in zip(found, corrected, strict=True))


def _by_key(
    outcomes: Sequence[Outcome], pair_key: Callable[[Outcome], Values]
) -> dict[Values, list[Outcome]]:
    found: dict[Values, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        found[pair_key(outcome)].append(outcome)
    return found
