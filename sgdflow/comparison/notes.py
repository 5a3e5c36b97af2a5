"""What has to be said with a table so that nobody reads too much into it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sgdflow.comparison import bbh, keys
from sgdflow.comparison.arrange import TASK, Arrangement, Place
from sgdflow.comparison.cells import Cell, spread_notes
from sgdflow.comparison.keys import Values, label
from sgdflow.comparison.outcomes import Outcome
from sgdflow.tracking.reading import RecordedRun

_SHOWN = 6


def notes_on(
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
    outer = [key for key in keys.varying(runs) if key not in arranged.inner]
    named = ", ".join((*arranged.row_keys, *arranged.column_keys))
    for key in keys.beside(chosen, outer, runs):
        if not any(_stands_for(name, key, runs) for name in arranged.inner):
            yield f"Rows or columns differ not only in {named}, but also in {_varied(key, runs)}."


def _stands_for(name: str, key: str, runs: Sequence[RecordedRun]) -> bool:
    return key not in keys.collapsed((name, key), runs)


def _varied(key: str, runs: Iterable[RecordedRun]) -> str:
    values = [label(values) for values in keys.in_order((run.params.get(key),) for run in runs)]
    more = f", and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return f"{key} ({', '.join(values[:_SHOWN])}{more})"


def _bbh_notes(arranged: Arrangement) -> Iterator[str]:
    paper = ", ".join(f"{half} {score}" for half, score in bbh.PUBLISHED.items())
    yield f"The paper reports for its method: {paper} (gpt-4o-mini and gpt-4-turbo)."
    has: dict[Values, frozenset[str]] = {
        row: frozenset(outcome.run.params[TASK] for outcome in outcomes)
        for row, outcomes in arranged.by_row().items()
    }
    for row, files in has.items():
        for half in bbh.PUBLISHED:
            if lacking := bbh.missing(half, files):
                tasks = len({bbh.task_of(f) for f in files} & {*bbh.HALVES[half]})
                yield (
                    f"{label(row)}, {half}: {tasks} of {len(bbh.HALVES[half])} tasks; "
                    f"missing {', '.join(lacking)}."
                )
    if len(set(has.values())) > 1:
        yield "Rows average over different tasks: their averages do not compare."
