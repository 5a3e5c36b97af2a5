"""What has changed from one text to another, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

_WORD = re.compile(r"\s+|[^\s]+")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text; kept and added ones make up the new text, kept and removed the old."""

    kind: Literal["kept", "removed", "added"]
    text: str


def differences(old: str, new: str) -> tuple[Piece, ...]:
    """Return the pieces in reading order; what was removed comes before what took its place."""
    before, after = _WORD.findall(old), _WORD.findall(new)
    matched = SequenceMatcher(None, before, after, autojunk=False)
    return tuple(_joined(_pieces(before, after, matched)))


def _pieces(before: list[str], after: list[str], matched: SequenceMatcher[str]) -> Iterator[Piece]:
    for tag, i, j, k, m in matched.get_opcodes():
        if tag == "equal":
            yield Piece("kept", "".join(before[i:j]))
            continue
        if i < j:
            yield Piece("removed", "".join(before[i:j]))
        if k < m:
            yield Piece("added", "".join(after[k:m]))


def _joined(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Draw changes together that only blanks stand between: "a b" -> "c d" is one change."""
    removed = added = gap = ""
    for piece in pieces:
        if piece.kind == "removed":
            removed, added, gap = removed + gap + piece.text, added + gap, ""
        elif piece.kind == "added":
            removed, added, gap = removed + gap, added + gap + piece.text, ""
        elif piece.text.isspace() and (removed or added) and not gap:
            gap = piece.text
        else:
            yield from _changed(removed, added)
            yield Piece("kept", gap + piece.text)
            removed = added = gap = ""
    yield from _changed(removed, added)
    if gap:
        yield Piece("kept", gap)


def _changed(removed: str, added: str) -> Iterator[Piece]:
    if removed:
        yield Piece("removed", removed)
    if added:
        yield Piece("added", added)
