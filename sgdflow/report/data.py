"""What the page's script shows on demand, as JSON: short keys are said here, texts by number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sgdflow.report.history import History
from sgdflow.report.reading import Record, Run
from sgdflow.report.room import shares
from sgdflow.report.shape import Shape
from sgdflow.report.texts import Texts

_STEPS, _CALLS = 20_000_000, 40_000_000
"""Characters of steps.jsonl and calls.jsonl that a page shows at most; see room.py."""
_EXAMPLES = 300
_OPS = {"equal": "=", "delete": "-", "insert": "+"}
_UNSAFE = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def run_data(
    run: Run, shape: Shape, parameters: Mapping[str, History], phrase: str
) -> dict[str, Any]:
    """Return everything except prompts and replies."""
    texts = Texts()
    shown, left_out = _worst(run.examples)
    rooms = shares([len(step["sampled"]) for step in run.steps], run.steps_size, _STEPS)
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
                    {"step": p.step, "parts": [[_OPS[op], texts.add(t)] for op, t in p.parts]}
                    for p in history.proposed
                ],
            }
            for name, history in parameters.items()
        },
        "steps": [_step(s, room, texts) for s, room in zip(run.steps, rooms, strict=True)],
        "examples": [_example(one, texts) for one in shown],
        "examples_left_out": left_out,
        "dismissive": phrase,
        "texts": texts.table,
    }


def calls_data(run: Run) -> dict[str, Any]:
    """Return prompts and replies by step, of as many examples as a page has room for."""
    texts = Texts()
    counts = {step["step"]: len(step["sampled"]) for step in run.steps}
    rooms = shares(list(counts.values()), run.calls_size, _CALLS)
    room = dict(zip(counts, rooms, strict=True))
    steps = {
        record["step"]: {
            "examples": [
                {
                    "forward": _calls_by(one["forward"], texts),
                    "loss": _calls(one["loss"], texts),
                    "backward": _calls_by(one["backward"], texts),
                }
                for one in record["examples"][: room.get(record["step"], 0)]
            ],
            "updates": _calls_by(record["updates"], texts),
        }
        for record in run.calls()
    }
    return {"steps": steps, "texts": texts.table}


def as_script(data: Any) -> str:
    """Return JSON that can stand in a script element: nothing in it ends or opens markup."""
    written = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(_escape, written)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


def _step(step: Record, room: int, texts: Texts) -> dict[str, Any]:
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
                "values": _each(one["values"], texts.add),
                "gradients": {
                    variable: [[g["source"], texts.add(g["value"])] for g in gradients]
                    for variable, gradients in one["gradients"].items()
                },
                "failures": _each(one["failures"], texts.add),
            }
            for one in step["sampled"][:room]
        ],
    }


def _worst(examples: Sequence[Record]) -> tuple[list[Record], int]:
    """Return the examples that are not all right, the test split last, and how many are more."""
    wrong = [one for one in examples if one["final"] is None or one["final"] < 1]
    # Failures have no score and stand before the lowest.
    wrong.sort(
        key=lambda one: (one["split"] == "test", -1 if one["final"] is None else one["final"])
    )
    return wrong[:_EXAMPLES], max(0, len(wrong) - _EXAMPLES)


def _example(one: Record, texts: Texts) -> dict[str, Any]:
    return {
        "split": one["split"],
        "example": texts.add(one["example"]),
        "initial": one["initial"],
        "final": one["final"],
        "values": _each(one["values"], texts.add),
        "failures": _each(one["failures"], texts.add),
    }


def _calls_by(calls: Mapping[str, Sequence[Record]], texts: Texts) -> dict[str, Any]:
    return {key: _calls(made, texts) for key, made in calls.items()}


def _calls(calls: Sequence[Record], texts: Texts) -> list[dict[str, Any]]:
    return [
        {
            "node": call["node"],
            "role": call["role"],
            "messages": [[m["role"], texts.add(m["content"])] for m in call["messages"]],
            "reply": texts.add(call["reply"]),
            "tokens": [call["tokens"]["prompt"], call["tokens"]["completion"]],
            "malformed": [texts.add(reason) for reason in call["malformed"]],
        }
        for call in calls
    ]


def _each(values: Mapping[str, Any], add: Callable[[Any], int]) -> dict[str, int]:
    return {name: add(value) for name, value in values.items()}
