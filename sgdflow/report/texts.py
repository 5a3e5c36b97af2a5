"""Texts of a page, each kept once."""

from __future__ import annotations

from typing import Any

from sgdflow.records.words import as_text

_LONGEST = 100_000
_SPLIT = 300


def shortened(text: str) -> str:
    """Return a text that a page can hold; what is cut off is said."""
    left = len(text) - _LONGEST
    return text if left <= 0 else f"{text[:_LONGEST]}\n... ({left:,} more characters)"


class Texts:
    """A table of texts; prompts repeat most of their lines, so those are kept once, too."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.table: list[str | list[int]] = []
        """A text, or the numbers of its lines."""

    def add(self, value: Any) -> int:
        """Return the number of a text."""
        text = shortened(as_text(value))
        if text in self._numbers:
            return self._numbers[text]
        lines = text.split("\n") if len(text) > _SPLIT else []
        if len(lines) > 1:
            entry: str | list[int] = [self._line(line) for line in lines]
            return self._keep(text, entry)
        return self._line(text)

    def _line(self, text: str) -> int:
        return self._numbers[text] if text in self._numbers else self._keep(text, text)

    def _keep(self, text: str, entry: str | list[int]) -> int:
        self._numbers[text] = len(self.table)
        self.table.append(entry)
        return self._numbers[text]
