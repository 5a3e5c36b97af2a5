"""What the steps of a run come to: the blame of nodes, the history of texts, the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.errors import plural
from sgdflow.executor.graph_paths import seen_through
from sgdflow.executor.intervention import REFUTED
from sgdflow.records.diff import Part, words
from sgdflow.records.words import as_text
from sgdflow.report.chart import Dot, Flag, Line
from sgdflow.report.reading import Member, Record, Run, Shape
from sgdflow.update.select import Select

_LONGEST = 100_000


@dataclass(frozen=True, slots=True)
class Blame:
    """The gradients of a node over all steps and sampled examples."""

    gradients: int
    """All that arrived."""
    blamed: int
    """Those that ask for a change, were not refuted by a trial and not passed on by the node."""


def selection(config: Record) -> Select:
    """Return what tells the gradients of a run that ask for a change."""
    said, default = _declared(config, "method", "update", "select"), Select()
    found = said if isinstance(said, Mapping) else {}
    return Select(
        dismissive=found.get("dismissive", default.dismissive),
        undecided=tuple(found.get("undecided", default.undecided)),
    )


def blame(shape: Shape, steps: Sequence[Record], config: Record) -> Mapping[str, Blame]:
    """Return the blame of each node: what `method.update.select.rule=blamed` counts, in all."""
    asks, before = selection(config).asks, _learning_before(shape, config)
    counts = {name: [0, 0] for name in shape.nodes}
    for step in steps:
        for sampled in step["sampled"]:
            arrived = {
                name: _arrived(name, member, sampled["gradients"])
                for name, member in shape.nodes.items()
            }
            trials = sampled.get("trials", ())
            refuted = {one["node"] for one in trials if one["verdict"] in REFUTED}
            asking = {
                name: [one for one in given if name not in refuted and asks(as_text(one["value"]))]
                for name, given in arrived.items()
            }
            for name in shape.nodes:
                passed_on = any(asking[one] for one in before[name])
                own = [one for one in asking[name] if one["source"] == name]
                counts[name][0] += len(arrived[name])
                counts[name][1] += len(own if passed_on else asking[name])
    return {name: Blame(*found) for name, found in counts.items()}


@dataclass(frozen=True, slots=True)
class Proposed:
    """What a step proposed for a parameter."""

    step: int
    parts: tuple[Part, ...]
    """The difference to the text it would replace."""
    told: str = ""
    """What its writer was to mend, or was shown in the place of many pieces of work."""


@dataclass(frozen=True, slots=True)
class History:
    """A parameter over a run."""

    start: str | None
    """None: not known; the run read it from a file and has no initial.yaml."""
    final: str
    proposed: tuple[Proposed, ...]

    @property
    def difference(self) -> tuple[Part, ...]:
        """Return what became of the text."""
        return words(shortened(self.start or ""), shortened(self.final))


@dataclass(frozen=True, slots=True)
class Size:
    """How long a text was and became, in words."""

    before: int
    after: int
    added: int
    removed: int


def size_of(found: History) -> Size:
    """Count the words of what a text was and became."""
    counts = {"equal": 0, "insert": 0, "delete": 0}
    for op, part in found.difference:
        counts[op] += len(part.split())
    kept, added, removed = counts.values()
    return Size(kept + removed, kept + added, added, removed)


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
                proposed[name].append(Proposed(step["step"], parts, _told(step, name)))
                if step["accepted"]:
                    current[name] = text
    return {
        name: History(
            start[name], as_text(run.parameters.get(name, current[name])), tuple(proposed[name])
        )
        for name in start
    }


def _told(step: Record, name: str) -> str:
    """Say what a writer was to mend, or what stood for many pieces of work."""
    if cause := step.get("causes", {}).get(name):
        return f"To mend, of {plural(len(cause['examples']), 'example')}: {cause['words']}"
    if summary := step.get("summaries", {}).get(name):
        return f"What {summary['of']} pieces of work came to, in all:\n{summary['text']}"
    return ""


def shortened(text: str) -> str:
    """Return a text that a page can hold; what is cut off is said."""
    left = len(text) - _LONGEST
    return text if left <= 0 else f"{text[:_LONGEST]}\n... ({plural(left, 'more character')})"


def lines(run: Run) -> tuple[Line, ...]:
    """Return the training and validation score of the current parameters after each step."""
    found = [
        Line("train", "train", _train(run)),
        Line("validation", "validation", _validation(run)),
    ]
    return tuple(line for line in found if line.dots)


def growing(run: Run) -> bool:
    """Say whether the training scores of the steps are over different numbers of examples."""
    scores = [step["scores"]["train"] for step in run.steps]
    return len({score["n"] for score in scores if score}) > 1


def flags(run: Run) -> tuple[Flag, ...]:
    """Return a flag for each step, where the gate scored it, or else at the current score."""
    found = []
    for step in run.steps:
        score = step["scores"]["candidate"] or step["scores"]["train"]
        verdict = "accepted" if step["accepted"] else "rejected"
        tip = f"step {step['step']}: {verdict}, {step['reason']}"
        found.append(Flag(step["step"], score["mean"] if score else 0.0, step["accepted"], tip))
    return tuple(found)


def _learning_before(shape: Shape, config: Record) -> Mapping[str, tuple[str, ...]]:
    """Return the nodes that each may have passed its blame on to."""
    free = [name for name, one in shape.parameters.items() if not one.frozen]
    optimised = _declared(config, "method", "update", "parameters") or free
    used = [n for n, one in shape.nodes.items() if {*optimised} & {*one.parameters.values()}]
    return seen_through(shape.predecessors, used)


def _arrived(
    name: str, member: Member, gradients: Mapping[str, Sequence[Record]]
) -> Sequence[Record]:
    """Return the gradients of the node's parameters where they have some, else of its output."""
    own = [
        gradient
        for parameter in member.parameters.values()
        for gradient in gradients.get(parameter, ())
        if gradient["source"] == name
    ]
    return own or gradients.get(name, ())


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
    return bool(_declared(config, "method", "gate", "examples") != "validation")


def _declared(config: Record, *keys: str) -> Any:
    """Return what a configuration says under a key; None where it says nothing."""
    found: Any = config
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _dot(step: int, score: Record | None) -> Dot | None:
    if score is None:
        return None
    return Dot(step, score["mean"], score["low"], score["high"])
