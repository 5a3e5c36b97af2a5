"""Values as templates show them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.errors import plural

MOST = 32
"""Names, values or members that a prompt shows one by one; of more it says how many there are."""
NOT_SHOWN = "(not shown)"
_SHORT = 300
"""Characters of a value that may stand on a line of its own, without tags."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A variable as templates see it."""

    name: str
    value: Any
    told: str = ""
    """What the node that wrote it is told to do; empty for inputs and code."""


def shown(values: Mapping[str, Any], told: Mapping[str, str] | None = None) -> Sequence[Shown]:
    """Return variables for a template, in order."""
    return [Shown(name, value, (told or {}).get(name, "")) for name, value in values.items()]


def few(values: Mapping[str, Any]) -> Sequence[Shown]:
    """Return variables for a template: of many the first, and how many more there are."""
    found = shown(values)
    return [*some(found), *(Shown(said, NOT_SHOWN) for said in rest(found))]


def named(names: Collection[str]) -> str:
    """Mention names with commas: of many the first, and how many more there are."""
    return ", ".join([*some(names), *rest(names)])


def some(many: Collection[Any]) -> Sequence[Any]:
    """Return those that are shown; the others are counted beside them."""
    return list(many)[:MOST]


def rest(many: Collection[Any]) -> Sequence[str]:
    """Say, where they are too many to be shown, how many more there are."""
    return [f"and {len(many) - MOST} more"] if len(many) > MOST else []


def as_text(value: Any) -> Any:
    """Show structured values as JSON, as a reader (and a model) expects them.

    What is an image is only said to be one.
    """
    if isinstance(value, str):
        return "(an image)" if value.startswith("data:image/") else value
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value


def quoted(value: Any, most: int = 200) -> str:
    """Mention a text in a sentence: in quotes, on one line, shortened where it is longer."""
    text = " ".join(str(value).split())
    return json.dumps(text if len(text) <= most else f"{text[:most]}…", ensure_ascii=False)


def is_short(value: Any) -> bool:
    """Return whether a value needs no tags around it: one line that nothing can be hidden in."""
    text = str(as_text(value))
    return 0 < len(text) <= _SHORT and text == text.strip() and len(text.splitlines()) == 1


def alike(items: Iterable[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return pieces of work that are equal once, with how many `times` they were there."""
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        found.setdefault(repr(item), {**item, "times": 0})["times"] += 1
    return list(found.values())


def shortened(text: str, most: int = 2000) -> str:
    """Return a text that nobody bounded, such as a runaway reply, without its middle."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    left = f"{plural(len(text) - head - tail, 'character')} left out"
    return f"{text[:head]}\n[... {left} ...]\n{text[-tail:]}"
