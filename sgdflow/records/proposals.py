"""What the lines of steps.jsonl say of a proposal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from sgdflow.descent import Tested, Tried
from sgdflow.update.evidence import Item

_OUTCOMES = 64
"""Examples whose scores are told of each proposal."""


def made(tried: Tried) -> dict[str, Any]:
    """Return the place of a proposal in the tree of candidates."""
    place: dict[str, Any] = {
        "from": list(tried.parents),
        "candidate": tried.number,
        "why": tried.why,
    }
    causes = {
        name: {
            "label": cause.label,
            "words": cause.words,
            "examples": list(dict.fromkeys(_examples_of(cause.items))),
        }
        for name, cause in tried.proposal.causes.items()
    }
    summaries = {name: asdict(one) for name, one in tried.proposal.summaries.items()}
    told = {"causes": causes, "summaries": summaries}
    return place | {key: found for key, found in told.items() if found}


def known(tried: Tried) -> dict[str, Any]:
    """Return what is known of how a proposal does: at the gate, and where the pool chooses by it.

    Of the gate's examples those are told first that it changed.
    """
    current, seen = tried.trial.current, tried.trial.seen
    found: dict[str, Any] = {"known": None}
    if current is not None and seen is not None and (score := seen.summary()):
        before = {i: outcome.score for i, outcome in current.outcomes.items()}
        after = {i: outcome.score for i, outcome in seen.outcomes.items()}
        shown = sorted(after, key=lambda i: after[i] == before.get(i))[:_OUTCOMES]
        found["known"] = {
            "mean": score.mean,
            "n": score.n,
            "of": len(before),
            "outcomes": {i: after[i] for i in shown},
        }
    return found | ({"pooled": asdict(tried.pooled)} if tried.pooled else {})


def _examples_of(items: Iterable[Item]) -> Iterator[str]:
    """Yield the examples of pieces of work, and of those that one of them sums up."""
    for item in items:
        yield from (one.example for one in (item, *item.behind) if one.example)


def tested(one: Tested) -> dict[str, Any]:
    """Return what the gate said of a part of a proposal."""
    decision = one.decision
    changes = list(one.changes)
    return {"changes": changes, "accepted": decision.accepted, "reason": decision.reason}


def other(tried: Tried) -> dict[str, Any]:
    """Return a further proposal of a step."""
    return {
        **made(tried),
        **known(tried),
        "accepted": tried.decision.accepted,
        "reason": tried.decision.reason,
        "sampled": [one.forward.example for one in tried.learned],
        "proposal": dict(tried.proposal.changes),
        "skipped": dict(tried.proposal.skipped),
    }
