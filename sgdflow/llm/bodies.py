"""What an endpoint said where no reply could be read: the body behind an exception, its words."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 20_000
"""Characters of what an error says that are looked at."""
_LONGEST = 200
_WORDS = ("message", "detail", "msg", "error")
"""Under which names servers say what is wrong."""
_PREFIX = re.compile(r"^(?:(?:litellm\.)?\w*(?:Error|Timeout|Exception)(?:: | - ))+")
_LIBRARY = re.compile(r"\s*(?:Traceback \(most recent call last\)|Original exception:)")
"""Where the words of an endpoint end and those of the library begin."""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def taken(error: BaseException) -> Iterator[Mapping[str, Any]]:
    """Yield the bodies of answers of status 200 with which litellm could do nothing.

    What it was given stands in the frame in which it failed.
    """
    for cause in causes(error):
        for frame, _ in traceback.walk_tb(cause.__traceback__):
            given = frame.f_locals.get("response_object")
            if isinstance(given, Mapping):
                yield given


def body_of(error: Exception, answer: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return what an endpoint said of an error; empty where it is no mapping."""
    body = answer or getattr(error, "body", None)
    return inner(body) if isinstance(body, Mapping) else told(str(error))


def told(text: str) -> Mapping[str, Any]:
    """Return what an endpoint said of an error in a text; empty where it holds no mapping."""
    text = text[:MOST]
    try:
        return inner(json.loads(text[text.index("{") : text.rindex("}") + 1]))
    except (ValueError, RecursionError):
        return {}


def inner(body: Any) -> Mapping[str, Any]:
    """Return the part of a body that tells of an error."""
    found = (body.get("error") or body) if isinstance(body, Mapping) else body
    if isinstance(found, str):
        return {"message": found}
    return found if isinstance(found, Mapping) else {}


def said(error: Exception, body: Mapping[str, Any]) -> str:
    """Return the endpoint's own words in one line, or those of the library where it had none."""
    return one_line(words(body) or _PREFIX.sub("", str(error)[: 2 * MOST]))


def words(body: Mapping[str, Any]) -> str:
    """Return what a body says of an error; empty where it says nothing."""
    return next((body[name] for name in _WORDS if isinstance(body.get(name), str)), "")


def one_line(text: str) -> str:
    """Return the first line that says something, cut where it is long."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = _LIBRARY.split(line, 1)[0] or line
    return line.rstrip(".") if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def number(body: Mapping[str, Any]) -> int | None:
    """Return the status that an error of an answer names as its code, None where it names none."""
    code = str(body.get("code"))
    return int(code) if re.fullmatch("[1-5][0-9]{2}", code) else None
