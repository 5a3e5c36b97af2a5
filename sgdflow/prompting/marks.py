"""Delimiters that the values of a prompt do not contain, so that no value can play a role in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from typing import Any

MARK = "mark"
"""The variable that templates write into their tags: `<output{{ mark }}>`."""

TEXTS = "texts"
"""A field of a dataclass that holds the texts of all fields before it, or None."""

_MARKED = re.compile(r"</?([A-Za-z_]\w*)\{\{\s*mark\s*\}\}")
_LENGTH = 4


class Own(str):
    """A text of our own making, whose tags stand for nobody else's."""

    __slots__ = ()


def marked_tags(sources: Collection[str]) -> frozenset[str]:
    """Return the names of the tags that templates mark."""
    return frozenset(name.lower() for source in sources for name in _MARKED.findall(source))


def mark_for(
    variables: Mapping[str, Any], tags: Collection[str], reply: str = "", own: Any = ()
) -> str:
    """Return what tells a prompt's own tags from such in its values: "" where no value has one.

    The tag of the `reply` may stand in texts within what is the prompt's `own`.

    Otherwise a hyphen and some digits of a hash, which stand in none of the values. It is that of
    the values with a tag alone: an instruction that shows tags gives all its prompts one mark, so
    that servers can keep what they have in common.
    """
    texts = texts_of(variables)
    doubtful = [text for text in texts if "<" in text]
    if not doubtful:
        return ""
    in_own, in_others = _names_of(tags), _names_of({*tags, reply} if reply else tags)
    ours = frozenset(texts_of(own))
    tagged = [text for text in doubtful if _has_tag(text, in_own if text in ours else in_others)]
    if not tagged:
        return ""
    digits = sha256("\0".join(tagged).encode("utf-8", "replace")).hexdigest()
    whole = "\n".join(texts)
    length = _LENGTH
    while f"-{digits[:length]}" in whole:
        length += 1
        if length > len(digits):
            digits, length = sha256(digits.encode()).hexdigest(), _LENGTH
    return f"-{digits[:length]}"


def _names_of(tags: Collection[str]) -> str:
    return "|".join(sorted(map(re.escape, tags)))


def _has_tag(text: str, names: str) -> bool:
    if not names:
        return False
    return re.search(rf"<\s*/?\s*(?:{names})\b", text, re.IGNORECASE) is not None


def texts_of(value: Any) -> tuple[str, ...]:
    """Return each text in a value once, at any depth, in order."""
    found: dict[str, None] = {}
    _gather(value, found, {})
    return tuple(found)


def _gather(value: Any, found: dict[str, None], seen: dict[int, Any]) -> None:
    """Note the texts in a value that is not yet seen: places in a graph share most of theirs."""
    if isinstance(value, str):
        if not isinstance(value, Own):
            found[value] = None
    elif not (value is None or isinstance(value, int | float) or id(value) in seen):
        seen[id(value)] = value  # kept, so that no other value takes its id
        known, others = _inside(value)
        found.update(dict.fromkeys(known))
        for other in others:
            if type(other) is str:  # as most are: a call for each would take longer than the rest
                found[other] = None
            else:
                _gather(other, found, seen)


def _inside(value: Any) -> tuple[Iterable[str], Iterable[Any]]:
    """Return the texts in a value that are known, and what else is in it."""
    if type(value) is dict or isinstance(value, Mapping):
        return (), (part for item in value.items() for part in item)
    if isinstance(value, list | tuple | set | frozenset):
        return (), value
    kind: Any = type(value)
    names = () if kind is type else _names(kind)
    known = getattr(value, TEXTS) if TEXTS in names else None
    if known is not None:
        names = names[names.index(TEXTS) + 1 :]
    return known or (), [getattr(value, name) for name in names]


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()
