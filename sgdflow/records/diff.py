"""What differs between two texts, word by word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

Op = Literal["equal", "delete", "insert"]
Part = tuple[Op, str]

_WORDS = re.compile(r"\s*\S+|\s+")
"""A word takes the space before it along: a word that is added at the end changes no other."""
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_PAIRS = 100_000
"""Pairs of equal words that are considered at most; with more it would take seconds."""


def words(before: str, after: str) -> tuple[Part, ...]:
    """Return what is kept, deleted and inserted, in reading order; no part is empty.

    Equal and deleted parts together are `before`, equal and inserted ones `after`. Very long or
    repetitive texts are compared by lines, and where that is no better, replaced as a whole.
    """
    for units in (_WORDS, _LINES):
        old, new = units.findall(before), units.findall(after)
        start = _common(old, new)
        end = _common(old[start:][::-1], new[start:][::-1])
        old_middle, new_middle = old[start : len(old) - end], new[start : len(new) - end]
        if _equal_pairs(old_middle, new_middle) <= _PAIRS:
            middle = _compared(old_middle, new_middle)
            break
    else:
        middle = iter([("delete", old_middle), ("insert", new_middle)])
    parts = [("equal", old[:start]), *middle, ("equal", old[len(old) - end :])]
    return tuple(_joined(parts))


def _common(old: Sequence[str], new: Sequence[str]) -> int:
    """Return how many units at the start are the same."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))


def _equal_pairs(old: Sequence[str], new: Sequence[str]) -> int:
    counts = Counter(new)
    return sum(counts[unit] for unit in old)


def _compared(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[Op, Sequence[str]]]:
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield "equal", old[i:j]
        else:
            yield "delete", old[i:j]
            yield "insert", new[k:m]


def _joined(parts: Sequence[tuple[Op, Sequence[str]]]) -> Iterator[Part]:
    found = [(op, text) for op, units in parts if (text := "".join(units))]
    for op, run in groupby(found, key=lambda part: part[0]):
        yield op, "".join(text for _, text in run)
