"""Fields of a structured reply, filled in from the words that a prompt gives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

ASKED = re.compile(r'^- "(\w+)": (.+?)(?:; may be left out)?$', re.MULTILINE)
"""A field as a prompt asks for it: its name, and what it has to be."""
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w])")


def filled(fields: Mapping[str, str], statement: str, given: str) -> str:
    """Return a reply with these fields: what a statement says, with the words that were given.

    Of a call of a tool and an answer, the answer.
    """
    if {"tool", "answer"} <= fields.keys():
        return json.dumps({"tool": "answer", "answer": statement})
    return json.dumps({name: _value(kind, statement, given) for name, kind in fields.items()})


def _value(kind: str, statement: str, given: str) -> Any:
    if kind.startswith("one of "):
        return _chosen(json.loads(f"[{kind.removeprefix('one of ')}]"), f"{statement} {given}")
    if kind.startswith("a list, each of it "):
        return [_value(kind.removeprefix("a list, each of it "), statement, given)]
    numbers = _NUMBER.findall(f"{statement} {given}")
    match kind.split(" (")[0]:
        case "a whole number":
            return int(float(numbers[0])) if numbers else 0
        case "a number":
            return float(numbers[0]) if numbers else 0.0
        case "true or false":
            return "yes" in statement.casefold()
    return statement


def _chosen(values: list[Any], words: str) -> Any:
    """Return the value whose name stands in the words, else the first."""
    said = words.casefold()
    return next((one for one in values if str(one).casefold() in said), values[0])
