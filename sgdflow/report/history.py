"""How the text of each parameter came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sgdflow.records.diff import Part, words
from sgdflow.records.words import as_text
from sgdflow.report.reading import Record, Run
from sgdflow.report.shape import Shape
from sgdflow.report.texts import shortened


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a step proposed for a parameter."""

    step: int
    parts: tuple[Part, ...]
    """The difference to the text it would replace."""


@dataclass(frozen=True, slots=True)
class History:
    """A parameter over a run."""

    start: str | None
    """None: not known; the run read it from a file and has no initial.yaml."""
    final: str
    proposed: tuple[Proposed, ...]


def histories(shape: Shape, run: Run) -> Mapping[str, History]:
    """Return the history of each parameter."""
    start = {name: _start(name, shape, run) for name in shape.parameters}
    current = {name: text or "" for name, text in start.items()}
    proposed: dict[str, list[Proposed]] = {name: [] for name in start}
    for step in run.steps:
        for name, value in step["proposal"].items():
            if name in current:
                text = as_text(value)
                parts = words(shortened(current[name]), shortened(text))
                proposed[name].append(Proposed(step["step"], parts))
                if step["accepted"]:
                    current[name] = text
    return {
        name: History(
            start[name], as_text(run.parameters.get(name, current[name])), tuple(proposed[name])
        )
        for name in start
    }


def _start(name: str, shape: Shape, run: Run) -> str | None:
    """Return the text that the run began with, also where it has no initial.yaml."""
    if name in run.initial:
        return as_text(run.initial[name])
    if run.config.get("parameters") is None:
        return shape.parameters[name].text
    if _changed(name, run.steps) or name not in run.parameters:
        return None
    return as_text(run.parameters[name])


def _changed(name: str, steps: Sequence[Record]) -> bool:
    return any(step["accepted"] and name in step["proposal"] for step in steps)
