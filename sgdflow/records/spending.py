"""What a run has used, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgdflow.errors import listed, plural

_COLUMNS = ("calls", "prompt", "cached", "completion")
_MOST = 8
"""Lines up to which nodes are shown; result.json has all of them."""


def spending_table(record: Mapping[str, Any]) -> Sequence[str]:
    """Return calls, tokens and cost by role, in lines; `record` is result.json.

    Nodes are shown where they say more than their role and do not crowd out the rest.
    """
    nodes = {role: parts for role, parts in record["nodes"].items() if len(parts) > 1}
    rows = list(_rows(record, nodes))
    if len(rows) > _MOST:
        rows = list(_rows(record, {}))
    rows = [("used", *_COLUMNS, "cost"), *rows]
    name = max(len(row[0]) for row in rows)
    lines = [
        f"  {row[0]:<{name}}" + "".join(f"{cell:>12}" for cell in row[1:]).rstrip() for row in rows
    ]
    return [*lines, *asked_again(record)]


def asked_again(record: Mapping[str, Any]) -> Iterator[str]:
    """Say what it took to ask again for replies that could not be used."""
    again: Mapping[str, Mapping[str, int]] = record.get("again", {})
    if again:
        calls = sum(one["calls"] for one in again.values())
        tokens = sum(one["prompt"] + one["completion"] for one in again.values())
        roles = listed(f"{role} {one['calls']:,}" for role, one in again.items())
        yield f"  asked again {plural(calls, 'call')}, {plural(tokens, 'token')} ({roles})"


def _rows(
    record: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, ...]]:
    roles = [
        (role, {"calls": calls, **record["tokens"][role], "cost": record["cost"][role]})
        for role, calls in record["calls"].items()
        if calls
    ]
    for role, used in roles:
        yield _row(role, used)
        for node, part in nodes.get(role, {}).items():
            yield _row(f"  {node}", part)
    costs = [used["cost"] for _, used in roles]
    total = {column: sum(used[column] for _, used in roles) for column in _COLUMNS}
    yield _row("in all", {**total, "cost": None if None in costs else sum(costs)})


def _row(name: str, used: Mapping[str, Any]) -> tuple[str, ...]:
    cost = "unknown" if used["cost"] is None else f"${used['cost']:.4f}"
    return (name, *(f"{used[column]:,}" for column in _COLUMNS), cost)
