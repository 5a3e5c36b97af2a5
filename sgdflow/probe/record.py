"""What a probe leaves behind: probe.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sgdflow.plan.totals import Plan, Row
from sgdflow.probe.findings import Advice, Findings, Noise


def probe_record(found: Findings, advice: Advice, plan: Plan) -> dict[str, Any]:
    """Return everything but what was run and what it took."""
    return {
        "probed": {"calls": found.calls, "wordings": {n: [*t] for n, t in found.wordings.items()}},
        "start": {**asdict(found.start), "lacking": found.start.lacking, "most": found.start.most},
        "noise": None if found.noise is None else _noise(found.noise),
        "pairs": [asdict(pair) for pair in found.pairs],
        "evaluation": [asdict(sight) for sight in found.sights],
        "luck": found.luck,
        "plan": cost_record(plan.totals, plan.notes, plan.warnings),
        "advice": asdict(advice),
    }


def cost_record(
    totals: Sequence[Row], notes: Sequence[str] = (), warnings: Sequence[str] = ()
) -> dict[str, Any]:
    """Return what a run would take: all rows of the plan, and the one that is expected."""
    rows = [_row(row) for row in totals]
    expected = next((row for row in rows if row["name"].startswith("expected")), rows[-1])
    return {"expected": expected, "rows": rows, "notes": [*notes], "warnings": [*warnings]}


def _row(row: Row) -> Mapping[str, Any]:
    total = row.total
    return {
        "name": row.name,
        "calls": total.calls,
        "by_role": {role: spent.calls for role, spent in row.taken.items() if spent.calls},
        "prompt": total.usage.prompt,
        "completion": total.usage.completion,
        "cost": total.cost,
        "seconds": row.seconds,
    }


def _noise(noise: Noise) -> Mapping[str, Any]:
    nodes = {
        name: {"differed": differed, "compared": compared}
        for name, (differed, compared) in noise.nodes.items()
    }
    return {**asdict(noise), "share": noise.share, "nodes": nodes}
