"""What the page's script shows on demand, as JSON: short keys are said here, texts by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sgdflow.records.texts import Kept, Whole
from sgdflow.records.words import as_text
from sgdflow.report.findings import History, shortened
from sgdflow.report.reading import Record, Run, Shape

_STEPS, _CALLS = 20_000_000, 40_000_000
"""Characters of steps.jsonl and calls.jsonl that a page shows at most; see `shares`."""
_SHORT = 9
"""Characters of a line that takes less room than a reference to it."""
_OPS = {"equal": "=", "delete": "-", "insert": "+"}


class Texts:
    """A table of texts, cut as in texts.jsonl and at lines, most of which prompts share."""

    def __init__(self) -> None:
        self._kept = Kept()
        self._numbers: dict[str, int] = {}
        self._lines: dict[str, int] = {}
        self.table: list[str | list[str | int]] = []
        """A text, or its parts: strings, and numbers of others."""

    def add(self, value: Any) -> int:
        """Return the number of a text."""
        name = self._kept.add(shortened(as_text(value)))
        for line in self._kept.new():
            parts = line.get("parts") or line["text"].splitlines(keepends=True)
            if len(parts) < 2:
                entry: str | list[str | int] = line["text"]
            else:
                entry = [one for part in parts for one in self._parts(part)]
            self._numbers[line["id"]] = self._keep(entry)
        return self._numbers[name]

    def _parts(self, part: str | list[str]) -> Iterator[str | int]:
        if not isinstance(part, str):
            yield self._numbers[part[0]]
            return
        for line in part.splitlines(keepends=True):
            if len(line) < _SHORT:
                yield line
                continue
            if line not in self._lines:
                self._lines[line] = self._keep(line)
            yield self._lines[line]

    def _keep(self, entry: str | list[str | int]) -> int:
        self.table.append(entry)
        return len(self.table) - 1


def run_data(
    run: Run, shape: Shape, parameters: Mapping[str, History], asks: Callable[[object], bool]
) -> dict[str, Any]:
    """Return everything except prompts and replies."""
    texts = Texts()
    learned = shares([len(step["sampled"]) for step in run.steps], run.steps_size, _STEPS)
    return {
        "graph": {
            "inputs": shape.inputs,
            "output": shape.output,
            "nodes": {
                name: {
                    "predecessors": member.predecessors,
                    "parameters": member.parameters,
                    "code": member.code,
                }
                for name, member in shape.nodes.items()
            },
        },
        "parameters": {
            name: {
                "frozen": shape.parameters[name].frozen,
                "known": history.start is not None,
                "final": texts.add(history.final),
                "proposed": [
                    {
                        "step": p.step,
                        "parts": [[_OPS[op], texts.add(t)] for op, t in p.parts],
                        "told": texts.add(p.told) if p.told else None,
                    }
                    for p in history.proposed
                ],
            }
            for name, history in parameters.items()
        },
        "steps": [
            _step(s, shown, texts, asks) for s, shown in zip(run.steps, learned, strict=True)
        ],
        "examples": [_example(one, texts) for one in run.worst],
        "examples_left_out": run.left_out,
        "texts": texts.table,
    }


def calls_data(run: Run) -> dict[str, Any]:
    """Return prompts and replies by step, of as many examples as a page has room for."""
    texts = Texts()
    counts = {step["step"]: len(step["sampled"]) for step in run.steps}
    shown = dict(zip(counts, shares(list(counts.values()), run.calls_size, _CALLS), strict=True))
    steps = {}
    for record, whole in run.calls():
        calls = partial(_calls_by, texts=texts, whole=whole)
        steps[record["step"]] = {
            "examples": [
                {
                    "forward": calls(one["forward"]),
                    "loss": _calls(one["loss"], texts, whole),
                    "backward": calls(one["backward"]),
                    "trials": calls(one.get("trials", {})),
                }
                for one in record["examples"][: shown.get(record["step"], 0)]
            ],
            "updates": calls(record["updates"]),
        }
    return {"steps": steps, "texts": texts.table}


def shares(counts: Sequence[int], size: int, limit: int) -> list[int]:
    """Return how many of its examples each step shows, the latest steps first to be served.

    `size` is that of the file that holds them all, `limit` how much of it a page has room for.
    """
    total = sum(counts)
    if size <= limit or total == 0:
        return list(counts)
    fitting = total * limit // size
    each = max(1, fitting // len(counts))
    shown = [0] * len(counts)
    for i in reversed(range(len(counts))):
        shown[i] = min(counts[i], each, fitting)
        fitting -= shown[i]
    return shown


def _step(step: Record, shown: int, texts: Texts, asks: Callable[[object], bool]) -> dict[str, Any]:
    return {
        "step": step["step"],
        "accepted": step["accepted"],
        "reason": texts.add(step["reason"]),
        "scores": {
            name: score and [score["mean"], score["n"]] for name, score in step["scores"].items()
        },
        "skipped": _each(step["skipped"], texts.add),
        "tried": [
            {"score": one["score"], "changes": _each(one["changes"], texts.add)}
            for one in step["tried"]
        ],
        "learned": len(step["sampled"]),
        "sampled": [
            {
                "example": texts.add(one["example"]),
                "score": one["score"],
                "values": _each(_values(one), texts.add),
                "gradients": {
                    variable: [
                        [g["source"], texts.add(g["value"]), asks(as_text(g["value"]))]
                        for g in gradients
                    ]
                    for variable, gradients in one["gradients"].items()
                },
                "failures": _each({**_unanswered(one), **one["failures"]}, texts.add),
                "joined": {
                    node: [found["source"], texts.add(found["value"])]
                    for node, found in one.get("joined", {}).items()
                },
                "trials": {
                    trial["node"]: [
                        texts.add(trial["failure"] or trial["value"]),
                        trial["before"],
                        trial["after"],
                        trial["verdict"] + trial["together"] * " together with the others",
                    ]
                    for trial in one.get("trials", ())
                },
            }
            for one in step["sampled"][:shown]
        ],
    }


def _unanswered(sampled: Record) -> dict[str, str]:
    """Return why there is no output, by the node where it began."""
    why = sampled.get("unanswered")
    return {why["node"]: f"unanswered, {why['kind']}: {why['reason']}"} if why else {}


def _example(one: Record, texts: Texts) -> dict[str, Any]:
    return {
        "split": one["split"],
        "example": texts.add(one["example"]),
        "initial": one["initial"],
        "final": one["final"],
        "unanswered": one.get("unanswered", {}).get("final"),
        "values": _each(_values(one), texts.add),
        "failures": _each(one["failures"], texts.add),
    }


def _calls_by(calls: Mapping[str, Sequence[Record]], texts: Texts, whole: Whole) -> dict[str, Any]:
    return {key: _calls(made, texts, whole) for key, made in calls.items()}


def _calls(calls: Sequence[Record], texts: Texts, whole: Whole) -> list[dict[str, Any]]:
    return [
        {
            "node": call["node"],
            "role": call["role"],
            "messages": [[m["role"], texts.add(whole(m["content"]))] for m in call["messages"]],
            "reply": texts.add(whole(call["reply"])),
            "tokens": [call["tokens"]["prompt"], call["tokens"]["completion"]],
            "malformed": [texts.add(whole(reason)) for reason in call["malformed"]],
        }
        for call in calls
    ]


def _values(one: Record) -> dict[str, Any]:
    """Return what is shown as values."""
    return {**one["values"], **dict.fromkeys(one.get("skipped", ()), "(skipped)")}


def _each(values: Mapping[str, Any], add: Callable[[Any], int]) -> dict[str, int]:
    return {name: add(value) for name, value in values.items()}
