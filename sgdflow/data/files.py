"""Data files by their paths, and the text in them; every problem with its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

from sgdflow.errors import DataError, listed, looked_in, shortly
from sgdflow.homes import expanded

_SHOWN, _LONGEST = 20, 300
_ZEROS = ((2 / 3, "UTF-32"), (1 / 3, "UTF-16"))
"""The share of zeros at the beginning of a text that has no byte order mark."""
_UNPACK, _EXPORT = "Unpack it first.", "Export the rows as a text file or as Parquet."
_BINARY = (
    (b"\xff\xfe\0\0", "in UTF-32", "Save it as UTF-8."),
    (b"\0\0\xfe\xff", "in UTF-32", "Save it as UTF-8."),
    (b"\xff\xfe", "in UTF-16", "Save it as UTF-8."),
    (b"\xfe\xff", "in UTF-16", "Save it as UTF-8."),
    (b"\x1f\x8b", "packed (gzip)", _UNPACK),
    (b"BZh", "packed (bzip2)", _UNPACK),
    (b"\xfd7zXZ", "packed (xz)", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "packed (zstd)", _UNPACK),
    (b"7z\xbc\xaf", "packed (7z)", _UNPACK),
    (b"PK\x03\x04", "a zip archive or a workbook", f"{_UNPACK} {_EXPORT}"),
    (b"\xd0\xcf\x11\xe0", "a workbook", _EXPORT),
    (b"SQLite format 3", "a database", _EXPORT),
    (b"PAR1", "a Parquet file", "Give its name the ending .parquet."),
)
"""What a file that is not in UTF-8 may be, by how it begins."""


def folder_of(declared: str | Path) -> Path | None:
    """Return the folder that is declared; None where what is declared is none."""
    try:
        folder = expanded(declared)
        return folder if folder.is_dir() else None
    except (OSError, ValueError):  # too long, say, or nobody's home
        return None


def existing(path: object, key: str, expected: str, *, folder: bool = False) -> Path:
    """Return the path that config key `key` names, or raise DataError saying what is expected."""
    kind = "folder" if folder else "file"
    if not isinstance(path, str | Path):
        raise DataError(
            f"{key} is {shortly(repr(path))}, no path of a {kind}. Expected: {expected}."
        )
    if re.match(r"[a-z][a-z0-9+.-]*://", str(path), re.IGNORECASE):
        told = f"{key}: '{shortly(str(path))}' is an address."
        raise DataError(f"{told} Fetch the {kind} first, and name it here.")
    if not str(path).strip():
        raise DataError(f"{key} is empty. Expected: {expected}.")
    try:
        found = expanded(path)
        there = found.exists()
        fits = found.is_dir() if folder else found.is_file()
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise DataError(
            f"{key}: '{shortly(str(path))}' cannot be looked at: {reason}. Expected: {expected}."
        ) from error
    name = str(found) if len(str(found)) <= _LONGEST else f"{str(found)[:_LONGEST]}..."
    if not there:
        raise DataError(
            f"{key}: there is no {kind} '{name}'. Expected: {expected}.{looked_in(found)}"
        )
    if not fits:
        raise DataError(f"{key}: '{name}' is not a {kind}. Expected: {expected}.")
    return found


def member(folder: Path, name: str, key: str) -> Path:
    """Return a file of a folder, or raise DataError saying what the folder holds instead."""
    if not (folder / name).is_file():
        held = few(sorted(entry.name for entry in folder.iterdir()))
        raise DataError(f"{key}: folder '{folder}' has no file '{name}'. It holds: {held}.")
    return folder / name


def few(names: Sequence[str]) -> str:
    """Return names as "a, b, c"; of very many only the first."""
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return listed(shortly(name) for name in names[:_SHOWN]) + more


def lines(file: Path) -> Iterator[str]:
    """Yield lines with their ends; only LF, CR and CRLF end a line."""
    try:
        # Whole and at once: a reader that stops half-way leaves no file open.
        with file.open(encoding="utf-8-sig", newline="") as opened:
            text = opened.read()
    except UnicodeDecodeError as error:
        raise DataError(_not_utf8(file, error.reason)) from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}.") from error
    zeros = text.count("\x00", 0, 200)
    if wide := next((name for share, name in _ZEROS if zeros > share * len(text[:200])), None):
        raise DataError(f"{file}: is in {wide}. Save it as UTF-8.")
    yield from StringIO(text, newline="")


def _not_utf8(file: Path, reason: str) -> str:
    with file.open("rb") as opened:
        begins = opened.read(16)
        for mark, what, advice in _BINARY:
            if begins.startswith(mark):
                return f"{file}: is {what}. {advice}"
        opened.seek(0)
        for number, line in enumerate(opened, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return f"{file}, line {number}: not UTF-8 ({reason}). Save it as UTF-8."
    return f"{file}: not UTF-8 ({reason}). Save it as UTF-8."
