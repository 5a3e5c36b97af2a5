"""How much of a large run a page shows."""

from __future__ import annotations

from collections.abc import Sequence


def shares(counts: Sequence[int], size: int, limit: int) -> list[int]:
    """Return how many of its examples each step shows, the latest steps first to be served.

    `size` is that of the file that holds them all, `limit` how much of it a page has room for.
    """
    total = sum(counts)
    if size <= limit or total == 0:
        return list(counts)
    fitting = total * limit // size
    each = max(1, fitting // len(counts))
    shown = [0] * len(counts)
    for i in reversed(range(len(counts))):
        shown[i] = min(counts[i], each, fitting)
        fitting -= shown[i]
    return shown
