"""What a sampled example went through, as a tree of spans that MLflow shows as a trace.

MLflow's own recording of traces goes through a queue that drops what it has no room for, and takes
a transaction for each span: here all spans of a step are one batch, and what fails is an error.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgdflow.records import as_json
from sgdflow.tracking.client import TAG_LIMIT, Run

_PREVIEW = 1000

Nodes = Mapping[str, Sequence[str]]
"""Node -> its predecessors, in an order in which they can be computed."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that was done for an example."""

    name: str
    kind: str
    """A span type of MLflow."""
    inputs: Any = None
    outputs: Any = None
    failure: str | None = None
    inner: tuple[Span, ...] = ()
    tokens: Mapping[str, int] | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trace:
    """One example in one step."""

    example: str
    score: float
    feedback: Any
    root: Span


def traces(
    record: Mapping[str, Any], calls: Mapping[str, Any], nodes: Nodes, count: int
) -> Iterator[Trace]:
    """Yield the traces of a step's examples: those with failures first, then the worst."""
    made = {one["example"]: one for one in calls.get("examples", ())}
    ranked = sorted(record["sampled"], key=_rank)
    for learned in ranked[:count]:
        example = learned["example"]
        root = _root(record, learned, made.get(example, {}), nodes)
        yield Trace(example, learned["score"], learned.get("feedback"), root)


def _rank(learned: Mapping[str, Any]) -> tuple[bool, float]:
    return not (learned.get("failures") or learned.get("unanswered")), learned["score"]


def _root(
    record: Mapping[str, Any], learned: Mapping[str, Any], made: Mapping[str, Any], nodes: Nodes
) -> Span:
    values, failures = learned.get("values", {}), dict(learned.get("failures", {}))
    if why := learned.get("unanswered"):
        failures = {"output": f"{why['node']}: {why['kind']}: {why['reason']}", **failures}
    output = list(nodes)[-1] if nodes else None
    parts = [Span("forward", "CHAIN", inner=tuple(_forward(learned, made, nodes)))]
    parts.append(
        Span(
            "loss",
            "EVALUATOR",
            {"output": values.get(output)} if output else None,
            {"score": learned["score"], "feedback": learned.get("feedback")},
            failures.get("loss"),
            tuple(_calls(made.get("loss", ()))),
        )
    )
    if backward := tuple(_backward(learned, made, nodes)):
        parts.append(Span("backward", "CHAIN", inner=backward))
    return Span(
        f"step {record['step']}: {learned['example']}",
        "CHAIN",
        {name: value for name, value in values.items() if name not in nodes},
        {"output": values.get(output), "score": learned["score"]},
        "; ".join(dict.fromkeys(failures.values())) or None,
        tuple(parts),
        attributes={
            "sgdflow.times": "The order is real, times are not: records hold none.",
            "sgdflow.accepted": record["accepted"],
            "sgdflow.reason": record.get("reason"),
        },
    )


def _forward(learned: Mapping[str, Any], made: Mapping[str, Any], nodes: Nodes) -> Iterator[Span]:
    values, skipped = learned.get("values", {}), learned.get("skipped", ())
    for name, predecessors in nodes.items():
        own = made.get("forward", {}).get(name, ())
        yield Span(
            name,
            "AGENT" if own else "TOOL",
            {one: values[one] for one in predecessors if one in values},
            "(skipped)" if name in skipped else values.get(name),
            None if name in values or name in skipped else "it gave no value",
            tuple(_calls(own)),
        )


def _backward(learned: Mapping[str, Any], made: Mapping[str, Any], nodes: Nodes) -> Iterator[Span]:
    """Yield the nodes that had a gradient to pass on, from the output on."""
    gradients, failures = learned.get("gradients", {}), learned.get("failures", {})
    for name in reversed(list(nodes)):
        own = made.get("backward", {}).get(name, ())
        written = {
            variable: one["value"]
            for variable, arrived in gradients.items()
            for one in arrived
            if one["source"] == name
        }
        # A failure stands for every variable that depends on the node where it began.
        began = [why for why in failures.values() if why.startswith(f"{name}: ")]
        if own or written or began:
            yield Span(
                name,
                "AGENT" if own else "TOOL",
                {"output": learned["values"].get(name), "gradients": gradients.get(name, [])},
                written,
                began[0].removeprefix(f"{name}: ") if began else None,
                tuple(_calls(own)),
            )


def _calls(made: Sequence[Mapping[str, Any]]) -> Iterator[Span]:
    for call in made:
        reply = call.get("reply")
        answer = {"role": "assistant", "content": reply}
        yield Span(
            f"{call['role']} model",
            "CHAT_MODEL",
            {"messages": call["messages"]},
            {"choices": [{"index": 0, "message": answer}]},
            "there is no reply" if reply is None else None,
            tokens=call.get("tokens"),
            attributes={"sgdflow.malformed": malformed} if (malformed := call["malformed"]) else {},
        )


def log_traces(
    uri: str, run: Run, traces: Sequence[Trace], step: int, tags: Mapping[str, str]
) -> None:
    """Store the traces of a step; those that are there already are written over."""
    from mlflow.entities import Span as Stored
    from mlflow.tracing.client import TracingClient

    store, now = TracingClient(uri), time.time_ns()
    stored: list[Any] = []
    for trace in traces:
        # The same id after a killed run: nothing is there twice.
        digest = hashlib.sha256(f"{run.id}/{step}/{trace.example}".encode()).hexdigest()
        trace_id = f"tr-{digest[:32]}"
        store.start_trace(_info(run, trace, trace_id, now, {**tags, "sgdflow.step": str(step)}))
        stored += map(Stored.from_dict, _flat(trace.root, trace_id, now))
    if stored:
        store.log_spans(run.experiment_id, stored)


def _info(run: Run, trace: Trace, trace_id: str, now: int, tags: Mapping[str, str]) -> Any:
    from mlflow.entities import Feedback, TraceInfo, TraceLocation, TraceState

    root, about = trace.root, {"sgdflow.example": trace.example, "sgdflow.score": str(trace.score)}
    every = {"mlflow.traceName": root.name, **about, **tags}
    feedback = Feedback(
        name="score",
        value=trace.score,
        rationale=None if trace.feedback is None else str(trace.feedback),
        trace_id=trace_id,
    )
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(run.experiment_id),
        request_time=now // 1_000_000,
        state=TraceState.ERROR if root.failure else TraceState.OK,
        request_preview=as_json(root.inputs)[:_PREVIEW],
        response_preview=as_json(root.outputs)[:_PREVIEW],
        trace_metadata={"mlflow.sourceRun": run.id, "mlflow.trace_schema.version": "3"},
        tags={key: value for key, value in every.items() if len(value) <= TAG_LIMIT},
        assessments=[feedback],
    )


def _flat(root: Span, trace_id: str, now: int) -> Iterator[dict[str, Any]]:
    """Yield a tree in its order; a span has no length in time, as nobody knows it."""
    waiting: list[tuple[Span, str | None]] = [(root, None)]
    number = 0
    while waiting:
        span, parent = waiting.pop()
        own = hashlib.sha256(f"{trace_id}/{number}".encode()).hexdigest()[:16]
        at = now + number * 1000
        yield {
            "trace_id": trace_id,
            "span_id": own,
            "parent_span_id": parent,
            "name": span.name,
            "start_time_unix_nano": at,
            "end_time_unix_nano": at,
            "status": {"code": "ERROR" if span.failure else "OK", "message": span.failure or ""},
            "attributes": _attributes(span, trace_id),
        }
        waiting += [(one, own) for one in reversed(span.inner)]
        number += 1


def _attributes(span: Span, trace_id: str) -> dict[str, str]:
    found: dict[str, Any] = {
        "mlflow.traceRequestId": trace_id,
        "mlflow.spanType": span.kind,
        **span.attributes,
    }
    if span.inputs is not None:
        found["mlflow.spanInputs"] = span.inputs
    if span.outputs is not None:
        found["mlflow.spanOutputs"] = span.outputs
    if span.kind == "CHAT_MODEL":
        found["mlflow.message.format"] = "openai"
    if span.tokens:
        prompt, completion = span.tokens["prompt"], span.tokens["completion"]
        counts = {"input_tokens": prompt, "output_tokens": completion}
        found["mlflow.chat.tokenUsage"] = counts | {"total_tokens": prompt + completion}
    return {key: as_json(value) for key, value in found.items()}
