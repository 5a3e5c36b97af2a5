"""What a program did for one example, as a graph: each of its calls of a model is a node.

Which prompt a call used, and which call took up another's reply, is seen from the texts alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sgdflow.executor.forward import CallableForward, ForwardPass
from sgdflow.executor.functions import Function
from sgdflow.executor.graph import Computed, Graph, Node, Operands, Parameter
from sgdflow.executor.places import View
from sgdflow.llm import LLM
from sgdflow.llm.recording import Silence, recording
from sgdflow.prompting.ask import Call

INSIDE = "inside"
"""The role of calls that a program makes itself."""
_HOLE = re.compile(r"\{\{.*?\}\}|\{[^{}\n]*\}|%\(\w+\)s|%s|\$\{\w+\}|\$\w+", re.DOTALL)
"""Where a program fills something into its prompt."""
_TAGGED = re.compile(r"<([A-Za-z_][\w-]*)[^<>]*>\s*(.*?)\s*</\1>", re.DOTALL)
_MARKED = re.compile(r"\[\[ ## \w+ ## \]\]\s*(.*?)\s*(?=\[\[ ## |\Z)", re.DOTALL)
"""How DSPy's programs have a model write its fields."""


@dataclass(frozen=True, slots=True)
class Unfolded:
    """The graph of a program's calls for one example, with its values."""

    graph: Graph
    passed: ForwardPass


@dataclass(frozen=True, slots=True)
class TracedForward(CallableForward):
    """A program whose calls of models are heard while it runs."""

    silence: Silence = field(default_factory=Silence, compare=False)

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return what the program returns, with the calls it made."""
        with recording() as heard:
            computed = await CallableForward.forward(self, node, operands, llm)
        self.silence.ran(self.code, len(heard))
        calls = (
            Call(
                node.name,
                INSIDE,
                one.messages,
                one.reply,
                one.usage,
                times=one.times,
                cost=None,
                seconds=None if one.times is None else one.times[1] - one.times[0],
            )
            for one in heard
        )
        return Computed(computed.value, tuple(calls))

    def unfolded(
        self, node: Node, operands: Operands, parameters: Mapping[str, Any], passed: ForwardPass
    ) -> Unfolded | None:
        """Return its calls as a graph; None where it made none."""
        if not (calls := passed.calls.get(node.name, ())):
            return None
        return _Unfolding(node, operands, parameters, calls).graph(passed)


@dataclass(frozen=True, slots=True)
class _Unfolding:
    """A program's calls, while a graph is made of them."""

    node: Node
    operands: Operands
    parameters: Mapping[str, Any]
    """Of the whole graph, by name."""
    calls: Sequence[Call]

    def graph(self, passed: ForwardPass) -> Unfolded:
        """Return the calls as nodes, in their order."""
        nodes: dict[str, Node] = {}
        values: dict[str, Any] = dict(self.operands.predecessors)
        pieces: dict[str, Sequence[str]] = {}
        times: dict[str, tuple[float, float] | None] = {}
        for call in self._in_order():
            said = _flat("\n".join(one.content for one in call.messages))
            used = self._used(said)
            name = self._free(f"{next(iter(used)) if len(used) == 1 else 'model'}_call", nodes)
            ended = {one: pieces[one] for one in pieces if not _overlap(times[one], call.times)}
            before = self._before(self._without(said, used), ended)
            nodes[name] = Node(name, tuple(before), used, _HEARD)
            times[name] = call.times
            values[name], pieces[name] = call.reply, list(_pieces(call.reply))
        nodes = self._with_inputs(nodes)
        output = passed.values[self.node.name]
        end, *others = last = self._last(_flat(str(output)), nodes, pieces)
        if others or _flat(str(output)) not in pieces[end]:
            end = self._free("result", nodes)
            nodes[end] = Node(end, tuple(last), {}, _HEARD, self.node.backward)
        values[end] = output
        own = dict.fromkeys(full for node in nodes.values() for full in node.parameters.values())
        held = {full: Parameter(full, self.parameters[full]) for full in own}
        graph = Graph(self.node.name, tuple(self.operands.predecessors), held, nodes, end)
        return Unfolded(graph, ForwardPass(passed.example, values, {}, {}))

    def _in_order(self) -> Sequence[Call]:
        """Return the calls as they ended; those made at the same time, as the prompts they use.

        Which of these ends first is chance, and what is asked about them should not hang on it.
        """
        if any(call.times is None for call in self.calls):
            return self.calls
        left = sorted(self.calls, key=lambda call: (call.times or ())[1:])
        ordered = []
        while left:
            first, *others = left
            together = [first, *(one for one in others if _overlap(first.times, one.times))]
            ordered.append(together[0] if len(together) == 1 else min(together, key=self._place))
            left.remove(ordered[-1])
        return ordered

    def _place(self, call: Call) -> tuple[list[int], list[str]]:
        said = [one.content for one in call.messages]
        used = self._used(_flat("\n".join(said)))
        return [number for number, name in enumerate(self.node.parameters) if name in used], said

    def _before(self, rest: str, pieces: Mapping[str, Sequence[str]]) -> Iterator[str]:
        """Yield the inputs and the earlier calls whose values stand in what a call was told."""
        for name, value in self.operands.predecessors.items():
            if _holds(rest, given := _flat(str(value))):
                yield name
                rest = rest.replace(given, " ")
        for name, found in pieces.items():
            if any(_holds(rest, piece) for piece in found):
                yield name

    def _with_inputs(self, nodes: Mapping[str, Node]) -> dict[str, Node]:
        """Return the calls, the first of which was given the inputs that are seen in none."""
        seen = {name for node in nodes.values() for name in node.predecessors}
        unseen = tuple(name for name in self.operands.predecessors if name not in seen)
        first, *_ = nodes.values()
        own = replace(first, predecessors=(*unseen, *first.predecessors))
        return {**nodes, first.name: own}

    def _used(self, said: str) -> dict[str, str]:
        """Return the prompts that stand in what was said, by their local names."""
        found = {
            local: full
            for local, full in self.node.parameters.items()
            if _stands(str(self.parameters[full]), said)
        }
        texts = {local: _flat(str(self.parameters[full])) for local, full in found.items()}
        # A prompt that is only a part of another one that stands there was not used itself.
        return {
            local: full
            for local, full in found.items()
            if not any(
                texts[local] != texts[other]
                and texts[local] in texts[other]
                and said.count(texts[local]) <= said.count(texts[other])
                for other in found
            )
        }

    def _without(self, said: str, used: Mapping[str, str]) -> str:
        for full in used.values():
            for part in _fixed(str(self.parameters[full])):
                said = said.replace(part, " ")
        return said

    def _last(
        self, output: str, nodes: Mapping[str, Node], pieces: Mapping[str, Sequence[str]]
    ) -> list[str]:
        """Return the calls that the output shows, and those whose replies nobody took up.

        What became of the latter is not seen, so that they may have led to it.
        """
        taken = {name for node in nodes.values() for name in node.predecessors}
        return [
            name
            for name in nodes
            if name not in taken or any(_holds(output, piece) for piece in pieces[name])
        ]

    def _free(self, wanted: str, nodes: Mapping[str, Node]) -> str:
        """Return a name that nothing else has."""
        known = {*nodes, *self.operands.predecessors, *self.node.parameters}
        known |= {*self.node.parameters.values()}
        name, number = wanted, 1
        while name in known:
            number += 1
            name = f"{wanted}_{number}"
        return name


def _heard(*values: Any, **parameters: Any) -> Any:
    raise AssertionError("a call that was heard is not made again")


_HEARD = CallableForward(Function(_heard, "a call that was heard"))


def _overlap(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    """Say whether two calls were under way at the same time; not where that is unknown."""
    return one is not None and other is not None and one[0] < other[1] and other[0] < one[1]


def _flat(text: str) -> str:
    return " ".join(text.split())


def _fixed(prompt: str) -> list[str]:
    """Return the parts of a prompt between what is filled in."""
    return [flat for part in _HOLE.split(prompt) if (flat := _flat(part))]


def _stands(prompt: str, said: str) -> bool:
    """Say whether a prompt stands in a text, with anything where it has holes."""
    at, parts = 0, _fixed(prompt)
    for part in parts:
        found = said.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return bool(parts)


def _holds(text: str, piece: str) -> bool:
    """Say whether a text holds another one, not as a part of a longer word or number."""
    return bool(piece) and bool(re.search(rf"(?<![\w.]){re.escape(piece)}(?!\w|\.\d)", text))


def _pieces(reply: str) -> Iterator[str]:
    """Yield a reply and the parts of it that a program may have taken out."""
    yield _flat(reply)
    yield from (_flat(inner) for _, inner in _TAGGED.findall(reply))
    yield from (_flat(inner) for inner in _MARKED.findall(reply))
    if lines := [line for line in reply.splitlines() if line.strip()]:
        yield _flat(lines[-1])
    try:
        found = json.loads(reply)
    except ValueError:
        return
    for value in found.values() if isinstance(found, dict) else ():
        yield _flat(value if isinstance(value, str) else json.dumps(value))
