"""Tables whose fields are divided by commas, tabs, semicolons, ..."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sgdflow.data.files import few, lines
from sgdflow.data.rows import Row, check_columns, check_names
from sgdflow.errors import DataError, did_you_mean, listed, plural, shortly

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"}
_SPREADSHEET = re.compile(r"sep=(.)\s*")
# The limit has to fit a C long everywhere.
_WIDEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Layout:
    """How the fields of a file are told apart."""

    delimiter: str
    quoting: bool = True
    """Quotes are undone; without it they are characters like any other."""
    columns: Sequence[str] = ()
    """Their names; none: the first line has them."""


def delimiter_of(said: object, ending: str) -> str:
    """Return the character that divides fields, which may be said by name; None: by the ending."""
    if said is None:
        return "\t" if ending == ".tsv" else ","
    if said in DELIMITERS.values():
        return str(said)
    if isinstance(said, str) and said in DELIMITERS:
        return DELIMITERS[said]
    if isinstance(said, str) and len(said) == 1 and said not in '\r\n"':
        return said
    close = did_you_mean(said, DELIMITERS) if isinstance(said, str) else ""
    raise DataError(
        f"task.data.delimiter is {shortly(repr(said))}; expected one character, or "
        f"{listed(DELIMITERS)}, or null.{close}"
    )


def delimited(file: Path, layout: Layout, wanted: Sequence[str] = ()) -> Iterator[Row]:
    """Yield rows of text, with the wanted columns alone where some are named."""
    names = list(layout.columns)
    line = 1
    with _wide_fields():
        reader = _reader(file, layout)
        try:
            if not names:
                names = _first(reader)
                if not names:
                    return
                _check_header(file, reader.line_num, names, layout, wanted)
            picked = {name: names.index(name) for name in wanted or names}
            while True:
                line = reader.line_num + 1
                fields = next(reader, None)
                if fields is None:
                    return
                if not fields:
                    continue
                if len(fields) != len(names):
                    several = reader.line_num > line
                    told = _uneven(fields, names, layout, several_lines=several)
                    raise DataError(f"{file}, line {line}: {told}")
                yield Row(f"{file}, line {line}", {name: fields[at] for name, at in picked.items()})
        except csv.Error as error:
            raise DataError(
                _divided_otherwise(file, layout, wanted)
                or f"{file}, line {line}: {_reason(error)}.{_advice(layout)}"
            ) from error


def _uneven(
    fields: Sequence[str], names: Sequence[str], layout: Layout, *, several_lines: bool
) -> str:
    """Say that a row has another number of fields than the header, and what that may come from."""
    advice = ""
    if several_lines or any('"' in field for field in fields):
        advice = _advice(layout)
    elif len(fields) > len(names):
        advice = f" A field that holds {layout.delimiter!r} has to stand in quotes."
    return f"{plural(len(fields), 'field')}, expected {len(names):,} ({few(names)}).{advice}"


def _reason(error: csv.Error) -> str:
    told = str(error)
    return "a quote is opened and never closed" if told == "unexpected end of data" else told


def _check_header(
    file: Path, line: int, names: Sequence[str], layout: Layout, wanted: Sequence[str]
) -> None:
    check_names(f"{file}, line {line}", names)
    if any(name not in names for name in wanted):
        if said := _SPREADSHEET.fullmatch(names[0]) if len(names) == 1 else None:
            raise DataError(
                f"{file}, line {line}: '{names[0]}' is no line of column names. Remove the line, "
                f"and set task.data.delimiter={_named(said[1])}."
            )
        if told := _divided_otherwise(file, layout, wanted):
            raise DataError(told)
    check_columns(f"{file}, line {line}", names, wanted)


def _divided_otherwise(file: Path, layout: Layout, wanted: Sequence[str]) -> str | None:
    """Say by what a file is divided whose first line has the wanted columns then, if it is so."""
    if layout.columns or not wanted:
        return None
    for delimiter in DELIMITERS.values():
        other = Layout(delimiter, layout.quoting)
        try:
            names = _first(_reader(file, other))
        except csv.Error:
            continue
        if delimiter != layout.delimiter and set(wanted) <= set(names):
            return (
                f"{file}, line 1: the columns are divided by {delimiter!r}, not by "
                f"{layout.delimiter!r}. Set task.data.delimiter={_named(delimiter)}."
            )
    return None


def _named(delimiter: str) -> str:
    return next((name for name, one in DELIMITERS.items() if one == delimiter), f"'{delimiter}'")


def _first(reader: Iterator[list[str]]) -> list[str]:
    return next((fields for fields in reader if fields), [])


def _reader(file: Path, layout: Layout) -> Reader:
    return csv.reader(
        lines(file),
        delimiter=layout.delimiter,
        quoting=csv.QUOTE_MINIMAL if layout.quoting else csv.QUOTE_NONE,
        strict=True,
    )


@contextmanager
def _wide_fields() -> Iterator[None]:
    """Let a field hold a whole document, as long as the file is read."""
    before = csv.field_size_limit(_WIDEST)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _advice(layout: Layout) -> str:
    advice = ' If a " is a character like any other in this file, set task.data.quoting=false.'
    return advice if layout.quoting else ""
