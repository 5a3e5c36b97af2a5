"""What an example went through, as a tree of spans."""

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
    times: tuple[float, float] | None = None
    """When it began and ended, in seconds since 1970; None: as what is inside."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One example in one step, or at the end."""

    example: str
    score: float
    feedback: Any
    root: Span
    expected: Any = None


_TIMES = "A node took as long as its calls, waiting for a turn included; code's time is not known."


def traces(
    record: Mapping[str, Any], calls: Mapping[str, Any], nodes: Nodes, count: int
) -> Iterator[Trace]:
    """Yield the traces of a step's examples: those with failures first, then the worst."""
    made = {one["example"]: one for one in calls.get("examples", ())}
    ranked = sorted(record["sampled"], key=_rank)
    about = {"sgdflow.accepted": record["accepted"], "sgdflow.reason": record.get("reason")}
    for learned in ranked[:count]:
        own = made.get(learned["example"], {})
        yield _trace(f"step {record['step']}", learned, own, nodes, about)


def final_traces(shown: Sequence[Mapping[str, Any]], nodes: Nodes) -> Iterator[Trace]:
    """Yield the traces of examples that were scored at the end (records/details.py)."""
    for one in shown:
        yield _trace(one["split"], one, one["made"], nodes, {})


def _rank(learned: Mapping[str, Any]) -> tuple[bool, float]:
    return not (learned.get("failures") or learned.get("unanswered")), learned["score"]


def _trace(
    when: str,
    seen: Mapping[str, Any],
    made: Mapping[str, Any],
    nodes: Nodes,
    about: Mapping[str, Any],
) -> Trace:
    example, score, feedback = seen["example"], seen["score"], seen.get("feedback")
    root = Span(
        f"{when}: {example}",
        "CHAIN",
        {name: value for name, value in seen.get("values", {}).items() if name not in nodes},
        {"output": seen.get("values", {}).get(_output(nodes)), "score": score},
        "; ".join(dict.fromkeys(_failures(seen).values())) or None,
        tuple(_parts(seen, made, nodes)),
        attributes={"sgdflow.times": _TIMES, **about},
    )
    return Trace(example, score, feedback, root, made.get("target", seen.get("target")))


def _parts(seen: Mapping[str, Any], made: Mapping[str, Any], nodes: Nodes) -> Iterator[Span]:
    values, output = seen.get("values", {}), _output(nodes)
    yield Span("forward", "CHAIN", inner=tuple(_forward(seen, made, nodes)))
    yield Span(
        "loss",
        "EVALUATOR",
        {"output": values.get(output)} if output else None,
        {"score": seen["score"], "feedback": seen.get("feedback")},
        _failures(seen).get("loss"),
        tuple(_calls(made.get("loss", ()))),
    )
    if backward := tuple(_backward(seen, made, nodes)):
        yield Span("backward", "CHAIN", inner=backward)
    if trials := tuple(_trials(seen, made)):
        yield Span("trials", "CHAIN", inner=trials)


def _output(nodes: Nodes) -> str | None:
    return list(nodes)[-1] if nodes else None


def _failures(seen: Mapping[str, Any]) -> dict[str, str]:
    failures = dict(seen.get("failures", {}))
    if why := seen.get("unanswered"):
        return {"output": f"{why['node']}: {why['kind']}: {why['reason']}", **failures}
    return failures


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
    by_source: dict[str, dict[str, Any]] = {}
    for variable, arrived in gradients.items():
        for one in arrived:
            by_source.setdefault(one["source"], {})[variable] = one["value"]
    for name in reversed(list(nodes)):
        own = made.get("backward", {}).get(name, ())
        written = by_source.get(name, {})
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


def _trials(learned: Mapping[str, Any], made: Mapping[str, Any]) -> Iterator[Span]:
    """Yield the values that were written as their gradients ask, with what came of each."""
    for trial in learned.get("trials", ()):
        name, told = trial["node"], ("value", "before", "after", "verdict", "together")
        yield Span(
            name,
            "EVALUATOR",
            {
                "output": learned["values"].get(name),
                "gradients": learned.get("gradients", {}).get(name, []),
            },
            {key: trial[key] for key in told},
            trial["failure"],
            tuple(_calls(made.get("trials", {}).get(name, ()))),
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
            times=call.get("times"),
        )
