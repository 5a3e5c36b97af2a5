"""What is stored of a request: its reply, or why there is none; written as JSON, read with care."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sgdflow.llm import Reply, Spent, Usage
from sgdflow.llm.database import FAILED, Row


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply and what it took."""

    reply: Reply
    spent: Spent
    """Of all attempts, also of those that brought no reply."""
    model: str
    """Who answered."""
    endpoint: str | None = None
    """Where; empty for the provider's own address, None where it was not noted."""
    time: float = field(default=0.0, compare=False)
    """When it was stored, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a request got no reply, and what it took; kept for replay, asked again otherwise."""

    message: str
    kind: str
    spent: Spent


def place(given: Answered) -> str:
    """Say where an answer came from."""
    if given.endpoint is None:
        return "an endpoint that was not noted"
    return given.endpoint or f"{given.model.partition('/')[0]}'s own address"


def as_json(given: Answered | Failed) -> str:
    """Return an answer as it is stored."""
    if isinstance(given, Failed):
        return json.dumps(asdict(given))
    reply, spent = given.reply, given.spent
    # By hand: `asdict` copies everything deeply and takes longer than all else about a stored call.
    said = {
        "text": reply.text,
        "usage": _as_usage(reply.usage),
        "truncated": reply.truncated,
        "cost": reply.cost,
        "seconds": reply.seconds,
    }
    took = {
        "calls": spent.calls,
        "usage": _as_usage(spent.usage),
        "cost": spent.cost,
        "faults": dict(spent.faults),
        "again": _as_usage(spent.again),
    }
    return json.dumps(
        {"reply": said, "spent": took, "model": given.model, "endpoint": given.endpoint}
    )


def _as_usage(usage: Usage) -> Mapping[str, int]:
    return {"prompt": usage.prompt, "completion": usage.completion, "cached": usage.cached}


def answered(stored: str, time: float = 0.0) -> Answered:
    """Return a stored answer; raises ValueError where it is none."""
    read = _read(stored)
    reply = _of(read, "reply", dict)
    endpoint = None if read.get("endpoint") is None else _of(read, "endpoint", str)
    cut, seconds = _of(reply, "truncated", bool, False), _number(reply, "seconds")
    said = Reply(_of(reply, "text", str), _usage(reply), cut, _number(reply, "cost"), seconds)
    return Answered(said, _spent(read), _of(read, "model", str), endpoint, time)


def failed(stored: str) -> Failed:
    """Return a stored failure; raises ValueError where it is none."""
    read = _read(stored)
    return Failed(_of(read, "message", str), _of(read, "kind", str), _spent(read))


def read_row(row: Row) -> Answered | Failed:
    """Return what a row holds; raises ValueError where that is no answer."""
    if row.key.startswith(FAILED):
        return failed(row.answer)
    return replace(answered(row.answer), time=row.time)


def _read(stored: str) -> Mapping[str, Any]:
    try:
        read = json.loads(stored)
    except RecursionError:
        raise ValueError("too many brackets") from None
    if not isinstance(read, dict):
        raise ValueError("no object")
    return read


def _spent(read: Mapping[str, Any]) -> Spent:
    spent = _of(read, "spent", dict)
    faults = {str(kind): _count(n) for kind, n in _of(spent, "faults", dict, {}).items()}
    again = _usage(spent, "again") if "again" in spent else Usage()
    return Spent(
        _count(spent.get("calls", 0)), _usage(spent), _number(spent, "cost"), faults, again
    )


def _usage(read: Mapping[str, Any], name: str = "usage") -> Usage:
    usage = _of(read, name, dict)
    return Usage(*(_count(usage.get(kind, 0)) for kind in ("prompt", "completion", "cached")))


def _number(read: Mapping[str, Any], name: str) -> float | None:
    number = read.get(name)
    if number is None:
        return None
    if isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < 1e15:
        return float(number)
    raise ValueError(f"{name} is {str(number)[:40]}")


def _count(value: Any) -> int:
    if type(value) is int and 0 <= value < 10**15:
        return value
    raise ValueError(f"a number of calls or tokens is {str(value)[:40]}")


def _of(read: Mapping[str, Any], name: str, kind: type, default: Any = None) -> Any:
    value = read.get(name, default)
    if isinstance(value, kind):
        return value
    raise ValueError(f"{name} is no {kind.__name__}")
