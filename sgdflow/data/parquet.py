"""Parquet files, through pyarrow: columns as plain values, never more than fits."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from sgdflow.data.rows import Row, check_columns, check_names
from sgdflow.errors import DataError, shortly

_ROW = 500
"""Bytes that a row takes at least, once it is an example."""
_VALUE = 16
_MEGABYTE = 1_000_000
_TEXTS = ("STRING", "NONE", "ENUM", "JSON")


def parquet_rows(file: Path, wanted: Sequence[str], megabytes: int) -> Iterator[Row]:
    """Yield the wanted columns row by row; raises DataError where they would take more memory.

    A Parquet file of a few kilobytes can stand for any number of bytes.
    """
    parquet = _package(file)
    try:
        with parquet.ParquetFile(file) as opened:
            names = opened.schema_arrow.names
            check_names(str(file), names)
            check_columns(str(file), names, wanted)
            _check_size(file, opened, wanted, megabytes)
            leaves = _leaves(opened, wanted).values()
            texts = [leaf.path for leaf in leaves if _is_text(leaf)]
        # A text that the file holds once then stays one text.
        with parquet.ParquetFile(file, read_dictionary=texts) as opened:
            yield from _rows(file, opened, wanted)
    except DataError:
        raise
    # A broken file makes pyarrow raise errors of its own, and those of what it builds on.
    except Exception as error:
        reason = shortly(str(error), 200).rstrip(".")
        raise DataError(f"{file}: not readable as Parquet: {reason}.") from error


def _package(file: Path) -> Any:
    try:
        importlib.import_module("pyarrow")
        return importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise DataError(
            f"{file}: reading Parquet needs the pyarrow package: pip install pyarrow."
        ) from error


def _leaves(opened: Any, wanted: Sequence[str]) -> Mapping[int, Any]:
    """Return what the wanted columns are stored as, by position; a nested one has several."""
    leaves = {at: opened.schema.column(at) for at in range(len(opened.schema))}
    return {
        at: leaf
        for at, leaf in leaves.items()
        if leaf.path in wanted or leaf.path.split(".")[0] in wanted
    }


def _is_text(leaf: Any) -> bool:
    return leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in _TEXTS


def _check_size(file: Path, opened: Any, wanted: Sequence[str], megabytes: int) -> None:
    """Refuse what the file itself says is too much, before any of it is unpacked."""
    said, most = opened.metadata, megabytes * _MEGABYTE
    leaves = _leaves(opened, wanted)
    groups = [said.row_group(at) for at in range(said.num_row_groups)]
    size = said.num_rows * (_ROW + sum(map(_width, leaves.values())))
    size += sum(max(group.total_byte_size, 0) for group in groups)
    if size > most or any(leaf.max_repetition_level for leaf in leaves.values()):
        size = said.num_rows * _ROW + _size_elsewhere(file, wanted)
    if size > most:
        more = -(-size // _MEGABYTE)
        raise DataError(
            f"{file}: its rows would take about {more:,} MB once they are unpacked, and "
            f"task.data.megabytes allows {megabytes:,}. Use fewer rows, or set "
            f"task.data.megabytes={more} if the machine has room for several times as much."
        )


def _width(leaf: Any) -> int:
    """Return how many bytes a value of this kind takes at least."""
    return max(leaf.length or 0, _VALUE)


def _size_elsewhere(file: Path, wanted: Sequence[str]) -> int:
    """Return the size of some columns, asked for in another process.

    Where the statistics of a column are broken, pyarrow ends the process that looks at them.
    """
    script = "import sys; from sgdflow.data.parquet import print_size; print_size(*sys.argv[1:])"
    command = [sys.executable, "-c", script, str(file.resolve()), *wanted]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise DataError(f"{file}: not readable as Parquet: what it says of its columns is broken.")
    return int(ended.stdout)


def print_size(file: str, *wanted: str) -> None:
    """Print how many bytes the values of some columns take."""
    size = 0
    with _package(Path(file)).ParquetFile(file) as opened:
        leaves = _leaves(opened, wanted)
        for at in range(opened.num_row_groups):
            group = opened.metadata.row_group(at)
            for position, leaf in leaves.items():
                chunk = group.column(position)
                size += max(chunk.total_uncompressed_size, 0) + chunk.num_values * _width(leaf)
    sys.stdout.write(f"{size}\n")


def _rows(file: Path, opened: Any, wanted: Sequence[str]) -> Iterator[Row]:
    number = 0
    for group in range(opened.num_row_groups):
        content = opened.read_row_group(group, columns=list(wanted))
        columns = [
            [value for chunk in content.column(name).chunks for value in _values(chunk)]
            for name in wanted
        ]
        for values in zip(*columns, strict=True):
            number += 1
            where = f"{file}, row {number}"
            named = zip(wanted, values, strict=True)
            yield Row(where, {n: plain(value, f"{where}: column '{n}'") for n, value in named})


def _values(array: Any) -> list[Any]:
    """Return a column as Python values, in which equal texts are one and the same."""
    if hasattr(array, "dictionary"):
        texts = [_decoded(text) for text in array.dictionary.to_pylist()]
        return [None if at is None else texts[at] for at in array.indices.to_pylist()]
    if hasattr(array, "storage"):
        return _values(array.storage)
    if array.type.num_fields == 0:
        found: list[Any] = array.to_pylist()
        return found
    if hasattr(array, "field"):
        names = [array.type.field(at).name for at in range(array.type.num_fields)]
        rows = zip(*map(_values, array.flatten()), strict=True)
        return _there(array, [dict(zip(names, row, strict=True)) for row in rows])
    if hasattr(array, "keys"):
        pairs = [*zip(_values(array.keys), _values(array.items), strict=True)]
        return _there(array, [dict(pairs[start:end]) for start, end in _spans(array)])
    items = _values(array.values)
    return _there(array, [items[start:end] for start, end in _spans(array)])


def _there(array: Any, values: list[Any]) -> list[Any]:
    """Return values, None where an array has none."""
    valid = array.is_valid().to_pylist()
    return [value if there else None for value, there in zip(values, valid, strict=True)]


def _spans(array: Any) -> list[tuple[int, int]]:
    """Return from where to where the items of each list go."""
    if hasattr(array.type, "list_size"):
        size = array.type.list_size
        starts = [(array.offset + at) * size for at in range(len(array))]
        return [(start, start + size) for start in starts]
    starts = array.offsets.to_pylist()
    if hasattr(array, "sizes"):
        sizes = array.sizes.to_pylist()
        return [(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    return [*pairwise(starts)]


def _decoded(text: Any) -> Any:
    """Return bytes as text, once for all rows that share them; other bytes stay what they are."""
    try:
        return text.decode("utf-8") if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        return text


def plain(value: Any, where: str) -> Any:
    """Return a value as JSON would hold it: decimals, dates and bytes as their text."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where} holds bytes that are no UTF-8 text.") from error
    if isinstance(value, dict):
        return {str(key): plain(inner, where) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner, where) for inner in value]
    raise DataError(f"{where} holds a {type(value).__name__}, which is no text and no number.")
