"""Long texts of a run's records, each written once and referred to (docs/files.md).

In the place of a long text a record has `{"$text": ID}`. texts.jsonl has the text below that id,
whole or as parts: strings, and ids of texts that stand in lines before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from sgdflow.config.documents import LINE, check_regular, from_json, unreadable
from sgdflow.errors import ConfigError
from sgdflow.records.pieces import DEEPEST, LEAST, cut

TEXTS = "texts.jsonl"
"""Of the file in a run directory."""
_REFERENCE = "$text"
_ID = 16
_LINE = re.compile(rb'\{"id": "([0-9a-f]{16})"')
_MOST = 2**30
"""Characters of all texts of one record."""
Whole = Callable[[Any], Any]
"""Gives a part of a record with all texts in their places."""
_CACHED = 16 * 2**20
"""Characters of texts that a reader remembers."""


class Kept:
    """Takes the long texts out of records; of those that it has had it remembers the digests."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[dict[str, Any]] = []

    def referring(self, record: Any) -> Any:
        """Return a record with references in the place of its long texts."""
        return self._referring(record, frozenset())

    def add(self, text: str) -> str:
        """Return the id of a text, however short."""
        return self._id(text, DEEPEST)

    def new(self) -> list[dict[str, Any]]:
        """Return the lines of texts.jsonl that came up since the last time."""
        new, self._new = self._new, []
        return new

    def copy(self) -> Kept:
        """Return one that knows the same texts."""
        made = Kept()
        made._known |= self._known
        return made

    def _referring(self, data: Any, around: frozenset[int]) -> Any:
        if isinstance(data, str):
            return data if len(data) < LEAST else {_REFERENCE: self.add(data)}
        if not isinstance(data, dict | list | tuple) or id(data) in around:
            return data  # what holds itself, or is no record, is for whoever writes JSON
        around |= {id(data)}
        if not isinstance(data, dict):
            return [self._referring(one, around) for one in data]
        made = {key: self._referring(one, around) for key, one in data.items()}
        # What a value of code looks like is not to be taken for a reference.
        return {_REFERENCE: made} if data.keys() == {_REFERENCE} else made

    def _id(self, text: str, deep: int) -> str:
        name = digest(text)
        if name in self._known:
            return name
        self._known.add(name)
        parts: list[Any] = [
            [self._id(piece, deep - 1 if again else 0)] if len(piece) >= LEAST else piece
            for piece, again in (cut(text) if deep else ())
            if piece
        ]
        line = {"parts": _joined(parts)} if len(parts) > 1 else {"text": text}
        self._new.append({"id": name, **line})
        return name


def _joined(parts: list[Any]) -> list[Any]:
    """Return parts with strings that follow one another as one."""
    found: list[Any] = []
    for part in parts:
        if found and isinstance(part, str) and isinstance(found[-1], str):
            found[-1] += part
        else:
            found.append(part)
    return found


def digest(text: str) -> str:
    """Return what a text is known by."""
    try:
        data = text.encode()
    except UnicodeEncodeError:  # two halves become the character that JSON reads back
        wide = text.encode("utf-16-le", "surrogatepass")
        data = wide.decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass")
    return sha256(data).hexdigest()[:_ID]


@contextmanager
def reading(folder: Path) -> Iterator[Texts]:
    """Give the texts of a run directory; its file is opened when the first one is asked for."""
    with ExitStack() as stack:
        yield Texts(folder / TEXTS, stack)


class Texts:
    """Puts long texts back into records; what it remembers of them is bounded."""

    def __init__(self, file: Path, stack: ExitStack) -> None:
        self._file, self._stack = file, stack
        self._opened: BinaryIO | None = None
        self._places: dict[str, tuple[int, int]] = {}
        """Number and offset of each text's line."""
        self._lines = self._end = 0
        self._cached: dict[str, str] = {}
        self._size = 0

    def of(self, record: Any, where: str) -> Whole:
        """Return what gives any part of a record whole; raises ConfigError.

        In a record of format 1 every text stands in line.
        """
        if isinstance(record, dict) and record.get("format") == 1:
            return lambda part: part
        left = _MOST

        def text(name: str) -> str:
            nonlocal left
            found = self._text(name, where)
            left -= len(found)
            if left < 0:
                raise unreadable(where, f"its texts have more than {_MOST:,} characters")
            return found

        def whole(part: Any) -> Any:
            if isinstance(part, list):
                return [whole(one) for one in part]
            if not isinstance(part, dict):
                return part
            inner = part.get(_REFERENCE) if len(part) == 1 else None
            if isinstance(inner, str):
                return text(inner)
            if isinstance(inner, dict):
                return {key: whole(one) for key, one in inner.items()}
            return {key: whole(one) for key, one in part.items()}

        return whole

    def _text(self, name: str, where: str, before: int | None = None, deep: int = 0) -> str:
        """Return a text; one that is part of another stands before that."""
        number, offset = self._place(name, where)
        if deep > DEEPEST + 1 or (before is not None and offset >= before):
            raise self._damaged(number, name)
        if name in self._cached:
            return self._cached[name]
        text = "".join(self._parts(name, number, offset, deep))
        if digest(text) != name or len(text) < LEAST:
            raise self._damaged(number, name)
        if (size := self._size + len(text)) > _CACHED:
            self._cached.clear()
            size = len(text)
        self._cached[name], self._size = text, size
        return text

    def _parts(self, name: str, number: int, offset: int, deep: int) -> Iterator[str]:
        """Yield the strings that a text consists of, no more than a line may hold."""
        line = self._line(number, offset)
        here = f"{self._file}, line {number}"
        record = from_json(line.decode("utf-8", "replace"), here)
        parts, size = record.get("parts", [record.get("text")]), 0
        for part in parts if isinstance(parts, list) else [None]:
            match part:
                case str():
                    found = part
                case [str(inner)]:
                    found = self._text(inner, here, offset, deep + 1)
                case _:
                    raise self._damaged(number, name)
            size += len(found)
            if size > LINE:
                raise unreadable(here, f"it stands for more than {LINE:,} characters")
            yield found

    def _place(self, name: str, where: str) -> tuple[int, int]:
        if name not in self._places:
            self._look(where)  # a run that is under way adds to it
        if name not in self._places:
            raise ConfigError(
                f"{self._file} has no text {name[:_ID]}, to which {where} refers: it was cut off "
                "or is that of another run. Copy the whole run directory."
            )
        return self._places[name]

    def _look(self, where: str) -> None:
        """Note where the texts stand that were added since the last time."""
        opened = self._open(where)
        opened.seek(self._end)
        while line := opened.readline(4 * LINE):
            if not line.endswith(b"\n"):
                break  # its writing was interrupted, and nothing refers to it
            self._lines += 1
            if (found := _LINE.match(line)) is None:
                raise unreadable(f"{self._file}, line {self._lines}", "no text stands there")
            self._places.setdefault(found[1].decode(), (self._lines, self._end))
            self._end += len(line)

    def _line(self, number: int, offset: int) -> bytes:
        opened = self._open("")
        opened.seek(offset)
        return opened.readline(4 * LINE)

    def _open(self, where: str) -> BinaryIO:
        if self._opened is None:
            try:
                check_regular(self._file)
                self._opened = self._stack.enter_context(self._file.open("rb"))
            except FileNotFoundError as error:
                raise ConfigError(
                    f"There is no {self._file}, which has texts that {where} refers to. Copy the "
                    "whole run directory."
                ) from error
            except OSError as error:
                raise unreadable(str(self._file), str(error)) from error
        return self._opened

    def _damaged(self, number: int, name: str) -> ConfigError:
        return ConfigError(
            f"{self._file}, line {number}: the text {name} is not the one that was written there: "
            "the file was changed or damaged. Copy the whole run directory again."
        )
