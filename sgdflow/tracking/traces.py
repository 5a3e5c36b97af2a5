"""What a sampled example went through, as a tree of spans; knows nothing of MLflow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
    ranked = sorted(record["sampled"], key=lambda one: (not one.get("failures"), one["score"]))
    for learned in ranked[:count]:
        example = learned["example"]
        root = _root(record, learned, made.get(example, {}), nodes)
        yield Trace(example, learned["score"], learned.get("feedback"), root)


def _root(
    record: Mapping[str, Any], learned: Mapping[str, Any], made: Mapping[str, Any], nodes: Nodes
) -> Span:
    values, failures = learned.get("values", {}), learned.get("failures", {})
    output = list(nodes)[-1] if nodes else None
    parts = [Span("forward", "CHAIN", inner=tuple(_forward(values, made, nodes)))]
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


def _forward(values: Mapping[str, Any], made: Mapping[str, Any], nodes: Nodes) -> Iterator[Span]:
    for name, predecessors in nodes.items():
        own = made.get("forward", {}).get(name, ())
        yield Span(
            name,
            "AGENT" if own else "TOOL",
            {one: values[one] for one in predecessors if one in values},
            values.get(name),
            None if name in values else "it gave no value",
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
