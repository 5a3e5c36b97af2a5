"""A plan as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sgdflow.plan.totals import Plan, Row


def as_text(plan: Plan) -> str:
    """Return the plan as a table, with what it assumes."""
    rows = (*plan.parts, *plan.totals)
    roles = [role for role in rows[0].taken if any(row.taken[role].calls for row in rows)]
    head = ["", *roles, "calls", "tokens in", "tokens out", "cost", "time"]
    cells = [[row.name, *_cells(row, roles)] for row in rows]
    widths = [max(len(line[i]) for line in (head, *cells)) for i in range(len(head))]
    lines = [_line(line, widths) for line in (head, *cells)]
    lines.insert(1 + len(plan.parts), "in all")
    warnings = [f"Warning: {warning}" for warning in plan.warnings]
    return "\n".join([plan.title, "", *lines, "", *plan.notes, *warnings])


def _cells(row: Row, roles: Sequence[str]) -> Iterator[str]:
    yield from (f"{row.taken[role].calls:,}" for role in roles)
    total = row.total
    yield f"{total.calls:,}"
    yield f"{total.usage.prompt:,}"
    yield f"{total.usage.completion:,}"
    yield "unknown" if total.cost is None else f"${total.cost:,.4g}"
    yield _duration(row.seconds)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(c.rjust(w) for c, w in others)]).rstrip()


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {left:02} s"
