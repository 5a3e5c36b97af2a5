"""A whole program at once: its runs are gone through backwards, line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.reading import Critique, Line, Redesign, Rewrite


class Mind(Protocol):
    """What going through a program takes."""

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Return what should change about each value that a line was given."""

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Return the new text of a parameter."""


def redesign(mind: Mind, prompt: Redesign) -> Mapping[str, str] | None:
    """Return the parameters that should change; None where the mind knows nothing of it."""
    works: dict[str, list[Seen]] = {}
    understood = False
    for run in prompt.runs:
        for line, seen in _backwards(mind, prompt, run):
            for parameter in line.parameters:
                works.setdefault(parameter, []).append(seen)
    changed = {}
    for name, text in prompt.parameters.items():
        if name in works:
            new = mind.rewrite(Rewrite(text, tuple(works[name]), prompt.seed))
            understood = understood or new is not None
            if new is not None and new != text:
                changed[name] = new
    return changed if understood else None


def _backwards(mind: Mind, prompt: Redesign, run: Seen) -> Sequence[tuple[Line, Seen]]:
    """Return what each line was given, made and should have made, in one run."""
    values = {**run.variables, prompt.output: run.output}
    told = {**prompt.fixed, **prompt.parameters}
    computed = {line.name for line in prompt.lines}
    feedback: dict[str, list[str]] = {prompt.output: list(run.feedback)}
    found = []
    for line in reversed(prompt.lines):
        if line.name not in feedback or line.name not in values:
            continue
        given = {name: values[name] for name in line.predecessors if name in values}
        seen = Seen(given, values[line.name], tuple(feedback[line.name]))
        found.append((line, seen))
        targets = tuple(name for name in given if name in computed)
        said: Mapping[str, str] = dict.fromkeys(targets, "\n".join(seen.feedback))
        if line.is_model and targets:
            instruction = "\n".join(told.get(name, "") for name in line.parameters)
            said = mind.critique(Critique(instruction, seen, targets)) or {}
        for name, text in said.items():
            feedback.setdefault(name, []).append(text)
    return found
