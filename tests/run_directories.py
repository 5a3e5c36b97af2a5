"""Run directories made by hand, so that a report can be tested with any texts and of any size."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgdflow.library.graphs import layered

Record = dict[str, Any]


def score(mean: float, n: int = 10) -> Record:
    low, high = max(0.0, mean - 0.1), min(1.0, mean + 0.1)
    return {"mean": mean, "n": n, "low": low, "high": high, "failed": 0}


@dataclass(frozen=True)
class Directory:
    """Writes the files of a run that optimised a generated graph."""

    path: Path
    depth: int = 2
    width: int = 2
    text: str = "text"
    """Stands in everything that a model or a user could have written."""

    @property
    def nodes(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._graph()["nodes"]
        return found

    def write(self, steps: Iterable[Record], calls: Iterable[Record], examples: int = 30) -> Path:
        """Write everything; without examples, as a run that was stopped would have."""
        self.path.mkdir(parents=True, exist_ok=True)
        dismissive = {"update": {"select": {"dismissive": "nothing should change"}}}
        config: Record = {name: {"name": self.text} for name in ("task", "method", "llm")}
        config["method"] |= dismissive
        self._json("config.yaml", {"graph": self._graph(), **config, "seed": 0, "parameters": None})
        self._json("parameters.yaml", {f"{n}.instruction": self.text for n in self.nodes})
        taken = self._lines("steps.jsonl", steps)
        self._lines("calls.jsonl", calls)
        if examples:
            self._lines("examples.jsonl", map(self.example, range(examples)))
            self._json("result.json", self._result(taken))
        return self.path

    def step(self, number: int, examples: int, *, accepted: bool = True) -> Record:
        proposal = {f"{node}.instruction": f"{self.text} {number}" for node in self.nodes}
        return {
            "format": 1,
            "step": number,
            "scores": {
                "train": score(0.5),
                "candidate": score(0.6) if accepted else None,
                "validation": score(0.4) if accepted else None,
            },
            "accepted": accepted,
            "reason": f"{self.text} {number}",
            "sampled": [self.sampled(number, i) for i in range(examples)],
            "proposal": proposal,
            "skipped": {},
            "tried": [],
            "calls": {"forward": 3, "backward": 1},
            "tokens": {"forward": {"prompt": 9, "completion": 3}},
            "malformed": 0,
        }

    def sampled(self, step: int, number: int) -> Record:
        return {
            "example": f"{self.text}/{number}",
            "score": 0.0,
            "values": self._values(f"{step}, {number}"),
            "feedback": self.text,
            "gradients": {
                node: [{"source": "answer", "value": f"{self.text} {step} {number} {node}"}]
                for node in self.nodes
                if node != "answer"
            }
            | {"answer": [{"source": "loss", "value": f"{self.text} expected"}]},
            "failures": {},
        }

    def calls(self, step: int, examples: int) -> Record:
        nodes = list(self.nodes)
        return {
            "format": 1,
            "step": step,
            "examples": [
                {
                    "example": f"{self.text}/{i}",
                    "forward": {n: [self._call(n, f"{step} {i} {n}")] for n in nodes},
                    "loss": [],
                    "backward": {n: [self._call(n, f"{step} {i} {n}")] for n in nodes},
                }
                for i in range(examples)
            ],
            "updates": {f"{n}.instruction": [self._call(n, f"{step} {n}")] for n in nodes},
        }

    def example(self, number: int, final: float | None = 0.0) -> Record:
        return {
            "format": 1,
            "split": ("train", "validation", "test")[number % 3],
            "example": f"{self.text}/{number}",
            "initial": 1.0,
            "final": final,
            "values": self._values(str(number)),
            "failures": {},
        }

    def _call(self, node: str, words: str) -> Record:
        return {
            "node": node,
            "role": "forward",
            "messages": [{"role": "user", "content": f"{self.text} prompt {words}"}],
            "reply": f"{self.text} reply {words}",
            "tokens": {"prompt": 9, "completion": 3},
            "malformed": [],
        }

    def _values(self, words: str) -> Record:
        return {v: f"{self.text} {words} {v}" for v in ("question", *self.nodes)}

    def _graph(self) -> Record:
        made = layered(
            name="g",
            inputs=["question"],
            depth=self.depth,
            width=self.width,
            skip=False,
            hidden=f"{self.text} hidden",
            final=f"{self.text} final",
        )
        return dict(made)

    def _result(self, steps: int) -> Record:
        both = {"initial": score(0.3), "final": score(0.6)}
        return {
            "format": 1,
            "version": self.text,
            "graph": self.text,
            "task": self.text,
            "method": self.text,
            "llm": self.text,
            "seed": 0,
            "scores": {"train": both, "validation": both, "test": both},
            "calls": {"forward": 3, "backward": 1},
            "tokens": {r: {"prompt": 9, "completion": 3} for r in ("forward", "backward")},
            "cost": {"forward": 0.25, "backward": None},
            "steps": steps,
            "accepted": 1,
            "stop_reason": f"steps: {self.text}",
            "seconds": 1.0,
        }

    def _json(self, name: str, data: Any) -> None:
        (self.path / name).write_text(json.dumps(data), encoding="utf-8")

    def _lines(self, name: str, records: Iterable[Record]) -> int:
        with (self.path / name).open("w", encoding="utf-8") as file:
            return sum(bool(file.write(json.dumps(record) + "\n")) for record in records)
