"""Traces of the end: right and wrong examples with what was expected, their scores and times."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Trace

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.outcomes import Outcome
from sgdflow.llm import Message, Reply
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.details import shown_records
from sgdflow.records.source import read_steps
from sgdflow.runs.run import optimise
from sgdflow.simulation.worlds import reply
from sgdflow.tracking.client import prepare as experiment
from sgdflow.tracking.mlflow import MlflowTracker
from sgdflow.tracking.traces import traces

SLOW = 0.02


class Slow(ScriptedLLM):
    """Simulated models that take their time."""

    def __init__(self) -> None:
        super().__init__(lambda role, node, messages: reply(messages, 0))

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        await asyncio.sleep(SLOW)
        return await super().complete(role, messages, node=node, sample=sample)


def test_a_run_leaves_traces_of_right_and_wrong_examples_with_their_times(tmp_path: Path) -> None:
    from mlflow.tracing.client import TracingClient

    store = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["experiments=quickstart", "graph=desk", "method.stop.steps=1", "seed=1"]
    words += ["task.splits={train: 10, validation: 4, test: 30}", f"tracking.uri={store}"]
    raw = compose(words)
    ready = prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {})
    tracker = MlflowTracker(store, "traces", None, prompts=False)
    record = asyncio.run(optimise(ready, raw, Slow(), tracker, RunFolder(tmp_path / "run")))
    assert 0 < record["scores"]["test"]["final"]["mean"] < 1
    found = TracingClient(store).search_traces(locations=[experiment(store, "traces")])
    ends = [one for one in found if one.info.tags["sgdflow.step"] == "end"]
    told: list[dict[str, Any]] = [
        {a.name: getattr(a, "value", "") for a in one.info.assessments} for one in ends
    ]
    assert sorted(one["score"] for one in told) == [0, 0, 1, 1]
    targets = {one.id: one.target for one in ready.problem.splits.test}
    for trace, assessed in zip(ends, told, strict=True):
        assert assessed["expected"] == targets[trace.info.tags["sgdflow.example"]]
        right = trace.data.spans[0].outputs["output"] == assessed["expected"]
        assert right == (assessed["score"] == 1)
    steps = [one for one in found if one.info.tags["sgdflow.step"] == "1"]
    assert len(steps) == 2
    nodes = ready.problem.graph.order
    for trace in (*steps, *ends):
        # A call takes its time, and the desk can begin only when the parts are there.
        assert (trace.info.execution_duration or 0) >= 2 * SLOW * 1000
        spans = forward(trace)
        assert [*spans] == [*nodes]
        for began, ended in spans.values():
            assert ended - began >= SLOW * 1e9 * 0.9
        *before, (last, _) = spans.values()
        assert all(ended <= last + 1e6 for _, ended in before)
    # Nothing of the clock stands in what is kept in the directory.
    [calls] = read_steps(tmp_path / "run" / "calls.jsonl")
    assert "times" not in str(calls)
    assert {one["target"] for one in calls["examples"]} <= {
        one.target for one in ready.problem.splits.train
    }


def forward(trace: Trace) -> dict[str, tuple[int, int]]:
    """Return when each node began and ended."""
    [passed] = [span.span_id for span in trace.data.spans if span.name == "forward"]
    inner = [span for span in trace.data.spans if span.parent_id == passed]
    inner.sort(key=lambda span: span.start_time_ns)
    return {span.name: (span.start_time_ns, span.end_time_ns or 0) for span in inner}


@pytest.mark.parametrize(("count", "expected"), [(0, ""), (1, "ad"), (2, "acbd"), (9, "acbd")])
def test_the_wrongest_and_the_rightest_are_shown(count: int, expected: str) -> None:
    scores = {"a": 0.0, "b": 0.7, "c": 0.2, "d": 1.0, "e": None}
    outcomes = {
        name: Outcome(ForwardPass(name, {"q": name}, {}, {}), score, None)
        for name, score in scores.items()
    }
    shown = shown_records("test", outcomes, {"a": 3}, count)
    assert "".join(one["example"] for one in shown) == expected
    assert [one["target"] for one in shown[:1]] == [3] * bool(count)


def test_gradients_are_gone_through_once_for_all_nodes() -> None:
    """A graph of 1,000 nodes in layers of ten has 10,000 of them."""
    gone_through = 0

    class Counted(dict[str, Any]):
        def items(self) -> Any:
            nonlocal gone_through
            gone_through += 1
            return super().items()

    nodes = {"a": ("q",), "b": ("q",), "c": ("a", "b"), "d": ("a", "c")}
    told = [("d", "loss", "L"), ("c", "d", "D"), ("a", "c", "C"), ("a", "d", "D"), ("b", "c", "C")]
    gradients: dict[str, Any] = Counted()
    for variable, source, text in told:
        gradients.setdefault(variable, []).append({"source": source, "value": f"{text} {variable}"})
    seen = {"example": "e", "score": 0.0, "values": dict.fromkeys(nodes, "v"), "failures": {}}
    record = {"step": 1, "accepted": False, "sampled": [{**seen, "gradients": gradients}]}
    [made] = traces(record, {}, nodes, 1)
    [backward] = [part for part in made.root.inner if part.name == "backward"]
    assert [(one.name, one.outputs) for one in backward.inner] == [
        ("d", {"c": "D c", "a": "D a"}),
        ("c", {"a": "C a", "b": "C b"}),
    ]
    assert [one["value"] for one in backward.inner[1].inputs["gradients"]] == ["D c"]
    assert gone_through == 1


def test_a_trial_of_a_gradient_is_told_with_the_gradient_and_its_outcome() -> None:
    asked = [{"source": "answer", "value": "CHANGE: name the unit"}]
    trial = {"node": "hint", "value": "3 m", "before": 0.0, "after": 1.0, "verdict": "repaired"}
    learned = {
        "example": "e",
        "score": 0.0,
        "values": {"question": "Q", "hint": "3", "answer": "3"},
        "gradients": {"hint": asked},
        "trials": [{**trial, "together": False, "failure": None}],
    }
    usage = {"prompt": 5, "completion": 2, "cached": 0}
    call = {"role": "backward", "messages": [], "reply": "<value>3 m</value>", "tokens": usage}
    call["malformed"] = []
    made = {"example": "e", "trials": {"hint": [call]}}
    step = {"step": 1, "accepted": True, "sampled": [learned]}
    nodes = {"hint": ["question"], "answer": ["hint"]}
    (trace,) = traces(step, {"examples": [made]}, nodes, 1)
    (tried,) = next(span for span in trace.root.inner if span.name == "trials").inner
    assert (tried.name, tried.inputs) == ("hint", {"output": "3", "gradients": asked})
    assert tried.outputs == {k: trial[k] for k in trial if k != "node"} | {"together": False}
    assert len(tried.inner) == 1
    (untried,) = traces({**step, "sampled": [{**learned, "trials": []}]}, {}, nodes, 1)
    assert "trials" not in [span.name for span in untried.root.inner]
