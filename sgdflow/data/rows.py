"""Rows of data: every value as it stands in the file, every problem with its place."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sgdflow.data.files import few, lines
from sgdflow.data.jsontext import kind, parse
from sgdflow.errors import DataError, did_you_mean, shortly


class Row(NamedTuple):
    """One row and where it stands, for error messages."""

    where: str
    values: Mapping[str, Any]

    def value(self, column: str) -> Any:
        """Return the value of a column, or raise DataError naming the columns there are."""
        check_columns(self.where, self.values, [column])
        return self.values[column]

    def text(self, column: str) -> str:
        """Return the value of a column that must hold text."""
        value = self.value(column)
        if not isinstance(value, str):
            found = shortly(repr(value))
            raise DataError(f"{self.where}: column '{column}' holds {found}, expected text.")
        return value


def check_columns(where: str, names: Collection[str], wanted: Sequence[str]) -> None:
    """Raise DataError where a wanted column is not there."""
    for column in wanted:
        if column not in names:
            raise DataError(
                f"{where}: no column '{column}'.{did_you_mean(column, names)} "
                f"Columns: {few(list(names))}."
            )


def check_names(where: str, names: Sequence[str]) -> None:
    """Raise DataError where two columns have one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen and not name.strip():
            raise DataError(f"{where}: two columns have no name. Name them, or take them out.")
        if name in seen:
            told = f"two columns are named '{shortly(name)}'. Rename one, or take it out."
            raise DataError(f"{where}: {told}")
        seen.add(name)


def json_lines(file: Path) -> Iterator[Row]:
    """Yield one row per line; blank lines are passed over."""
    for number, line in enumerate(lines(file), 1):
        if line.strip():
            where = f"{file}, line {number}"
            yield Row(where, _object(where, _parsed(where, line.rstrip("\r\n"))))


def load_json(file: Path) -> Any:
    """Return the content of a JSON file."""
    return _parsed(str(file), "".join(lines(file)))


def objects(file: Path, items: Any) -> Iterator[Row]:
    """Yield the objects of a JSON list."""
    if not isinstance(items, list):
        raise DataError(f"{file}: expected a JSON list of objects, found {kind(items)}.")
    for number, item in enumerate(items, 1):
        where = f"{file}, row {number}"
        yield Row(where, _object(where, item))


def _parsed(where: str, text: str) -> Any:
    try:
        return parse(text)
    except DataError as error:
        advice = ""
        if "Extra data" in str(error) and "\n" in text:
            advice = " If every line is an object of its own, name the file .jsonl."
        raise DataError(f"{where}: {error}.{advice}") from error


def _object(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, found {kind(value)}.")
    return value
