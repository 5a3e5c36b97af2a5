"""The part of a run's report that says what the run could show, and what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import Element

from sgdflow.errors import listed, plural
from sgdflow.records.account import account, calls_by_purpose, counted
from sgdflow.records.words import change_words
from sgdflow.report.page import section, table
from sgdflow.report.reading import Run


def worth(run: Run) -> Element | None:
    """Return what can be said only of a run that has ended; None of another one."""
    if run.result is None:
        return None
    found = account(map(counted, run.steps), run.result)
    return section(
        "What it could show, and what it took",
        "worth",
        table(["", ""], list(rows(found, run.result)), numbers=0),
    )


def rows(found: Mapping[str, Any], result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is told, each with its name."""
    yield "Honest score", _honest(found["honest"], result)
    yield "Detectable effect", _detectable(found["detectable"])
    yield "Proposals for each accepted one", _proposals(found["proposals"])
    yield "Verified share of gradients", _gradients(found["gradients"])
    yield "Where the calls went", _calls(calls_by_purpose(result))


def _honest(split: str | None, result: Mapping[str, Any]) -> str:
    if split is None:
        return "none: every split that was scored decided what was kept, and is too good for it"
    return f"{split}, which decided nothing: {change_words(result['scores'][split])}"


def _detectable(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "not known: no score is honest"
    what = f"{found['split']} example"
    on = f"{plural(found['examples'], what)}, level {found['level']:g}"
    if found["gain"] is None:
        return f"none, however large: {on}"
    return f"a gain of {found['gain']:.3f} or more, if nothing had got worse ({on})"


def _proposals(found: Mapping[str, int]) -> str:
    parts = f", {plural(found['parts'], 'part')} of them by themselves" if found["parts"] else ""
    words = f"{plural(found['tried'], 'proposal')}{parts}; {found['accepted']} accepted"
    if not found["accepted"]:
        return words
    return f"{found['tried'] / found['accepted']:.1f}: {words}"


def _gradients(found: Mapping[str, int]) -> str:
    if not found["trials"]:
        return f"none of {plural(found['gradients'], 'gradient')} was tried out"
    share = found["supported"] / found["trials"]
    return (
        f"{share:.0%} of {plural(found['trials'], 'trial')} support what gradients ask: "
        f"{found['supported']} supported, {found['refuted']} refuted, {found['open']} left "
        f"open, {found['untested']} untested; {found['tried']} of "
        f"{plural(found['gradients'], 'gradient')} tried"
    )


def _calls(found: Mapping[str, int]) -> str:
    total = sum(found.values())
    if not total:
        return "none was made"
    return listed(f"{name} {number:,} ({number / total:.0%})" for name, number in found.items())
