"""Stores traces in MLflow.

MLflow's own recording of traces goes through a queue that drops what it has no room for, and takes
a transaction for each span: here all spans of a step are one batch, and what fails is an error.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sgdflow.records import as_json
from sgdflow.tracking.client import TAG_LIMIT, Run
from sgdflow.tracking.traces import Span, Trace

_PREVIEW = 1000
_NANO = 1_000_000_000

Laid = tuple[Span, int, int, "tuple[Laid, ...]"]
"""A span, when it began and ended in nanoseconds since 1970, and what is inside."""


def log_traces(
    uri: str, run: Run, traces: Sequence[Trace], step: str, tags: Mapping[str, str]
) -> None:
    """Store the traces of a step, or of the end; those that are there are written over."""
    from mlflow.entities import Span as Stored
    from mlflow.tracing.client import TracingClient

    store, now = TracingClient(uri), time.time_ns()
    stored: list[Any] = []
    for trace in traces:
        # The same id after a killed run: nothing is there twice.
        digest = hashlib.sha256(f"{run.id}/{step}/{trace.example}".encode()).hexdigest()
        trace_id = f"tr-{digest[:32]}"
        first = _first(trace.root)
        root = _laid(trace.root, now if first is None else round(first * _NANO))
        store.start_trace(_info(run, trace, trace_id, root, {**tags, "sgdflow.step": step}))
        stored += map(Stored.from_dict, _flat(root, trace_id))
    if stored:
        store.log_spans(run.experiment_id, stored)


def _info(run: Run, trace: Trace, trace_id: str, laid: Laid, tags: Mapping[str, str]) -> Any:
    from mlflow.entities import Expectation, Feedback, TraceInfo, TraceLocation, TraceState

    root, about = trace.root, {"sgdflow.example": trace.example, "sgdflow.score": str(trace.score)}
    every = {"mlflow.traceName": root.name, **about, **tags}
    feedback = Feedback(
        name="score",
        value=trace.score,
        rationale=None if trace.feedback is None else str(trace.feedback),
        trace_id=trace_id,
    )
    told: list[Any] = [feedback]
    if trace.expected is not None:
        told.append(Expectation(name="expected", value=trace.expected, trace_id=trace_id))
    return TraceInfo(
        trace_id=trace_id,
        trace_location=TraceLocation.from_experiment_id(run.experiment_id),
        request_time=laid[1] // 1_000_000,
        execution_duration=(laid[2] - laid[1]) // 1_000_000,
        state=TraceState.ERROR if root.failure else TraceState.OK,
        request_preview=as_json(root.inputs)[:_PREVIEW],
        response_preview=as_json(root.outputs)[:_PREVIEW],
        trace_metadata={"mlflow.sourceRun": run.id, "mlflow.trace_schema.version": "3"},
        tags={key: value for key, value in every.items() if len(value) <= TAG_LIMIT},
        assessments=told,
    )


def _laid(span: Span, at: int) -> Laid:
    """Return when a span began and ended; what nobody timed is a moment after what came before."""
    inner = []
    for one in span.inner:
        inner.append(_laid(one, at))
        at = max(at, inner[-1][2])
    if span.times:
        began, ended = (round(moment * _NANO) for moment in span.times)
        return span, began, ended, tuple(inner)
    began = min((one[1] for one in inner), default=at)
    return span, began, max((one[2] for one in inner), default=at), tuple(inner)


def _first(span: Span) -> float | None:
    own = [span.times[0]] if span.times else []
    return min((*own, *filter(None, map(_first, span.inner))), default=None)


def _flat(root: Laid, trace_id: str) -> Iterator[dict[str, Any]]:
    """Yield a tree in its order."""
    waiting: list[tuple[Laid, str | None]] = [(root, None)]
    number = 0
    while waiting:
        (span, began, ended, inner), parent = waiting.pop()
        own = hashlib.sha256(f"{trace_id}/{number}".encode()).hexdigest()[:16]
        began += number * 1000  # so that those that nobody timed keep their order
        yield {
            "trace_id": trace_id,
            "span_id": own,
            "parent_span_id": parent,
            "name": span.name,
            "start_time_unix_nano": began,
            "end_time_unix_nano": max(began, ended),
            "status": {"code": "ERROR" if span.failure else "OK", "message": span.failure or ""},
            "attributes": _attributes(span, trace_id),
        }
        waiting += [(one, own) for one in reversed(inner)]
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
