"""Puts outcomes into rows and columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sgdflow.comparison import paper
from sgdflow.comparison.averages import Cell, make_cell
from sgdflow.comparison.outcomes import (
    SEED,
    SHORT,
    Outcome,
    Values,
    collapsed,
    default_columns,
    default_rows,
    in_order,
    label,
    resolve_keys,
    values_of,
    varying,
)
from sgdflow.comparison.request import Request
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.tracking.reading import RecordedRun

TASK = SHORT["task"]
HALF = "half"

Place = tuple[Values, Values]
"""Row and column."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Outcomes by row and column."""

    row_keys: tuple[str, ...]
    column_keys: tuple[str, ...]
    members: dict[Place, tuple[Outcome, ...]]
    inner: tuple[str, ...]
    """Keys besides the seed in which the runs of one cell differ."""
    halves: bool
    """Columns are the halves of BIG-Bench Hard."""

    @property
    def rows(self) -> tuple[Values, ...]:
        """Return the rows in order."""
        return in_order(row for row, _ in self.members)

    @property
    def columns(self) -> tuple[Values, ...]:
        """Return the columns in order; one empty tuple where there are no column keys."""
        if self.halves:
            return tuple((half,) for half in paper.HALVES)
        return in_order(column for _, column in self.members)

    @property
    def pair_keys(self) -> tuple[str, ...]:
        """Return the keys that two runs have to share, apart from those of the rows."""
        beside = () if self.halves else self.column_keys
        shared = dict.fromkeys((*beside, *self.inner, SEED))
        return tuple(key for key in shared if key not in self.row_keys)

    def cells(self) -> dict[Place, Cell]:
        """Return what is shown of each place that has runs."""
        return {place: self._cell(found) for place, found in self.members.items()}

    def by_row(self) -> dict[Values, list[Outcome]]:
        """Return each row's outcomes once."""
        found: dict[Values, dict[str, Outcome]] = {row: {} for row in self.rows}
        for (row, _), outcomes in self.members.items():
            found[row] |= {outcome.run.id: outcome for outcome in outcomes}
        return {row: list(outcomes.values()) for row, outcomes in found.items()}

    def row(self, wanted: str) -> Values:
        """Return the row of this name; raises ConfigError."""
        labels = {label(row): row for row in self.rows}
        spaced = ", ".join(part.strip() for part in wanted.split(","))
        found = labels.get(wanted, labels.get(spaced))
        if found is None:
            raise ConfigError(
                f"against={wanted}: no row of finished runs has this name."
                f"{did_you_mean(wanted, labels)} Rows: {listed(labels)}."
            )
        return found

    def _cell(self, outcomes: Sequence[Outcome]) -> Cell:
        if not self.halves:
            return make_cell(outcomes, lambda o: values_of(o.run, self.inner))
        strata = tuple(dict.fromkeys((TASK, *self.inner)))
        return make_cell(
            outcomes,
            lambda o: values_of(o.run, strata),
            # The three files of one puzzle are one task.
            lambda values: paper.task_of(values[0] or ""),
        )


def arrange(
    outcomes: Sequence[Outcome], request: Request, runs: Sequence[RecordedRun]
) -> Arrangement:
    """Arrange at least one outcome; `runs` are all that were selected, finished or not."""
    row_keys, column_keys = chosen_keys(request, runs)
    found: dict[Place, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        row = values_of(outcome.run, row_keys)
        columns: Iterable[Values] = [values_of(outcome.run, column_keys)]
        if request.halves:
            columns = [(half,) for half in paper.halves_of(outcome.run.params.get(TASK, ""))]
        for column in columns:
            found[row, column].append(outcome)
    varied = [varying([o.run for o in members]) for members in found.values()]
    inner = dict.fromkeys(key for names in varied for key in names)
    return Arrangement(
        row_keys,
        (HALF,) if request.halves else column_keys,
        {place: tuple(members) for place, members in found.items()},
        collapsed(inner, [outcome.run for outcome in outcomes]),
        request.halves,
    )


def chosen_keys(
    request: Request, runs: Sequence[RecordedRun]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys of rows and columns in full; raises ConfigError."""
    columns = resolve_keys("cols", request.columns, runs)
    rows = resolve_keys("rows", request.rows, runs)
    taken = (TASK,) if request.halves or not columns else columns
    rows = rows or default_rows(runs, taken)
    if not columns and not request.halves:
        columns = default_columns(runs, rows)
    if both := [key for key in rows if key in columns]:
        raise ConfigError(f"{both[0]} cannot be both in the rows and in the columns.")
    return rows, columns
