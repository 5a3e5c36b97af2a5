"""Delimiters that the values of a prompt do not contain, so that no value can play a role in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

MARK = "mark"
"""The variable that templates write into their tags: `<output{{ mark }}>`."""

_MARKED = re.compile(r"</?([A-Za-z_]\w*)\{\{\s*mark\s*\}\}")
_LENGTH = 4


class Own(str):
    """A text of our own making, whose tags stand for nobody else's."""

    __slots__ = ()


def marked_tags(sources: Collection[str]) -> frozenset[str]:
    """Return the names of the tags that templates mark."""
    return frozenset(name.lower() for source in sources for name in _MARKED.findall(source))


def mark_for(variables: Mapping[str, Any], tags: Collection[str]) -> str:
    """Return what tells a prompt's own tags from such in its values: "" where no value has one.

    Otherwise a hyphen and some digits of the values' hash, which stand in none of them.
    """
    texts = list(dict.fromkeys(_texts(variables)))
    names = "|".join(sorted(map(re.escape, tags)))
    if not names or not any(_has_tag(text, names) for text in texts):
        return ""
    digits, whole = (
        sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest(),
        "\n".join(texts),
    )
    length = _LENGTH
    while f"-{digits[:length]}" in whole:
        length += 1
        if length > len(digits):
            digits, length = sha256(digits.encode()).hexdigest(), _LENGTH
    return f"-{digits[:length]}"


def _has_tag(text: str, names: str) -> bool:
    return "<" in text and re.search(rf"<\s*/?\s*(?:{names})\b", text, re.IGNORECASE) is not None


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts in a value, at any depth."""
    match value:
        case Own():
            return
        case str():
            yield value
        case Mapping():
            for key, inner in value.items():
                yield from _texts(key)
                yield from _texts(inner)
        case list() | tuple() | set() | frozenset():
            for inner in value:
                yield from _texts(inner)
        case _ if is_dataclass(value):
            for one in fields(value):
                yield from _texts(getattr(value, one.name))
