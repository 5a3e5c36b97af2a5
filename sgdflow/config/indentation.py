"""Where the indentation of a YAML file does not fit, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sgdflow.errors import plural

_SHOWN = 3


def misfit(name: str, number: int) -> str:
    """Say of a line how far it is indented, and how far the lines above that it may belong to.

    Just that it does not fit where the file cannot be read.
    """
    told = " The indentation does not fit"
    try:
        lines = Path(name).read_text(encoding="utf-8-sig").splitlines()[:number]
    except (OSError, ValueError):
        return f"{told} that of the lines above."
    above = _open(lines[:-1])[:_SHOWN]
    if not lines or not above:
        return f"{told}."
    *others, last = (f"{depth} (line {at})" for depth, at in above)
    levels = f"{', '.join(others)} or {last}" if others else last
    return (
        f"{told}: line {number} begins with {plural(_depth(lines[-1]), 'space')}, the lines above "
        f"it with {levels}. Lines that belong together begin with equally many."
    )


def is_deeper(name: str, number: int, column: int) -> bool:
    """Say whether a line is a key, up to a column, and further in than the one above it."""
    try:
        lines = Path(name).read_text(encoding="utf-8-sig").splitlines()[:number]
    except (OSError, ValueError):
        return False
    above = _open(lines[:-1])
    key = lines[-1][:column].strip() if lines else ""
    return key.isidentifier() and bool(above) and _depth(lines[-1]) > above[0][0]


def _open(lines: Sequence[str]) -> Sequence[tuple[int, int]]:
    """Return the depths that a next line may have, innermost first, each with its last line."""
    found: list[tuple[int, int]] = []
    for number, line in reversed([*enumerate(lines, 1)]):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        depth = _depth(line)
        if not found or depth < found[-1][0]:
            found.append((depth, number))
    return found


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))
