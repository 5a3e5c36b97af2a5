"""Finds the one JSON object that a reply holds; the only place that knows json-repair."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sgdflow.errors import ReplyError, shortly
from sgdflow.prompting.dressing import fenced

_LENIENT = 200_000
"""Characters of a reply that is searched for an object; a longer one is JSON or refused."""
_OBJECTS = 100
_MARK = re.compile(r'["{}]')
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_NO_WORD = re.compile(r"[\W_]+")
_QUOTES = tuple("\"'`\u201c\u201d\u2018\u2019")


class _Number(str):
    """A number as it was written, however many digits it has."""

    __slots__ = ()


def the_object(text: str, names: Collection[str], allowed: Collection[str]) -> Mapping[str, Any]:
    """Return the object that holds any of `names`: the whole reply, or the only one within it.

    Strings may hold raw line ends; numbers are read as texts. What is not quite JSON is mended
    where only punctuation is wrong and the keys are `allowed` ones. Raises ReplyError.
    """
    why = ""
    try:
        whole = _parsed(text)
    except (ValueError, RecursionError) as error:
        why = f" ({error})"
    else:
        if isinstance(whole, dict):
            return whole
    found = _within(text, names, allowed) if len(text) <= _LENIENT else None
    if found is not None:
        return found
    raise ReplyError(f"it is not one JSON object{why}" if why else "it is not a JSON object")


def plain_numbers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object with numbers for numbers; raises ReplyError for what JSON does not hold."""
    value = _numbers(found)
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise ReplyError("it holds half a character (a lone surrogate)") from error
    except (ValueError, RecursionError) as error:
        raise ReplyError("it holds a number that is none, or is nested too deep") from error
    assert isinstance(value, dict)
    return value


def _numbers(value: Any) -> Any:
    match value:
        case _Number():
            whole = value.lstrip("-").isdigit()
            try:
                return int(value) if whole else float(value)
            except ValueError as error:  # more digits than Python reads
                raise ReplyError(f"the number {shortly(value, 20)} is too long") from error
        case dict():
            return {key: _numbers(one) for key, one in value.items()}
        case list():
            return [_numbers(one) for one in value]
    return value


def in_object(text: str, at: int) -> bool:
    """Return whether a place in a reply stands within a JSON object."""
    if len(text) > _LENIENT:
        return False
    try:
        if isinstance(_parsed(text), dict):
            return True
    except (ValueError, RecursionError, ReplyError):
        pass
    return any(start < at < end for start, end in _spans(text))


def _parsed(text: str) -> Any:
    return json.loads(
        text, strict=False, object_pairs_hook=_once, parse_int=_Number, parse_float=_Number
    )


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Build a JSON object; json itself would keep the last of equal keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ReplyError(f"the JSON object holds {shortly(twice)} more than once")
    return found


def _within(
    text: str, names: Collection[str], allowed: Collection[str]
) -> Mapping[str, Any] | None:
    """Return the one object among the words of a reply, mended if need be."""
    spans = _some_spans([text]) or _some_spans(fenced(text))
    whole: list[Mapping[str, Any]] = []
    broken: list[str] = []
    for span in spans:
        try:
            whole.append(_parsed(span))
        except (ValueError, RecursionError):
            broken.append(span)
    meant = [found for found in whole if any(name in found for name in names)]
    if meant and all(found == meant[0] for found in meant):
        return meant[0]
    if meant:
        raise ReplyError(f"it holds {len(meant)} JSON objects that differ; write exactly one")
    if not spans:
        broken = [text[text.find("{") : text.rfind("}") + 1]]
    mended = _mended(broken[0], allowed) if len(broken) == 1 else None
    if mended is not None:
        return mended
    return whole[0] if len(whole) == 1 else None


def _some_spans(texts: Sequence[str]) -> Sequence[str]:
    """Return what may be objects; none where there are so many that none can be meant."""
    spans = []
    for text in texts:
        for start, end in _spans(text):
            spans.append(text[start:end])
            if len(spans) > _OBJECTS:
                return ()
    return spans


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the outermost pairs of braces stand, in time linear in the text."""
    at = text.find("{")
    while at >= 0:
        end = _closed(text, at)
        if end is None:
            return
        yield at, end
        at = text.find("{", end)


def _closed(text: str, start: int) -> int | None:
    """Return where the brace that opens at `start` has been closed; braces in strings are text."""
    at, depth = start + 1, 1
    while depth:
        mark = _MARK.search(text, at)
        if mark is None:
            return None
        at = mark.end()
        if mark[0] == '"':
            string = _STRING.match(text, mark.start())
            if string is None:
                return None
            at = string.end()
        else:
            depth += 1 if mark[0] == "{" else -1
    return at


def _mended(text: str, allowed: Collection[str]) -> Mapping[str, Any] | None:
    """Return what a mended object holds, None where the mending had to guess at words."""
    if not text or text.count("{") != text.count("}"):  # its end may be missing
        return None
    from json_repair import repair_json

    try:
        found = repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError):
        return None
    if not isinstance(found, dict) or not found.keys() <= set(allowed):
        return None
    values: dict[str, str | bool] = {}
    for key, value in found.items():
        match value:
            case bool():
                values[key] = value
            case int() | float():
                values[key] = _Number(value)
            case str() if not (value.startswith(_QUOTES) or value.endswith(_QUOTES)):
                values[key] = value
            case _:  # One of its delimiters was taken for a part of it, perhaps.
                return None
    said = "".join(f"{key}{_written(value)}" for key, value in values.items())
    return values if _words(_ESCAPE.sub(_unescaped, text)) == _words(said) else None


def _written(value: str | bool) -> str:
    return json.dumps(value) if isinstance(value, bool) else value


def _unescaped(escape: re.Match[str]) -> str:
    said = escape[1]
    if len(said) > 1:
        return chr(int(said[1:], 16))
    return "" if said in "bfnrt" else said


def _words(text: str) -> str:
    return _NO_WORD.sub("", text)
