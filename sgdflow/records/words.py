"""Scores and steps in words, as logs and the terminal tell them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sgdflow.errors import plural
from sgdflow.executor.means import unanswered_words


def score_words(score: Mapping[str, Any] | None) -> str:
    """Say a score: "0.967 (0.91 to 0.99, 60 examples)"."""
    if score is None:
        return "not scored"
    failed = f", {score['failed']} failed" if score["failed"] else ""
    interval = f"{score['low']:.2f} to {score['high']:.2f}"
    kinds = score.get("unanswered")
    unanswered = f", {unanswered_words(kinds)}" if kinds else ""
    return f"{score['mean']:.3f} ({interval}, {plural(score['n'], 'example')}{unanswered}{failed})"


def change_words(both: Mapping[str, Any]) -> str:
    """Say a split's scores before and after, and those of the same examples where they differ."""
    words = f"{score_words(both['initial'])}  ->  {score_words(both['final'])}"
    return "; ".join([words, *common_words(both)])


SELECTED = "* decided what was kept: expect less of it elsewhere"
"""What the mark at a score means."""


def marked(split: str, record: Mapping[str, Any]) -> str:
    """Return the mark of a split whose scores decided what was kept, of result.json."""
    return " *" if split in record.get("selected_on", ()) else ""


def score_rows(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield each split's scores before and after, and what their marks mean, of result.json."""
    known = {s: both for s, both in record["scores"].items() if both["initial"] or both["final"]}
    for split, both in known.items():
        yield f"  {split:<11} {change_words(both)}{marked(split, record)}"
    if any(marked(split, record) for split in known):
        yield f"  {SELECTED}"


def common_words(both: Mapping[str, Any]) -> list[str]:
    """Say how a split changed where the two scores are over different examples."""
    if (common := both.get("common")) is None:
        return []
    if not common["n"]:
        return ["no example was scored both times"]
    change = f"{common['initial']:.3f} -> {common['final']:.3f}"
    return [f"on the {plural(common['n'], 'example')} scored both times {change}"]


def step_words(record: Mapping[str, Any], *, known: bool = False) -> str:
    """Say a step: "step 2: accepted, better: 0.4 -> 0.6 on 60 examples; validation 0.550"."""
    verdict = "accepted" if record["accepted"] else "rejected"
    before = " (known from before)" if known else ""
    words = f"step {record['step']}{before}: {verdict}, {record['reason']}"
    if len(record.get("pool", ())) > 1 or record.get("others"):
        words += tree_words(record)
    if record["scores"]["validation"]:
        words += f"; validation {record['scores']['validation']['mean']:.3f}"
    return words


def detail_words(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a step proposed, and what it was learned from."""
    yield from (f"{name}: {text}" for name, text in record["proposal"].items())
    yield from (f"{name}: no new text: {reason}" for name, reason in record["skipped"].items())
    for one in record["sampled"]:
        yield f"{one['example']} scored {one['score']:.3g}: {one['feedback']}"


def constant_words(constant: str) -> str:
    """Warn that answers are nearly all the same: the words that a record has for it."""
    return f"nearly all answers are the same whatever is asked: {constant}"


def returned_words(record: Mapping[str, Any]) -> list[str]:
    """Say whose texts a run returned and why, and what is odd about their answers."""
    if not (returned := record.get("returned")):
        return []
    step = returned["step"]
    whose = f"the texts of step {step}" if step else "the texts that it began with"
    words = [f"{whose}: {returned['why']}"]
    return words + ([constant_words(found)] if (found := record.get("constant")) else [])


def tree_words(record: Mapping[str, Any]) -> str:
    """Say where a step stands in the tree: "; candidate 4 from 2; 1 of 3 others accepted"."""
    origin = " and ".join(map(str, record["from"]))
    made = "a proposal" if record["candidate"] is None else f"candidate {record['candidate']}"
    words = f"; {made} from {origin}"
    if others := record["others"]:
        words += f"; {sum(one['accepted'] for one in others)} of {len(others)} others accepted"
    return words


def as_text(value: Any) -> str:
    """Return a value of a variable or setting as it is shown: what is no text is JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
