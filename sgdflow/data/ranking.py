"""Texts ranked by the words they share with a query; the only place that knows bm25s."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from logging import WARNING, getLogger
from typing import Any

SEARCHES = "bm25s"
"""The package."""
_WORD = re.compile(r"\w+")


def available() -> bool:
    """Return whether the library is installed."""
    return find_spec(SEARCHES) is not None


@dataclass(frozen=True)
class Ranking:
    """Texts, and how well each fits a query."""

    texts: Sequence[str]

    def best(self, query: str, count: int) -> Sequence[int]:
        """Return the places of at most so many texts that share a word, the best first.

        Of equals the earlier one comes first.
        """
        words = [word for word in _words(query) if word in self._vocabulary]
        if not words:
            return []
        scores = self._index.get_scores(words).tolist()
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return [place for place in order[:count] if scores[place] > 0]

    @cached_property
    def _vocabulary(self) -> frozenset[str]:
        return frozenset(word for text in self.texts for word in _words(text))

    @cached_property
    def _index(self) -> Any:
        from bm25s import BM25

        # It tells every index that it builds, to whoever listens to the root.
        getLogger(SEARCHES).setLevel(WARNING)
        index = BM25()
        index.index([_words(text) for text in self.texts], show_progress=False)
        return index


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())
