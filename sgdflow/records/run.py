"""What a run leaves behind, as plain records (docs/files.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from sgdflow.descent import Result, Scores, Step, Tried
from sgdflow.executor.backward import BackwardPass
from sgdflow.executor.branches import present
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.intervention import Intervention
from sgdflow.executor.means import Summary
from sgdflow.executor.walk import Failure
from sgdflow.llm import Spent
from sgdflow.prompting.ask import Call
from sgdflow.records.folder import FORMAT, SPLITS
from sgdflow.records.proposals import known, made, other, tested
from sgdflow.update import Decision, Learned

ByNode = Mapping[str, Mapping[str, Spent]]
"""What was used, by role and what the calls were made for."""


def step_record(step: Step) -> dict[str, Any]:
    """Return one line of steps.jsonl.

    Nothing in it depends on the clock: the same seed and replies give the same bytes.
    """
    tried = step.tried
    before, after = step.spent
    return {
        "format": FORMAT,
        "step": step.number,
        "scores": {
            "train": summary_record(tried.current.summary()),
            "candidate": summary_record(tried.candidate.summary() if tried.candidate else None),
            "validation": summary_record(step.validation),
        },
        **made(tried),
        **({"leg": step.leg} if step.leg else {}),
        "pool": list(step.pool),
        **known(tried),
        "accepted": tried.decision.accepted,
        "reason": tried.decision.reason,
        "constant": tried.decision.constant,
        "gate": {
            "at_most": tried.decision.most,
            "gain": tried.decision.gain,
            "needed": tried.decision.needed,
            **_moved(tried.decision),
            **asdict(step.gating),
        },
        "sampled": [_learned(one) for one in tried.learned],
        "proposal": dict(tried.proposal.changes),
        "skipped": dict(tried.proposal.skipped),
        "tested": [tested(one) for one in tried.tested],
        "others": [other(one) for one in step.others],
        "tried": [{"changes": dict(c.changes), "score": c.score} for c in tried.proposal.tried],
        "calls": {r: s.calls - _of(before, r).calls for r, s in sorted(after.items())},
        "tokens": {
            role: asdict(spent.usage - _of(before, role).usage)
            for role, spent in sorted(after.items())
        },
        "cost": {role: (spent - _of(before, role)).cost for role, spent in sorted(after.items())},
        "malformed": sum(map(_malformed, step.proposals)),
    }


def _moved(decision: Decision) -> dict[str, int | None]:
    """Return how many examples gained and lost."""
    moved = decision.moved
    return {"up": moved.up, "down": moved.down} if moved else {"up": None, "down": None}


def scores_record(initial: Scores, final: Scores) -> dict[str, Any]:
    """Return `scores.<split>.<initial|final>`, and `common` where these do not compare."""
    return {
        split: {
            "initial": summary_record(getattr(initial, split)),
            "final": summary_record(getattr(final, split)),
            **_common(initial.evaluations[split].scores, final.evaluations[split].scores),
        }
        for split in SPLITS
    }


def _common(initial: Mapping[str, float], final: Mapping[str, float]) -> dict[str, Any]:
    """Return both means over the examples scored both times, where some were scored but once."""
    shared = [i for i in initial if i in final]
    if not initial or not final or initial.keys() == final.keys():
        return {}
    before, after = ([scores[i] for i in shared] for scores in (initial, final))
    means = {"initial": fmean(before), "final": fmean(after)} if shared else {}
    return {"common": {"n": len(shared), **means}}


def spent_record(spent: Mapping[str, Spent], nodes: ByNode) -> dict[str, Any]:
    """Return calls, tokens and cost by role, and by role and node."""
    roles = sorted({"forward", "backward", "optimizer", *spent})
    return {
        "calls": {role: _of(spent, role).calls for role in roles},
        "tokens": {role: asdict(_of(spent, role).usage) for role in roles},
        "cost": {role: _of(spent, role).cost for role in roles},
        "again": {role: _again(spent[role]) for role in roles if _again(_of(spent, role))},
        "nodes": {
            role: {
                node: {"calls": one.calls, **asdict(one.usage), "cost": one.cost}
                for node, one in nodes[role].items()
            }
            for role in sorted(nodes)
            if nodes[role]
        },
    }


def result_record(
    result: Result, about: Mapping[str, Any], seconds: float, nodes: ByNode
) -> dict[str, Any]:
    """Return result.json; `about` names what was run, `nodes` is what each of them used."""
    return {
        "format": FORMAT,
        **about,
        "scores": scores_record(result.initial, result.final),
        **spent_record(result.spent, nodes),
        "gate": _gate_record(result),
        "faults": dict(sum(result.spent.values(), Spent()).faults),
        "selected_on": list(result.selected_on),
        "confirmation": asdict(result.confirmation) if result.confirmation else None,
        "unconfirmed": result.unconfirmed,
        "steps": result.steps,
        "accepted": result.accepted,
        "stop_reason": result.stop_reason,
        "returned": asdict(result.returned) if result.returned else None,
        "constant": result.constant,
        "seconds": round(seconds, 3),
    }


def chosen_score(record: Mapping[str, Any]) -> tuple[str, float] | None:
    """Return the split and the score that the final parameters were chosen by, of result.json."""
    for split in ("validation", "train"):
        if final := record["scores"].get(split, {}).get("final"):
            return split, float(final["mean"])
    return None


def _gate_record(result: Result) -> dict[str, Any]:
    calls = sum(spent.calls for spent in result.spent.values())
    share = result.gating.calls / calls if calls else 0.0
    least = result.smallest
    shows = {"smallest": least and least.gain, "shows": least and asdict(least)}
    return {**asdict(result.gating), "share": round(share, 4), **shows}


def summary_record(summary: Summary | None) -> dict[str, Any] | None:
    """Return a score as the records hold it."""
    return None if summary is None else asdict(summary)


def _of(spent: Mapping[str, Spent], role: str) -> Spent:
    return spent.get(role, Spent())


def _again(spent: Spent) -> dict[str, int] | None:
    """Return the calls that asked again for a reply which could not be used, and their tokens."""
    calls = spent.faults.get("malformed", 0)
    return {"calls": calls, **asdict(spent.again)} if calls else None


def values_record(passed: ForwardPass) -> dict[str, Any]:
    """Return the values there are, and the nodes that were skipped where some were."""
    values = present(passed.values)
    skipped = [name for name in passed.values if name not in values]
    return {"values": values, **({"skipped": skipped} if skipped else {})}


def _learned(one: Learned) -> dict[str, Any]:
    backward = one.backward
    gradients = backward.gradients if backward else {}
    failures = (
        {v: f"{f.origin}: {f.reason}" for v, f in backward.failures.items()} if backward else {}
    )
    return {
        "example": one.forward.example,
        "score": one.score,
        "unanswered": one.unanswered and _why(one.unanswered),
        **values_record(one.forward),
        "feedback": one.feedback,
        "gradients": {
            variable: [{"source": g.source, "value": g.value} for g in arrived]
            for variable, arrived in gradients.items()
        },
        **({"trials": [_trial(trial) for trial in one.interventions]} if one.interventions else {}),
        **_joined(backward),
        "failures": failures | ({"loss": one.failure} if one.failure else {}),
    }


def _joined(backward: BackwardPass | None) -> dict[str, Any]:
    """Return what the gradients of many successors were summed up to, by node."""
    joined = backward.joined if backward else {}
    found = {name: {"source": one.source, "value": one.value} for name, one in joined.items()}
    return {"joined": found} if found else {}


def _trial(one: Intervention) -> dict[str, Any]:
    return {
        "node": one.node,
        "value": one.value,
        "before": one.before,
        "after": one.after,
        "verdict": one.verdict,
        "together": one.together,
        "failure": one.failure,
    }


def _why(unanswered: Failure) -> dict[str, str]:
    return {"node": unanswered.origin, "kind": unanswered.kind, "reason": unanswered.reason}


def _malformed(tried: Tried) -> int:
    """Count the replies of a proposal that could not be read and were asked for again."""
    return sum(len(call.malformed) for calls in _exchanges(tried) for call in calls)


def _exchanges(tried: Tried) -> Iterator[Sequence[Call]]:
    """Yield the calls of a proposal, one pass unpacked after the other."""
    learned = () if tried.repeats else tried.learned
    yield from tried.proposal.calls.values()
    yield from (trial.calls for one in learned for trial in one.interventions)
    for one in learned:
        if one.backward:
            yield from _of_pass(one.backward)
    for outcome in tried.trial.seen.outcomes.values() if tried.trial.seen else ():
        yield from _of_pass(outcome.passed)


def _of_pass(one: ForwardPass | BackwardPass) -> Iterator[Sequence[Call]]:
    yield from one.calls.values()
    # A failure also stands for the variables that depend on the one where it began.
    yield from (f.calls for name, f in one.failures.items() if f.origin == name)
