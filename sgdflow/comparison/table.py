"""Makes a table of recorded runs, with the warnings that belong to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sgdflow.comparison import paper
from sgdflow.comparison.arrangement import TASK, Arrangement, Place, arrange
from sgdflow.comparison.averages import Cell, PairedRow, paired_rows, spread_notes
from sgdflow.comparison.common import Common, Read, unread
from sgdflow.comparison.outcomes import (
    Goal,
    LeftOut,
    Outcome,
    Values,
    beside,
    collapsed,
    in_order,
    label,
    sorted_out,
    values_of,
    varying,
)
from sgdflow.comparison.paper import Ablation, ablations
from sgdflow.comparison.request import Request
from sgdflow.errors import ConfigError
from sgdflow.tracking.reading import Group, RecordedRun

_SIDE_BY_SIDE = 5
_VALUES_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Comparison:
    """A table and all that is said with it."""

    title: str
    split: str
    """Whose final score the cells hold."""
    goal: Goal | None
    row_keys: tuple[str, ...]
    column_keys: tuple[str, ...]
    rows: tuple[Values, ...]
    columns: tuple[Values, ...]
    """One empty tuple where there are no column keys."""
    cells: Mapping[Place, Cell]
    """Without those that have no finished run."""
    against: Values | None
    pair_keys: tuple[str, ...]
    paired: tuple[PairedRow, ...]
    ablations: tuple[Ablation, ...]
    notes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def best(self) -> Outcome:
        """Return the run with the highest score, of several the first."""
        return max(self.outcomes, key=lambda one: one.score)

    @property
    def turned(self) -> bool:
        """Say whether columns are better shown below each other: too many stand side by side."""
        return len(self.columns) > max(_SIDE_BY_SIDE, len(self.rows))


def compare(group: Group, request: Request, goal: Goal | None, read: Read = unread) -> Comparison:
    """Compare the finished runs of a group; raises ConfigError where the request does not fit.

    `read` says what a run scored, where it takes the examples that runs have in common.
    """
    outcomes, left_out = _counted(group, request, goal)
    arranged = arrange(outcomes, request, group.runs)
    cells = arranged.cells()
    against = None if request.against is None else arranged.row(request.against)
    paired: tuple[PairedRow, ...] = ()
    if against is not None:
        pair_keys = arranged.pair_keys
        paired = paired_rows(
            arranged.by_row(), against, lambda o: values_of(o.run, pair_keys), Common(read)
        )
    return Comparison(
        title=group.title,
        split=request.score,
        goal=goal,
        row_keys=arranged.row_keys,
        column_keys=arranged.column_keys,
        rows=arranged.rows,
        columns=arranged.columns,
        cells=cells,
        against=against,
        pair_keys=arranged.pair_keys,
        paired=paired,
        ablations=ablations(outcomes),
        notes=_notes_on(arranged, cells, outcomes),
        outcomes=outcomes,
        left_out=left_out,
    )


def _counted(
    group: Group, request: Request, goal: Goal | None
) -> tuple[tuple[Outcome, ...], tuple[LeftOut, ...]]:
    outcomes, left_out = sorted_out(group.runs, request.score, goal)
    if not outcomes:
        raise ConfigError(_none_ended(left_out, request))
    if not request.halves:
        return outcomes, left_out
    ours = [bool(paper.halves_of(outcome.run.params.get(TASK, ""))) for outcome in outcomes]
    if not any(ours):
        raise ConfigError(f"groups=bbh: none of the {len(ours)} finished runs has such a task.")
    others = [o for o, is_ours in zip(outcomes, ours, strict=True) if not is_ours]
    left_out += tuple(LeftOut(other.run, "no task of BIG-Bench Hard") for other in others)
    return tuple(o for o in outcomes if o not in others), left_out


def _none_ended(left_out: Sequence[LeftOut], request: Request) -> str:
    named = "; ".join(f"{one.run.name} {one.why}" for one in left_out[:5])
    more = f"; and {len(left_out) - 5} more" if len(left_out) > 5 else ""
    return f"No run ended with a final {request.score} score: {named}{more}."


def _notes_on(
    arranged: Arrangement, cells: dict[Place, Cell], outcomes: Sequence[Outcome]
) -> tuple[str, ...]:
    """Return warnings: averages over other keys, uneven seeds, missing tasks."""
    runs = [outcome.run for outcome in outcomes]
    notes = [*_model_notes(runs), *_key_notes(arranged, runs)]
    for (row, column), cell in cells.items():
        # All of BIG-Bench Hard says what its halves would say again.
        if not arranged.halves or column == ("all",):
            where = ", ".join(label(values) for values in (row, column) if values)
            notes += spread_notes(where, cell.spread)
    return tuple([*notes, *_bbh_notes(arranged)] if arranged.halves else notes)


def _model_notes(runs: Sequence[RecordedRun]) -> Iterator[str]:
    simulated = sum(run.params.get("llm.name") == "simulated" for run in runs)
    if simulated:
        which = "All runs" if simulated == len(runs) else f"{simulated} of {len(runs)} runs"
        yield f"{which} asked simulated models: the scores say nothing about any language model."


def _key_notes(arranged: Arrangement, runs: Sequence[RecordedRun]) -> Iterator[str]:
    chosen = (*arranged.row_keys, TASK if arranged.halves else "", *arranged.column_keys)
    for key in arranged.inner:
        if key not in chosen:
            yield f"Runs are averaged over {_varied(key, runs)}."
    outer = [key for key in varying(runs) if key not in arranged.inner]
    named = ", ".join((*arranged.row_keys, *arranged.column_keys))
    for key in beside(chosen, outer, runs):
        if not any(_stands_for(name, key, runs) for name in arranged.inner):
            yield f"Rows or columns differ not only in {named}, but also in {_varied(key, runs)}."


def _stands_for(name: str, key: str, runs: Sequence[RecordedRun]) -> bool:
    return key not in collapsed((name, key), runs)


def _varied(key: str, runs: Iterable[RecordedRun]) -> str:
    values = [label(values) for values in in_order((run.params.get(key),) for run in runs)]
    more = f", and {len(values) - _VALUES_SHOWN} more" if len(values) > _VALUES_SHOWN else ""
    return f"{key} ({', '.join(values[:_VALUES_SHOWN])}{more})"


def _bbh_notes(arranged: Arrangement) -> Iterator[str]:
    published = ", ".join(f"{half} {score}" for half, score in paper.BBH_PUBLISHED.items())
    yield f"The paper reports for its method: {published} (gpt-4o-mini and gpt-4-turbo)."
    has: dict[Values, frozenset[str]] = {
        row: frozenset(outcome.run.params[TASK] for outcome in outcomes)
        for row, outcomes in arranged.by_row().items()
    }
    for row, files in has.items():
        for half in paper.BBH_PUBLISHED:
            if lacking := paper.missing(half, files):
                tasks = len({paper.task_of(f) for f in files} & {*paper.HALVES[half]})
                yield (
                    f"{label(row)}, {half}: {tasks} of {len(paper.HALVES[half])} tasks; "
                    f"missing {', '.join(lacking)}."
                )
    if len(set(has.values())) > 1:
        yield "Rows average over different tasks: their averages do not compare."
