"""What a run could show, and what it took: an honest word after it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sgdflow.executor.intervention import REFUTED, SUPPORTED
from sgdflow.records.folder import SPLITS
from sgdflow.update.statistics import gains_needed

_LEVEL = 0.05
"""At which a gain is called shown, where a run declares no level."""

_KINDS = {
    **dict.fromkeys(SUPPORTED, "supported"),
    **dict.fromkeys(REFUTED, "refuted"),
    "open": "open",
    "untested": "untested",
}

Record = Mapping[str, Any]


def counted(step: Record) -> Counter[str]:
    """Return what a line of steps.jsonl adds to the account."""
    others = step.get("others", ())
    made = [one for one in (step, *others) if one["proposal"]]
    found = Counter(
        proposals=len(made) + len(step.get("tried", ())),
        accepted=sum(bool(one["accepted"]) for one in made),
        parts=sum(len(one["changes"]) == 1 for one in step.get("tested", ())),
    )
    for sampled in step["sampled"]:
        found["gradients"] += sum(map(len, sampled["gradients"].values()))
        for trial in sampled.get("trials", ()):
            found["tried"] += len(sampled["gradients"].get(trial["node"], ()))
            found["trials"] += 1
            found[_KINDS[trial["verdict"]]] += 1
    return found


def account(counts: Iterable[Counter[str]], result: Record) -> dict[str, Any]:
    """Return the account of a run, of the counts of its steps and of result.json."""
    total = sum(counts, Counter[str]())
    keys = ("gradients", "tried", "trials", "supported", "refuted", "open", "untested")
    return {
        "honest": honest(result),
        "detectable": _detectable(result),
        "proposals": {key: total[one] for key, one in _PROPOSALS.items()},
        "gradients": {key: total[key] for key in keys},
    }


_PROPOSALS = {"tried": "proposals", "parts": "parts", "accepted": "accepted"}


def honest(result: Record) -> str | None:
    """Return the split with a final score that decided nothing; None where each decided."""
    scores, selected = result["scores"], result.get("selected_on", ())
    return next((s for s in reversed(SPLITS) if scores[s]["final"] and s not in selected), None)


def _detectable(result: Record) -> dict[str, Any] | None:
    """Return the smallest gain that could have been shown, if nothing had got worse."""
    if found := result.get("confirmation"):
        return {
            "gain": found["smallest"],
            "examples": found["examples"],
            "split": "validation",
            "level": found["level"],
        }
    if shown := (result.get("gate") or {}).get("shows"):
        return dict(shown)
    split = honest(result)
    if split is None:
        return None
    examples, needed = result["scores"][split]["final"]["n"], gains_needed(_LEVEL)
    gain = needed / examples if examples >= needed else None
    return {"gain": gain, "examples": examples, "split": split, "level": _LEVEL}


def calls_by_purpose(result: Record) -> dict[str, int]:
    """Return where the calls went: scores of proposals apart from all other forward calls."""
    calls = {role: n for role, n in result["calls"].items() if n}
    gate = (result.get("gate") or {}).get("calls", 0)
    forward = calls.pop("forward", 0)
    if not gate or gate > forward:  # nodes name roles of their own
        return {**({"forward": forward} if forward else {}), **calls}
    return {"scores of proposals": gate, "other scores": forward - gate, **calls}
