"""Calls of models as OpenTelemetry spans: those that MLflow makes, and other instrumentation.

The only module that imports OpenTelemetry.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, Protocol
from weakref import WeakValueDictionary

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from sgdflow.llm.heard import Heard, heard

_TYPES = ("CHAT_MODEL", "LLM")
"""What MLflow calls spans of models."""
_OPERATIONS = ("chat", "text_completion", "generate_content")
"""What OpenTelemetry's conventions for generative AI call what models do."""


class Hears(Protocol):
    """Whoever hears what begins and ends."""

    def began(self, span: Any, around: Any) -> None:
        """Take a span that begins, and the one that it lies in."""

    def ended(self, span: Any, call: Heard | None) -> None:
        """Take the end of a span, with the call of a model that it was."""


Hearer = Callable[[], Hears | None]
"""Returns who hears what happens in this context."""


class HearingSpans(SpanProcessor):
    """Tells of spans to whoever hears where they begin: they may end in another context."""

    def __init__(self, hearer: Hearer) -> None:
        self._hearer = hearer
        self._open: WeakValueDictionary[int, Hears] = WeakValueDictionary()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Remember who hears it."""
        if (hears := self._hearer()) is not None:
            name = _name(span)
            self._open[name] = hears
            hears.began(name, None if span.parent is None else span.parent.span_id)

    def on_end(self, span: ReadableSpan) -> None:
        """Tell that it ended."""
        name = _name(span)
        if (hears := self._open.pop(name, None)) is not None:
            hears.ended(name, call_in(span))


def hear_spans(hearer: Hearer) -> None:
    """Hear the spans of all that makes any in this process: MLflow's, and the global provider's."""
    # Whoever has MLflow make spans has imported it, which takes seconds.
    own = getattr(sys.modules.get("mlflow.tracing"), "get_bridged_tracer_provider", None)
    for provider in (trace.get_tracer_provider(), own() if own is not None else None):
        add = getattr(provider, "add_span_processor", None)
        if add is not None and not hasattr(provider, "_sgdflow_hears"):
            add(HearingSpans(hearer))
            provider._sgdflow_hears = True  # type: ignore[union-attr]


def spans_here() -> Iterator[int]:
    """Yield the spans that lie around what happens here."""
    yield trace.get_current_span().get_span_context().span_id
    current = getattr(sys.modules.get("mlflow"), "get_current_active_span", None)
    if current is not None and (span := current()) is not None:
        yield int(span.span_id, 16)


def call_in(span: ReadableSpan) -> Heard | None:
    """Return the call that a span tells of; None where it is none of a model."""
    said = {key: _read(value) for key, value in (span.attributes or {}).items()}
    times = _seconds(span)
    if said.get("mlflow.spanType") in _TYPES:
        usage = said.get("mlflow.chat.tokenUsage")
        return heard(said.get("mlflow.spanInputs"), said.get("mlflow.spanOutputs"), usage, times)
    if said.get("gen_ai.operation.name") in _OPERATIONS:
        for event in span.events:  # where they are told beside the span
            said |= {key: _read(value) for key, value in (event.attributes or {}).items()}
        told = ("gen_ai.system_instructions", "gen_ai.input.messages")
        asked = dict(zip(("system", "messages"), map(said.get, told), strict=True))
        usage = {key: said.get(f"gen_ai.usage.{key}") for key in ("input_tokens", "output_tokens")}
        return heard(asked, said.get("gen_ai.output.messages"), usage, times)
    return None


def _name(span: ReadableSpan) -> Any:
    return span.context.span_id


def _read(value: Any) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _seconds(span: ReadableSpan) -> tuple[float, float] | None:
    if span.start_time is None or span.end_time is None:
        return None
    return span.start_time / 1e9, span.end_time / 1e9
