"""How simulated writers put a new text as edits of the lines of the old one."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher


def as_edits(before: str, after: str) -> str:
    """Return the edits that make one text of the other, in the form that prompts ask for."""
    return "\n".join(_edits(before.split("\n"), after.split("\n"))) or "NONE"


def _edits(old: list[str], new: list[str]) -> Iterator[str]:
    for what, i, i_end, j, j_end in SequenceMatcher(None, old, new, False).get_opcodes():
        if what == "equal":
            continue
        both = min(i_end - i, j_end - j)
        for place in range(both):
            yield f"REPLACE {i + place + 1}: {new[j + place]}"
        for place in range(i + both, i_end):
            yield f"DELETE {place + 1}"
        for line in new[j + both : j_end]:
            yield f"ADD {i_end}: {line}"
