"""Delimiters that the values of a prompt do not contain, so that no value can play a role in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from itertools import chain
from operator import attrgetter
from types import NoneType
from typing import Any

MARK = "mark"
"""The variable that templates write into their tags: `<output{{ mark }}>`."""

TEXTS = "texts"
"""A field of a dataclass that holds the texts of all fields before it, or None."""

_MARKED = re.compile(r"</?([A-Za-z_]\w*)\{\{\s*mark\s*\}\}")
_LENGTH = 4
_BARE = frozenset({NoneType, int, float, bool})
"""Types of values that hold no text."""


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
    """Return each text in a value that a mark may hang on once, at any depth, in order.

    Those are the ones with what a tag or a mark begins with: most texts have neither.
    """
    found: dict[str, None] = {}
    _gather((value,), found, {})
    return tuple(found)


def _gather(values: Iterable[Any], found: dict[str, None], seen: dict[int, Any]) -> None:
    """Note the texts in values that are not yet seen: places in a graph share most of theirs."""
    for value in values:
        if isinstance(value, str):
            if ("<" in value or "-" in value) and not isinstance(value, Own):
                found[value] = None
        elif type(value) not in _BARE and (name := id(value)) not in seen:
            seen[name] = value  # kept, so that no other value takes its id
            known, others = _inside(value)
            found.update(dict.fromkeys(known))
            _gather(others, found, seen)


def _inside(value: Any) -> tuple[Iterable[str], Iterable[Any]]:
    """Return the texts in a value that are known, and what else is in it."""
    kind: Any = type(value)
    return _way_into(kind)(value)


@cache
def _way_into(kind: Any) -> Callable[[Any], tuple[Iterable[str], Iterable[Any]]]:
    """Return how to look into the values of a type, which is found out once."""
    if issubclass(kind, Mapping):
        return lambda value: ((), chain.from_iterable(value.items()))
    if issubclass(kind, list | tuple | set | frozenset):
        return lambda value: ((), value)
    names = tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()
    whole = _reader(names)
    if TEXTS not in names:
        return lambda value: ((), whole(value))
    texts, after = attrgetter(TEXTS), _reader(names[names.index(TEXTS) + 1 :])

    def way(value: Any) -> tuple[Iterable[str], Iterable[Any]]:
        known = texts(value)
        return ((), whole(value)) if known is None else (known, after(value))

    return way


def _reader(names: Sequence[str]) -> Callable[[Any], Iterable[Any]]:
    """Return what reads these attributes of a value."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda value: [getattr(value, name) for name in names]
