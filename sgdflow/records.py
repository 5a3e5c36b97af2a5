"""What a run leaves behind: plain records, and the files they are kept in.

The formats are described in docs/files.md; `FORMAT` changes with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from sgdflow.backward import BackwardPass
from sgdflow.descent import Result, Scores, Step
from sgdflow.evaluation import Summary
from sgdflow.forward import ForwardPass
from sgdflow.graph import Parameters
from sgdflow.llm import Spent
from sgdflow.update import Learned

FORMAT = 1
ByNode = Mapping[str, Mapping[str, Spent]]
"""What was used, by role and what the calls were made for."""
SPLITS = ("train", "validation", "test")


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
        "accepted": tried.decision.accepted,
        "reason": tried.decision.reason,
        "gate": {"at_most": tried.decision.most, **asdict(tried.gating)},
        "sampled": [_learned(one) for one in tried.learned],
        "proposal": dict(tried.proposal.changes),
        "skipped": dict(tried.proposal.skipped),
        "tried": [{"changes": dict(c.changes), "score": c.score} for c in tried.proposal.tried],
        "calls": {r: s.calls - _of(before, r).calls for r, s in sorted(after.items())},
        "tokens": {
            role: asdict(spent.usage - _of(before, role).usage)
            for role, spent in sorted(after.items())
        },
        "cost": {role: (spent - _of(before, role)).cost for role, spent in sorted(after.items())},
        "malformed": _malformed(step),
    }


def scores_record(initial: Scores, final: Scores) -> dict[str, Any]:
    """Return `scores.<split>.<initial|final>`."""
    return {
        split: {
            "initial": summary_record(getattr(initial, split)),
            "final": summary_record(getattr(final, split)),
        }
        for split in SPLITS
    }


def spent_record(spent: Mapping[str, Spent], nodes: ByNode) -> dict[str, Any]:
    """Return calls, tokens and cost by role, and by role and node."""
    roles = sorted({"forward", "backward", "optimizer", *spent})
    return {
        "calls": {role: _of(spent, role).calls for role in roles},
        "tokens": {role: asdict(_of(spent, role).usage) for role in roles},
        "cost": {role: _of(spent, role).cost for role in roles},
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
        "steps": result.steps,
        "accepted": result.accepted,
        "stop_reason": result.stop_reason,
        "seconds": round(seconds, 3),
    }


def _gate_record(result: Result) -> dict[str, Any]:
    calls = sum(spent.calls for spent in result.spent.values())
    share = result.gating.calls / calls if calls else 0.0
    return {**asdict(result.gating), "share": round(share, 4)}


class RunFolder:
    """The run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def began(self) -> float | None:
        """Return when the run that the directory holds began, in seconds since 1970."""
        file = self.path / "config.yaml"
        return file.stat().st_mtime if file.is_file() else None

    def begin(self, config: Mapping[str, Any], parameters: Parameters) -> None:
        """Write the resolved configuration and the parameters the run starts from."""
        began = self.began()
        self._write("config.yaml", as_yaml(config))
        if began is not None:
            os.utime(self.path / "config.yaml", (began, began))
        self._write("steps.jsonl", "")
        self._write("calls.jsonl", "")
        self._write("initial.yaml", as_yaml(parameters))
        self.save(parameters)

    def append(self, step: Mapping[str, Any], calls: Mapping[str, Any]) -> None:
        """Add a step and the calls it learned from."""
        for name, record in (("steps.jsonl", step), ("calls.jsonl", calls)):
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(_line(record))

    def save(self, parameters: Parameters) -> None:
        """Write the best parameters so far."""
        self._write("parameters.yaml", as_yaml(parameters))

    def keep_examples(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write what became of each example."""
        self._write("examples.jsonl", "".join(map(_line, records)))

    def finish(self, result: Mapping[str, Any], name: str = "result.json") -> None:
        """Write the result."""
        text = json.dumps(result, indent=2, ensure_ascii=False, default=str)
        self._write(name, text + "\n")

    def _write(self, name: str, text: str) -> None:
        """Write a file; neither a reader nor a kill sees half of it."""
        new = self.path / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.path / name)


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return YAML that reads back as the same data, texts of several lines as blocks."""
    return yaml.dump(_plain(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def read_yaml(file: Path) -> Any:
    """Return the data of a file that as_yaml wrote."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


_OTHER_LINE_ENDS = "\x85\u2028\u2029"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines in block style."""


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if any(character in text for character in _OTHER_LINE_ENDS):
        style = '"'  # plain and block style would read them back as newlines
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, list | tuple) else data


def summary_record(summary: Summary | None) -> dict[str, Any] | None:
    """Return a score as the records hold it."""
    return None if summary is None else asdict(summary)


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, default=str) + "\n"


def _of(spent: Mapping[str, Spent], role: str) -> Spent:
    return spent.get(role, Spent())


def _learned(one: Learned) -> dict[str, Any]:
    backward = one.backward
    gradients = backward.gradients if backward else {}
    failures = (
        {v: f"{f.origin}: {f.reason}" for v, f in backward.failures.items()} if backward else {}
    )
    return {
        "example": one.forward.example,
        "score": one.score,
        "values": dict(one.forward.values),
        "feedback": one.feedback,
        "gradients": {
            variable: [{"source": g.source, "value": g.value} for g in arrived]
            for variable, arrived in gradients.items()
        },
        "failures": failures | ({"loss": one.failure} if one.failure else {}),
    }


def _malformed(step: Step) -> int:
    """Count the replies of the step that could not be read and were asked for again."""
    tried = step.tried
    passes: list[ForwardPass | BackwardPass] = [
        one.backward for one in tried.learned if one.backward
    ]
    if tried.trial.seen:
        passes += [outcome.passed for outcome in tried.trial.seen.outcomes.values()]
    exchanges = [*tried.proposal.calls.values()]
    for one in passes:
        exchanges += one.calls.values()
        # A failure also stands for the variables that depend on the one where it began.
        exchanges += [f.calls for name, f in one.failures.items() if f.origin == name]
    return sum(len(call.malformed) for calls in exchanges for call in calls)
