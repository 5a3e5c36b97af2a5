"""In which form a writer gives a new text: whole, or as edits of numbered lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sgdflow.errors import ReplyError, plural, shortly
from sgdflow.executor.graph import Graph
from sgdflow.prompting.dressing import unfenced_like

_BEGINS = re.compile(
    r"\s*(?:[-*]\s+)?(?P<kind>ADD|REPLACE|DELETE)\s+(?:AFTER\s+)?(?:LINE\s+)?(?P<line>\d+)\b"
    r"\s*(?P<text>:.*)?\.?\s*",
    re.IGNORECASE,
)
_NONE = re.compile(r"\s*none\.?\s*", re.IGNORECASE)
_HOW = "write ADD n: ..., REPLACE n: ... or DELETE n, each on a line of its own, or NONE"
Kind = Literal["ADD", "REPLACE", "DELETE"]


@dataclass(frozen=True, slots=True)
class NumberedLine:
    """A line of a text, as templates see it."""

    number: int
    text: str


class Form(Protocol):
    """What a reply says of the new text."""

    def lines(self, text: str) -> Sequence[NumberedLine]:
        """Return the lines that a reply may name; none where it gives the whole text."""

    def text(self, reply: str, before: str) -> str:
        """Return the new text; raises ReplyError for what does not fit the text as it stood."""


@dataclass(frozen=True, slots=True)
class Whole:
    """The reply is the text."""

    def lines(self, text: str) -> Sequence[NumberedLine]:
        """Return none."""
        return ()

    def text(self, reply: str, before: str) -> str:
        """Return the reply."""
        return unfenced_like(reply, before)


@dataclass(frozen=True, slots=True)
class Edit:
    """One of them; numbers are those of the text as it stood."""

    kind: Kind
    line: int
    text: str = ""

    @property
    def name(self) -> str:
        """Return how it begins."""
        return f"{self.kind} {self.line}"


@dataclass(frozen=True, slots=True)
class Edits:
    """The reply adds, replaces and deletes lines; all others stay, letter by letter."""

    def lines(self, text: str) -> Sequence[NumberedLine]:
        """Return all lines, from 1."""
        return [NumberedLine(i, line) for i, line in enumerate(_lines(text), 1)]

    def text(self, reply: str, before: str) -> str:
        """Return the text with the edits made."""
        edits = list(read_edits(unfenced_like(reply, before)))
        lines = _lines(before)
        _check(edits, len(lines))
        added: dict[int, list[str]] = {}
        for edit in edits:
            if edit.kind == "ADD":
                added.setdefault(edit.line, []).append(edit.text)
        changed = {edit.line: edit for edit in edits if edit.kind != "ADD"}
        new = list(_made(lines, changed, added))
        if not any(line.strip() for line in new):
            raise ReplyError("the edits delete all there is; keep or add a line")
        return "\n".join(new)


def numbers(graph: Graph, optimised: Sequence[str]) -> Iterator[str]:
    """Yield the parameters that have no lines to be edited."""
    for name in optimised:
        parameter = graph.parameters[name]
        if parameter.constraints.number is not None or not isinstance(parameter.initial, str):
            yield (
                f"parameter '{name}' is {parameter.constraints.number or repr(parameter.initial)}; "
                "edits need lines of text. Set method.update.form=whole, freeze it (frozen: "
                "true), or leave it out of method.update.parameters."
            )


def read_edits(reply: str) -> Iterator[Edit]:
    """Yield the edits of a reply; raises ReplyError. NONE stands for none.

    A text may go on over further lines, up to the next edit.
    """
    if _NONE.fullmatch(reply):
        return
    under_way: Edit | None = None
    for line in reply.strip().splitlines():
        found = _BEGINS.fullmatch(line)
        if found:
            if under_way is not None:
                yield _finished(under_way)
            under_way = _begun(found)
        elif under_way is None:
            raise ReplyError(f'"{shortly(line)}" is no edit; {_HOW}')
        elif under_way.kind == "DELETE":
            if line.strip():
                raise ReplyError(f'"{shortly(line)}", after {under_way.name}, is no edit; {_HOW}')
        else:
            more = f"{under_way.text}\n{line}"
            under_way = Edit(under_way.kind, under_way.line, more)
    if under_way is not None:
        yield _finished(under_way)


def _begun(found: re.Match[str]) -> Edit:
    kinds: Mapping[str, Kind] = {"ADD": "ADD", "REPLACE": "REPLACE", "DELETE": "DELETE"}
    return Edit(
        kinds[found["kind"].upper()], int(found["line"]), (found["text"] or "").lstrip(":").strip()
    )


def _finished(edit: Edit) -> Edit:
    text = edit.text.strip()
    if edit.kind == "DELETE" and text:
        raise ReplyError(f"{edit.name} takes no text; to put one in its place write REPLACE")
    if edit.kind != "DELETE" and not text:
        raise ReplyError(f"{edit.name} has no text; write it after a colon, or DELETE the line")
    return Edit(edit.kind, edit.line, text)


def _check(edits: Sequence[Edit], lines: int) -> None:
    """Raise ReplyError for lines that are not there, or that two edits want to be otherwise."""
    changed: set[int] = set()
    for edit in edits:
        first = 0 if edit.kind == "ADD" else 1
        if not first <= edit.line <= lines:
            has = plural(lines, "line")
            raise ReplyError(f"{edit.name}: there is no line {edit.line}; the text has {has}")
        if edit.kind != "ADD":
            if edit.line in changed:
                raise ReplyError(f"{edit.name}: line {edit.line} is edited twice; edit it once")
            changed.add(edit.line)


def _made(
    lines: Sequence[str], changed: Mapping[int, Edit], added: Mapping[int, Sequence[str]]
) -> Iterator[str]:
    yield from added.get(0, ())
    for number, line in enumerate(lines, 1):
        edit = changed.get(number)
        if edit is None:
            yield line
        elif edit.kind == "REPLACE":
            yield edit.text
        yield from added.get(number, ())


def _lines(text: str) -> Sequence[str]:
    return text.split("\n")
