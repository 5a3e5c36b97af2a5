"""How a run ended, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgdflow.descent.confirm import WANTED
from sgdflow.errors import plural
from sgdflow.prompting.values import shortened
from sgdflow.records import diff
from sgdflow.records.folder import UNCONFIRMED
from sgdflow.records.spending import spending_table
from sgdflow.records.tree import candidates, is_wide, number_of, tree_lines
from sgdflow.records.words import as_text, returned_words, score_rows
from sgdflow.terminal import STYLES, Part
from sgdflow.update.statistics import gains_needed

_KEPT, _CHANGED = 120, 800
"""Characters that are shown of a part that both texts have, and of one that one of them has."""
_TREE = 20
"""Candidates that are shown."""


def closing_words(record: Mapping[str, Any]) -> str:
    """Say how a run ended, in a small table."""
    return "\n".join(
        [
            f"Stopped after {plural(record['steps'], 'step')}, {record['accepted']} accepted. "
            f"{record['stop_reason'][:1].upper()}{record['stop_reason'][1:]}.",
            *score_rows(record),
            *(f"  returned    {words}" for words in returned_words(record)),
            *confirmation_words(record),
            *_simulated_words(record),
            f"  gate        {gate_words(record)}",
            f"  seconds     {record['seconds']:.1f}",
            *spending_table(record),
        ]
    )


def _simulated_words(record: Mapping[str, Any]) -> Iterator[str]:
    """Say what a run may lack whose models are none: it is nobody's mistake."""
    if record.get("llm") == "simulated" and record["steps"] and not record["accepted"]:
        yield (
            "  models      simulated: they know the worlds and the words of docs/simulation.md "
            "alone, and learn nothing about others"
        )


def candidate_words(
    steps: Sequence[Mapping[str, Any]], start: Mapping[str, Any], returned: Mapping[str, Any]
) -> Iterator[str]:
    """Yield the tree of candidates, where a search was wide; a long one is cut."""
    found = candidates(steps, start) if is_wide(steps) else ()
    if len(found) < 2:
        return
    lines = [*tree_lines(found, number_of(found, returned))]
    yield f"  {'candidates':<11} {lines[0]}"
    yield from (f"{'':14}{line}" for line in lines[1:_TREE])
    if more := len(lines[_TREE:]):
        yield f"{'':14}and {more} more: sgdflow show RUN"


def changed_words(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Say what became of the texts: {+what is new+}, [-what is gone-], long parts shortened."""
    lines = []
    for name, text in after.items():
        old = "" if before.get(name) is None else as_text(before[name])
        new = as_text(text)
        if old != new:
            shown = "".join(_marked(op, part) for op, part in diff.words(old, new))
            lines += [f"  changed     {name}", textwrap.indent(shown.strip(), " " * 14)]
    return "\n".join(lines) or "  changed     nothing: the texts are those of the start"


def _marked(op: diff.Op, part: str) -> str:
    """Return a part with its marks, which the space around it stays outside of."""
    if not (text := part.strip()):
        return part
    before, _, after = part.partition(text)
    text = shortened(text, _KEPT if op == "equal" else _CHANGED)
    return f"{before}{Part(text, STYLES[op]).marked()}{after}"


def confirmation_words(record: Mapping[str, Any]) -> Iterator[str]:
    """Say how the winner did against the start, where that was declared."""
    if found := record.get("confirmation"):
        verdict = "confirmed" if found["confirmed"] else "not confirmed, the start is returned"
        yield (
            f"  winner      {verdict}: {found['before']:.3f} -> {found['after']:.3f} on "
            f"{plural(found['examples'], 'validation example')} ({found['better']} better, "
            f"{found['worse']} worse), p = {found['p']:.2g}, level {found['level']:g}"
        )
        if not found["confirmed"]:
            yield from (f"{'':14}{words}" for words in _unconfirmed_words(found))
    elif why := record.get("unconfirmed"):
        yield f"  winner      not confirmed: {why}"


def _unconfirmed_words(found: Mapping[str, Any]) -> Iterator[str]:
    """Say what would have been enough, and where the winner is."""
    least, examples = gains_needed(found["level"]), found["examples"]
    if least > examples:
        yield (
            f"so few can confirm nothing: it takes {least} that get better, none worse "
            "(task.splits.validation)"
        )
    else:
        yield (
            f"{least} of {examples} better and none worse would have been enough (a gain of "
            f"{found['smallest']:.3f} where scores are 0 or 1); what gets worse counts against it"
        )
    if found["needed"] is not None:
        yield (
            f"a gain like this one takes about {found['needed']:,} validation examples, to be "
            f"confirmed with probability {WANTED:g} (task.splits.validation)"
        )
    elif found["after"] > found["before"]:
        yield "a gain like this one is hardly confirmed by ten thousand validation examples either"
    yield (
        f"its texts are in {UNCONFIRMED}: sgdflow evaluate with parameters=RUN/{UNCONFIRMED} "
        "scores them on more examples"
    )


def gate_words(record: Mapping[str, Any]) -> str:
    """Say what the gate took, and what early rejections spared."""
    gate = record["gate"]
    words = f"{gate['calls']} of all calls ({gate['share']:.0%})"
    left = gate["examples"] - gate["evaluated"]
    if (smallest := gate.get("smallest")) is not None:
        words += f"; at best it shows a gain of {smallest:.3f} (scores of 0 or 1, none worse)"
    of_all, calls = plural(gate["examples"], "example"), plural(gate["spared"], "call")
    return f"{words}; {left} of {of_all} not scored, at most {calls}" if left else words
