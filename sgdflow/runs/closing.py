"""How a run ended, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sgdflow.errors import plural
from sgdflow.records import SPLITS
from sgdflow.records.spending import spending_table
from sgdflow.records.words import change_words, returned_words


def closing_words(record: Mapping[str, Any]) -> str:
    """Say how a run ended, in a small table."""
    selected = record.get("selected_on", ())
    rows = [
        f"  {split:<11} {change_words(scores)}" + (" *" if split in selected else "")
        for split in SPLITS
        if (scores := record["scores"][split])["initial"] or scores["final"]
    ]
    if any(row.endswith(" *") for row in rows):
        rows.append("  * decided what was kept: expect less of it elsewhere")
    return "\n".join(
        [
            f"Stopped after {plural(record['steps'], 'step')}, {record['accepted']} accepted. "
            f"{record['stop_reason'][:1].upper()}{record['stop_reason'][1:]}.",
            *rows,
            *(f"  returned    {words}" for words in returned_words(record)),
            *confirmation_words(record),
            f"  gate        {gate_words(record)}",
            f"  seconds     {record['seconds']:.1f}",
            *spending_table(record),
        ]
    )


def confirmation_words(record: Mapping[str, Any]) -> Iterator[str]:
    """Say how the winner did against the start, where that was declared."""
    if found := record.get("confirmation"):
        verdict = "confirmed" if found["confirmed"] else "not confirmed, the start is returned"
        yield (
            f"  winner      {verdict}: {found['before']:.3f} -> {found['after']:.3f} on "
            f"{plural(found['examples'], 'validation example')}, p = {found['p']:.2g}, "
            f"level {found['level']:g}; a gain of {found['smallest']:.3f} could be confirmed"
        )
    elif why := record.get("unconfirmed"):
        yield f"  winner      not confirmed: {why}"


def gate_words(record: Mapping[str, Any]) -> str:
    """Say what the gate took, and what early rejections spared."""
    gate = record["gate"]
    words = f"{gate['calls']} of all calls ({gate['share']:.0%})"
    left = gate["examples"] - gate["evaluated"]
    if (smallest := gate.get("smallest")) is not None:
        words += f"; a gain of {smallest:.3f} could be shown"
    of_all, calls = plural(gate["examples"], "example"), plural(gate["spared"], "call")
    return f"{words}; {left} of {of_all} not scored, at most {calls}" if left else words
