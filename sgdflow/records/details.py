"""What a run leaves behind in detail: the calls a step learned from, and every example's fate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from sgdflow.descent import Result, Step
from sgdflow.executor.backward import BackwardPass
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.outcomes import Outcome
from sgdflow.llm import Message
from sgdflow.prompting.ask import Call
from sgdflow.records.folder import FORMAT, SPLITS
from sgdflow.records.run import values_record
from sgdflow.update import Learned


def calls_record(step: Step, targets: Mapping[str, Any]) -> dict[str, Any]:
    """Return one line of calls.jsonl: prompts and replies of sampled examples and of updates.

    `targets` are what was expected, by example.
    """
    learned = [one for tried in step.proposals if not tried.repeats for one in tried.learned]
    updates: dict[str, list[Call]] = {}
    for tried in step.proposals:
        for name, made in tried.proposal.calls.items():
            updates.setdefault(name, []).extend(made)
    return {
        "format": FORMAT,
        "step": step.number,
        "examples": [
            {
                "example": one.forward.example,
                "target": targets.get(one.forward.example),
                "forward": _by_node(one.forward),
                "loss": _calls(one.calls),
                "backward": _by_node(one.backward) if one.backward else {},
                **({"trials": _trials(one)} if one.interventions else {}),
            }
            for one in learned
        ],
        "updates": {name: _calls(made) for name, made in updates.items()},
    }


def example_records(result: Result) -> Iterator[dict[str, Any]]:
    """Yield the lines of examples.jsonl: each example's scores before and after, and its values."""
    for split in SPLITS:
        before = result.initial.evaluations[split]
        for example, outcome in result.final.evaluations[split].outcomes.items():
            began = before.outcomes.get(example)  # a lazy method may not know
            yield {
                "format": FORMAT,
                "split": split,
                "example": example,
                "initial": began and began.score,
                "final": outcome.score,
                "unanswered": {
                    "initial": began and _unanswered(began),
                    "final": _unanswered(outcome),
                },
                **values_record(outcome.passed),
                "failures": _failures(outcome),
            }


def shown_records(
    split: str, outcomes: Mapping[str, Outcome], targets: Mapping[str, Any], count: int
) -> list[dict[str, Any]]:
    """Return so many of the wrongest and so many of the rightest examples, with their calls."""
    scored = sorted(
        ((one.score, example) for example, one in outcomes.items() if one.score is not None),
        key=lambda pair: pair[0],
    )
    shown = scored if len(scored) <= 2 * count else [*scored[:count], *scored[-count:]]
    return [
        {
            "split": split,
            "example": example,
            "target": targets.get(example),
            "score": score,
            "feedback": outcomes[example].feedback or None,
            **values_record(outcomes[example].passed),
            "failures": _failures(outcomes[example]),
            "made": {
                "forward": _by_node(outcomes[example].passed),
                "loss": _calls(outcomes[example].calls),
            },
        }
        for score, example in (shown if count else ())
    ]


def untimed(record: Any) -> Any:
    """Return a record without the times of its calls, which no two runs have in common."""
    if isinstance(record, Mapping):
        return {key: untimed(one) for key, one in record.items() if key != "times"}
    if isinstance(record, list):
        return [untimed(one) for one in record]
    return record


def _trials(one: Learned) -> dict[str, Any]:
    return {trial.node: _calls(trial.calls) for trial in one.interventions}


def _unanswered(outcome: Outcome) -> str | None:
    return outcome.kind if outcome.unanswered else None


def _by_node(passed: ForwardPass | BackwardPass) -> dict[str, Any]:
    """Return the calls of a pass, those made in vain included."""
    in_vain = {name: f.calls for name, f in passed.failures.items() if f.origin == name}
    made: Mapping[str, Sequence[Call]] = {**passed.calls, **in_vain}
    return {node: _calls(calls) for node, calls in made.items() if calls}


def _calls(calls: Sequence[Call]) -> list[dict[str, Any]]:
    return [
        {
            "node": call.node,
            "role": call.role,
            "messages": [_message(message) for message in call.messages],
            "reply": call.reply,
            "tokens": asdict(call.usage),
            "malformed": list(call.malformed),
            **({"times": list(call.times)} if call.times else {}),
        }
        for call in calls
    ]


def _message(message: Message) -> dict[str, Any]:
    """Return a message; of images that it shows only what kind they are, and their digests."""
    said = asdict(message)
    images = said.pop("images")
    del said["shift"]  # whoever else asks at the same time
    if said["temperature"] is None:
        del said["temperature"]
    if not images:
        return said
    digests = [sha256(image.encode()).hexdigest() for image in images]
    kinds = [image.partition(";")[0].removeprefix("data:") for image in images]
    return {**said, "images": [f"{k}, {d}" for k, d in zip(kinds, digests, strict=True)]}


def _failures(outcome: Outcome) -> dict[str, str]:
    failures = {v: f"{f.origin}: {f.reason}" for v, f in outcome.passed.failures.items()}
    if outcome.failure and not failures:
        failures["score"] = outcome.failure
    return failures
