"""A reader for tables of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.data.delimited import Layout, delimited, delimiter_of
from sgdflow.data.examples import SPLITS, Example, Pools
from sgdflow.data.files import existing
from sgdflow.data.jsontext import kind
from sgdflow.data.parquet import parquet_rows
from sgdflow.data.rows import Row, check_columns, json_lines, load_json, objects
from sgdflow.errors import DataError, did_you_mean, listed, shortly

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
PACKED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".tar", ".tgz")


def table(
    path: str | Mapping[str, str | None] | None,
    inputs: Mapping[str, str] | Sequence[str],
    target: str | Mapping[str, str] | Sequence[str] | None,
    id: str | None = None,
    quoting: bool = True,
    delimiter: str | None = None,
    megabytes: int = 300,
) -> Pools:
    """Read a .jsonl, .json, .csv, .tsv or .parquet file, or one file for each split.

    Args:
        path: A file, which is one pool to divide, or {train: FILE, validation: FILE,
            test: FILE}; validation and test may be left out, they are then cut from train.
        inputs: Column by graph input, or a list of columns named like the graph's inputs.
        target: Column of the expected answer; columns, by field, of one that has several; None:
            examples have none.
        id: Column of unique ids; None numbers the rows from 0.
        quoting: Whether quotes around .csv and .tsv fields are undone; False leaves each
            quote as a character. Values of these files are always text.
        delimiter: What divides the fields of .csv and .tsv files, a character or comma,
            semicolon, tab or pipe; None goes by the ending.
        megabytes: What a .parquet file may take once it is unpacked.
    """
    columns = input_columns(inputs)
    expected = _target_columns(target)
    if id is not None:
        _check_text(id, "task.id", "the column of unique ids, or null")
    ids = [id] if id is not None else []
    wanted = list(dict.fromkeys([*columns.values(), *expected.values(), *ids]))

    def rows(file: Path) -> Iterator[Row]:
        return read(file, wanted, quoting=quoting, delimiter=delimiter, megabytes=megabytes)

    def examples(file: Path, prefix: str) -> tuple[Example, ...]:
        filled = _filled(rows(file), [*columns.values(), *expected.values()])
        return tuple(
            _example(row, columns, (target, expected), (id, f"{prefix}/{index}"))
            for index, row in enumerate(filled)
        )

    if isinstance(path, Mapping):
        return Pools(**{split: examples(file, split) for split, file in _part_files(path).items()})
    file = _file(path, "task.path")
    return Pools(shared=examples(file, file.stem))


def _filled(rows: Iterator[Row], wanted: Sequence[str]) -> Iterator[Row]:
    """Yield rows with null for a wanted column that only others of them have.

    Raises DataError for one that none of them has.
    """
    known: set[str] = set()
    without: dict[str, Row] = {}
    for row in rows:
        gone = [column for column in wanted if column not in row.values]
        known.update(column for column in wanted if column not in gone)
        without |= {column: row for column in gone if column not in without}
        if gone:
            # Said with the place: the file shows no null there.
            others = [name for name in row.values if name not in wanted]
            near = next((name for name in others if did_you_mean(name, gone)), None)
            has = f"has '{shortly(near)}', and no" if near else "has no"
            place = f"{row.where} (it {has} {listed(map(repr, gone))})"
            row = Row(place, {**row.values, **dict.fromkeys(gone)})
        yield row
    for column, row in without.items():
        if column not in known:
            check_columns(row.where, row.values, [column])


def read(
    file: Path,
    wanted: Sequence[str],
    *,
    quoting: bool = True,
    delimiter: object = None,
    megabytes: int = 300,
) -> Iterator[Row]:
    """Yield the rows of a file, read by the ending of its name; no rows raise DataError."""
    none = True
    for row in _opened(file, wanted, quoting, delimiter, megabytes):
        none = False
        yield row
    if none:
        raise DataError(f"{file}: the file holds no rows.")


def _opened(
    file: Path, wanted: Sequence[str], quoting: bool, delimiter: object, megabytes: int
) -> Iterator[Row]:
    ending = file.suffix.lower()
    match ending:
        case ".jsonl":
            return json_lines(file)
        case ".json":
            return objects(file, load_json(file))
        case ".csv" | ".tsv":
            layout = Layout(delimiter_of(delimiter, ending), quoting)
            return delimited(file, layout, wanted)
        case ".parquet":
            return parquet_rows(file, wanted, megabytes)
    advice = " Unpack it first." if ending in PACKED else ""
    raise DataError(f"{file}: cannot read '{ending}' files.{advice} Known: {listed(FORMATS)}.")


def input_columns(inputs: Any) -> dict[str, str]:
    """Return the column of each input as task.inputs names them; raises DataError."""
    if isinstance(inputs, Mapping):
        columns = dict(inputs)
    elif isinstance(inputs, Sequence) and not isinstance(inputs, str):
        columns = {name: name for name in inputs}
    else:
        raise DataError(
            f"task.inputs is {shortly(repr(inputs))}; expected a list of columns ([question]) or "
            "the column of each graph input ({question: COLUMN})."
        )
    if not columns:
        raise DataError("task.inputs is empty; name at least one column.")
    for name, column in columns.items():
        _check_text(column, f"task.inputs.{name}", "the name of a column")
    return columns


def _target_columns(target: Any) -> dict[str, str]:
    """Return the column of each field of the targets; raises DataError."""
    if target is None:
        return {}
    if isinstance(target, str):
        return {target: target}
    if isinstance(target, Mapping):
        columns = {str(field): column for field, column in target.items()}
    elif isinstance(target, Sequence):
        columns = {str(column): column for column in target}
    else:
        columns = {}
    if not columns:
        raise DataError(
            f"task.target is {shortly(repr(target))}; expected the column of the expected answer, "
            "columns of one with several fields ([department, urgency]), or null."
        )
    for field, column in columns.items():
        _check_text(column, f"task.target.{field}", "the name of a column")
    return columns


def _part_files(path: Mapping[str, str | None]) -> dict[str, Path]:
    for split in path:
        if split not in SPLITS:
            raise DataError(
                f"task.path has no split '{split}'.{did_you_mean(str(split), SPLITS)} "
                f"Known: {listed(SPLITS)}."
            )
    if path.get("train") is None:
        raise DataError("task.path.train is missing; name the file with the training examples.")
    files = {
        split: _file(path[split], f"task.path.{split}")
        for split in SPLITS
        if path.get(split) is not None
    }
    resolved = {split: file.resolve() for split, file in files.items()}
    for split, file in resolved.items():
        first = next(other for other, same in resolved.items() if same == file)
        if first != split:
            raise DataError(
                f"task.path.{first} and task.path.{split} are the same file '{files[split]}'; "
                "splits must be disjoint. To divide one file, set task.path=FILE."
            )
    return files


def _check_text(value: object, key: str, expected: str) -> None:
    if not isinstance(value, str):
        raise DataError(f"{key} is {shortly(repr(value))}; expected {expected}, a text.")


def _file(path: str | None, key: str) -> Path:
    if path is None:
        raise DataError(f"{key} is null; expected a {listed(FORMATS)} file.")
    return existing(path, key, f"a {listed(FORMATS)} file")


def _example(
    row: Row,
    columns: Mapping[str, str],
    expected: tuple[Any, Mapping[str, str]],
    ids: tuple[str | None, str],
) -> Example:
    declared, fields = expected
    id_column, number = ids
    inputs = {name: row.value(column) for name, column in columns.items()}
    name = _id(row, id_column) if id_column else number
    target: Any = {field: row.value(column) for field, column in fields.items()} or None
    if isinstance(declared, str):
        target = row.value(declared)
    return Example(name, inputs, target, row.where)


def _id(row: Row, column: str) -> str:
    value = row.value(column)
    if value is None or value == "":
        raise DataError(f"{row.where}: column '{column}' (task.id) is empty.")
    if isinstance(value, dict | list):
        raise DataError(f"{row.where}: column '{column}' (task.id) holds {kind(value)}, no id.")
    return str(value)
