"""A simulated writer chooses demonstrations: those that are most like what failed."""

from __future__ import annotations

import re
from collections.abc import Sequence


def choice(pieces: Sequence[tuple[int, str]], failed: Sequence[str], most: int) -> str:
    """Return the numbers of at most so many pieces, those with the most words of failures first."""
    words = {word for one in failed for word in _words(one)}
    like = sorted(pieces, key=lambda piece: -len(words & _words(piece[1])))
    return ", ".join(str(number) for number, _ in like[:most])


def _words(text: str) -> set[str]:
    return {*re.findall(r"\w+", text.lower())}
