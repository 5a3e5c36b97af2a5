"""JSON in data: whatever is wrong with it is one reason and, where it is known, its place."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any

from sgdflow.errors import DataError, shortly

_DEEPEST = 100
_OPENING = re.compile(r"[\[{]")


def parse(text: str) -> Any:
    """Return the value; raises DataError that says why there is none, without a full stop.

    Refused are also numbers that would become another one, and names that stand twice.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_float=_number, parse_int=_whole)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, " if "\n" in text else ""
        raise DataError(f"not JSON: {error.msg} ({place}column {error.colno})") from error
    except RecursionError as error:
        raise DataError(_TOO_DEEP) from error
    if len(_OPENING.findall(text)) > _DEEPEST and _depth(value) > _DEEPEST:
        raise DataError(_TOO_DEEP)
    return value


_TOO_DEEP = f"its brackets are nested more than {_DEEPEST} deep"


def _depth(value: Any) -> int:
    """Return how deep lists and objects stand in each other."""
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


def kind(value: Any) -> str:
    """Return what a JSON value is, with an article."""
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a truth value"}
    return kinds.get(type(value), "null" if value is None else "a number")


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError as error:
        raise DataError(
            f"a number of {len(digits):,} digits is too long; write it in quotes, as text"
        ) from error


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise DataError(f"the number {shortly(text, 20)} is too large; write it in quotes, as text")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise DataError(f"'{shortly(twice)}' stands in one object twice")
    return found
