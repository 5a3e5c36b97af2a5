"""How simulated models tell apart what a text lacks: by the sentences that would be added."""

from __future__ import annotations

from collections.abc import Sequence

from sgdflow.simulation.summing import lacking

_ALL_THERE = "nothing is lacking"
_REST = "something else is lacking"


def groups(text: str, better: Sequence[str], most: int) -> str:
    """Put those pieces of work together whose better texts add the same; what is rare, too."""
    found: dict[str, list[int]] = {}
    for number, one in enumerate(better, 1):
        found.setdefault(" ".join(lacking(text, one)) or _ALL_THERE, []).append(number)
    ranked = sorted(found.items(), key=lambda one: -len(one[1]))
    told, rest = ranked, sorted(n for _, numbers in ranked[most - 1 :] for n in numbers)
    if len(ranked) > most:
        told = [*ranked[: most - 1], (_REST, rest)]
    return "\n".join(f"{label}: {', '.join(map(str, numbers))}" for label, numbers in told)


def causes(text: str, better: Sequence[str], most: int) -> str:
    """Deal the sentences that the better text adds to so many causes."""
    added = lacking(text, better[0]) or [_ALL_THERE]
    dealt = [added[place::most] for place in range(min(most, len(added)))]
    return "\n".join(f"lacking {i}: {' '.join(one)}" for i, one in enumerate(dealt, 1))


def mended(text: str, better: str, cause: str) -> str:
    """Return the text with those of the better one's new sentences that the cause names."""
    named = [one for one in lacking(text, better) if one in cause]
    return " ".join([text, *named]) if named else better
