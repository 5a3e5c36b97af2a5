"""Traces in an MLflow store.

MLflow's own recording of traces goes through a queue that drops what it has no room for, and takes
a transaction for each span: here all spans of a step are one batch, and what fails is an error.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgdflow.tracking.client import TAG_LIMIT, Run
from sgdflow.tracking.traces import Span, Trace

_PREVIEW = 1000


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
        request_preview=_json(root.inputs)[:_PREVIEW],
        response_preview=_json(root.outputs)[:_PREVIEW],
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
    return {key: _json(value) for key, value in found.items()}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
