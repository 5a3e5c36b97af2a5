"""A comparison as a folder of files: CSV, Markdown, a picture and a page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from sgdflow.comparison.outcomes import History, label, roles, values_of
from sgdflow.comparison.request import Request
from sgdflow.comparison.table import Comparison, compare
from sgdflow.comparison.text import as_markdown
from sgdflow.errors import ConfigError
from sgdflow.tracking.reading import RecordedRun, Texts

Row = Sequence[object]
_PICTURE = "Scores with their intervals"


def write_jobs(uri: str, parent: str, folder: Path) -> str:
    """Write what `sgdflow compare` says of a multirun's jobs; return it without its title."""
    from sgdflow.tracking.reading import RunReader, Selection

    reader, request = RunReader(uri), Request()
    group = reader.group(Selection(parent=parent))
    progress = {run.id: reader.progress(run, request.on) for run in group.runs}
    table = compare(group, request, None)
    write_folder(table, folder, progress, request.on, reader.texts)
    return as_markdown(table).partition("\n")[2].strip()


def cells_csv(comparison: Comparison) -> str:
    """Return one line a cell; an unknown number is empty."""
    named = roles(comparison.outcomes)
    header = [*comparison.row_keys, *comparison.column_keys]
    header += [f"{comparison.split}_score", "low", "high", "n", "runs", "failed"]
    header += [*(f"calls_{role}" for role in named), "tokens", "cost", "priced_runs", "seconds"]
    if comparison.goal:
        header += ["goal", "reached_runs", "calls_to_reach"]
    rows: list[Row] = []
    for row in comparison.rows:
        for column in comparison.columns:
            cell = comparison.cells.get((row, column))
            if cell is None:
                continue
            score = cell.score
            line: list[object] = [*row, *column, score.mean, score.low, score.high, score.n]
            line += [cell.runs, cell.failed, *(cell.calls.get(role) for role in named)]
            line += [cell.tokens, cell.cost, cell.priced, cell.seconds]
            if comparison.goal:
                line += [comparison.goal.score, cell.reached, cell.to_reach]
            rows.append(line)
    return _csv(header, rows)


def differences_csv(comparison: Comparison) -> str:
    """Return one line a row other than the one compared against."""
    header = [*comparison.row_keys, "against", "difference", "low", "high", "pairs"]
    header += ["unpaired", "p", "p_holm", "exact", "fewer_examples", "nothing_common"]
    rows: list[Row] = []
    for one in comparison.paired:
        found = one.difference
        line: list[object] = [*one.row, label(comparison.against or ())]
        if found is None:
            line += [None, None, None, 0, one.unpaired, None, None, None]
        else:
            score = found.estimate
            line += [score.mean, score.low, score.high, score.n, one.unpaired]
            line += [found.p, one.corrected, found.exact]
        rows.append([*line, one.fewer, one.apart])
    return _csv(header, rows)


def runs_csv(comparison: Comparison) -> str:
    """Return one line a run, counted or not."""
    named = roles(comparison.outcomes)
    keys = tuple(dict.fromkeys((*comparison.row_keys, *comparison.pair_keys)))
    header = ["run", "name", "status", "not_counted", *keys, f"{comparison.split}_score"]
    header += [
        "examples",
        "failed",
        *(f"calls_{role}" for role in named),
        "tokens",
        "cost",
        "seconds",
        "calls_to_reach",
    ]
    rows: list[Row] = [
        [
            *(o.run.id, o.run.name, o.run.status, None, *values_of(o.run, keys), o.score),
            *(o.examples, o.failed),
            *(o.calls.get(role) for role in named),
            *(o.tokens, o.cost, o.seconds, o.to_reach),
        ]
        for o in comparison.outcomes
    ]
    nothing = [None] * (len(header) - 4 - len(keys))
    rows += [
        [one.run.id, one.run.name, one.run.status, one.why, *values_of(one.run, keys), *nothing]
        for one in comparison.left_out
    ]
    return _csv(header, rows)


def write_folder(
    comparison: Comparison,
    folder: Path,
    progress: Mapping[str, Mapping[str, History]],
    split: str,
    texts: Callable[[RecordedRun], Texts | None] = lambda run: None,
) -> tuple[Path, ...]:
    """Write every form of the comparison, over earlier ones; raises ConfigError.

    `progress` holds metrics by run, of which the page draws `score/<split>`; `texts` says what a
    run began with and returned.
    """
    from sgdflow.comparison.figure import as_svg
    from sgdflow.comparison.page import as_page

    forms = {
        "compare.md": f"{as_markdown(comparison)}\n![{_PICTURE}](compare.svg)\n",
        "cells.csv": cells_csv(comparison),
        "runs.csv": runs_csv(comparison),
    }
    if comparison.against is not None:
        forms["differences.csv"] = differences_csv(comparison)
    forms["compare.svg"] = as_svg(comparison)
    forms["compare.html"] = as_page(
        comparison, forms["compare.svg"], progress, split, texts(comparison.best.run)
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in forms.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(f"out={folder}: cannot be written ({error.strerror}).") from error
    return tuple(folder / name for name in forms)


def _csv(header: Iterable[str], rows: Iterable[Row]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()
