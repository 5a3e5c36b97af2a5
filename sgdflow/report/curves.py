"""What the chart of a run shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sgdflow.report.chart import Dot, Flag, Line
from sgdflow.report.reading import Record, Run


def lines(run: Run) -> tuple[Line, ...]:
    """Return the training and validation score of the current parameters after each step."""
    found = [
        Line("train", "train", _train(run)),
        Line("validation", "validation", _validation(run)),
    ]
    return tuple(line for line in found if line.dots)


def flags(run: Run) -> tuple[Flag, ...]:
    """Return a flag for each step, where the gate scored it, or else at the current score."""
    found = []
    for step in run.steps:
        score = step["scores"]["candidate"] or step["scores"]["train"]
        verdict = "accepted" if step["accepted"] else "rejected"
        tip = f"step {step['step']}: {verdict}, {step['reason']}"
        found.append(Flag(step["step"], score["mean"] if score else 0.0, step["accepted"], tip))
    return tuple(found)


def _train(run: Run) -> tuple[Dot, ...]:
    """A step scores the parameters as the step before it left them."""
    steps = run.steps
    dots = [_dot(step["step"] - 1, step["scores"]["train"]) for step in steps]
    if not steps:
        dots.append(_dot(0, _initial(run, "train")))
    elif not steps[-1]["accepted"]:
        dots.append(_dot(steps[-1]["step"], steps[-1]["scores"]["train"]))
    elif _gated_on_train(run.config):
        dots.append(_dot(steps[-1]["step"], steps[-1]["scores"]["candidate"]))
    return tuple(dot for dot in dots if dot)


def _validation(run: Run) -> tuple[Dot, ...]:
    score = _initial(run, "validation")
    dots = [_dot(0, score)]
    for step in run.steps:
        score = step["scores"]["validation"] or (None if step["accepted"] else score)
        dots.append(_dot(step["step"], score))
    return tuple(dot for dot in dots if dot)


def _initial(run: Run, split: str) -> Record | None:
    if run.result is None:
        return None
    found: Record | None = run.result["scores"][split]["initial"]
    return found


def _gated_on_train(config: Mapping[str, Any]) -> bool:
    found: Any = config
    for key in ("method", "gate", "examples"):
        found = found.get(key) if isinstance(found, Mapping) else None
    return bool(found != "validation")


def _dot(step: int, score: Record | None) -> Dot | None:
    if score is None:
        return None
    return Dot(step, score["mean"], score["low"], score["high"])


def legend(lines: Sequence[Line]) -> tuple[tuple[str, str], ...]:
    """Return class and name of each line, once."""
    return tuple(dict.fromkeys((line.style, line.name) for line in lines))
