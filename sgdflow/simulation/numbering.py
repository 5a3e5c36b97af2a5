"""How simulated writers write numbers: the next larger one that there is, then the smallest."""

from __future__ import annotations

import re

_BETWEEN = re.compile(
    r"It is a (?P<whole>whole )?number from (?P<low>\S+) to (?P<high>[^\s:,]+)"
    r"(?:, in steps of (?P<step>[^\s:]+))?: write the number"
)
_LISTED = re.compile(r"It is one of ([^:\n]+): write the number")
_PARTS = 10
"""Of a range without steps a writer goes so many ways."""


def another(text: str, prompt: str) -> str | None:
    """Return another number than the one that a parameter is; None where it is none."""
    if found := _LISTED.search(prompt):
        numbers = [float(one) for one in found[1].split(", ")]
    elif found := _BETWEEN.search(prompt):
        low, high = float(found["low"]), float(found["high"])
        parts = (high - low) / _PARTS
        step = 1.0 if found["whole"] else float(found["step"]) if found["step"] else parts
        count = int((high - low) / step + 1e-6)
        numbers = [round(low + step * number, 6) for number in range(count + 1)]
    else:
        return None
    larger = [number for number in sorted(numbers) if number > float(text)]
    return f"{min(larger or numbers):g}"
