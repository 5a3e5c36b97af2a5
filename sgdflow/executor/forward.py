"""The forward pass: every node's value for one example."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sgdflow.errors import NodeFailed, did_you_mean, listed
from sgdflow.executor.branches import SKIPPED, plain
from sgdflow.executor.demonstrations import to_show
from sgdflow.executor.fields import nested
from sgdflow.executor.functions import Function
from sgdflow.executor.graph import Computed, Graph, Node, Operands, Parameters
from sgdflow.executor.graph_names import SYSTEM
from sgdflow.executor.places import View
from sgdflow.executor.samples import sample_operands
from sgdflow.executor.walk import Failure, walk
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call
from sgdflow.prompting.beside import Beside, turns_of
from sgdflow.prompting.values import shortened, shown

TEMPERATURE = "temperature"
"""The parameter that is no part of a prompt: its model is asked at this temperature."""


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """All that one example made of the graph."""

    example: str
    values: Mapping[str, Any]
    """Inputs and computed nodes; a failed node has no value, a skipped one SKIPPED."""
    calls: Mapping[str, tuple[Call, ...]]
    failures: Mapping[str, Failure]
    transcripts: Mapping[str, str] = field(default_factory=dict)
    """How values came about, of nodes with tools."""

    def end(self, output: str) -> str:
        """Return where the pass ended on its way to the output: there, or where it failed."""
        return self.failures[output].origin if output in self.failures else output

    def work(self, name: str) -> Any:
        """Return what a node produced, with how that came about."""
        how = self.transcripts.get(name)
        produced = self.produced(name)
        return f"{produced}\n\nIt came to this by\n{how}" if how else produced

    def produced(self, name: str) -> Any:
        """Return a node's value; of one that failed, the reply that could not be used."""
        if name not in self.failures:
            return self.values[name]
        failure = self.failures[name]
        written = failure.calls[-1].reply if failure.calls else ""
        return shortened(written) if written.strip() else "(nothing)"


@dataclass(frozen=True, slots=True)
class PromptForward:
    """A forward function that asks a model."""

    ask: Ask
    system: str = ""
    """The system message, where no parameter of the node is it."""
    about: str = ""
    """What writers are told of the model."""
    history: str = ""
    """The predecessor whose turns stand before the prompt."""
    images: tuple[str, ...] = ()
    """The predecessors that are shown as images."""
    sight: Callable[[Any], str] = str
    """Returns a value as a data URL; raises ValueError where it is no image."""

    @property
    def largest(self) -> str:
        """Return nothing: a model may write any length."""
        return ""

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return the model's output."""
        return await self.sampled(node, operands, llm, 0)

    async def sampled(self, node: View, operands: Operands, llm: LLM, sample: int) -> Computed:
        """Return one of several outputs that the model may give."""
        variables = self._variables(node, operands)
        beside = self._beside(operands)
        answered = await self.ask.send(llm, node.name, variables, sample=sample, beside=beside)
        return Computed(answered.texts[""], (answered.call,))

    @property
    def requests(self) -> int:
        """Return how many calls a value takes."""
        return 1

    @property
    def is_text(self) -> bool:
        """Return whether its value is one text, and has no fields."""
        return self.ask.reply.schema is None

    @property
    def has_fields(self) -> bool:
        """Return whether its value is what one reply holds, by field."""
        return not self.is_text

    @property
    def code(self) -> str:
        """Return nothing: a model answers."""
        return ""

    @property
    def described(self) -> str:
        """Return who is asked, with what."""
        return exchange(self.ask)

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what is wrong with the template for this node."""
        for name in filter(None, (self.history, *self.images)):
            if name not in node.predecessors:
                yield (
                    f"'{name}' is to be shown, and is no predecessor of the node."
                    f"{did_you_mean(name, node.predecessors)} "
                    f"Predecessors: {listed(node.predecessors)}."
                )
        sample = self._variables(*sample_operands(node))
        yield from self.ask.problems(sample, f"node '{node.name}'")

    def unshown(self, node: Node) -> Sequence[str]:
        """Return the predecessors and parameters of which the template never speaks."""
        said = self.ask.prompts.mentioned(self.ask.prompt)
        groups = (("predecessors", node.predecessors), ("parameters", tuple(node.parameters)))
        return [
            name
            for group, names in groups
            for name in names
            if name not in self._apart
            and not said & {name.partition(".")[0], "" if name == SYSTEM else group}
            and (group == "predecessors" or "node" not in said)
        ]

    def frame(self, node: View, operands: Operands) -> str:
        """Return what the model is sent, as one text."""
        messages = self.ask.messages(self._variables(node, operands))
        # Turns and images are others for each query.
        return "\n\n".join(f"[{said.role}]\n{said.content}" for said in messages)

    @property
    def _apart(self) -> Collection[str]:
        """Return what no text of the prompt has to show."""
        return {self.history, *self.images, TEMPERATURE}

    def _beside(self, operands: Operands) -> Beside:
        given, name = operands.predecessors, self.history
        try:
            turns = turns_of(given[name]) if name else ()
            images = []
            for name in self.images:
                images.append(self.sight(given[name]))
        except ValueError as error:
            raise NodeFailed(f"'{name}' {error}") from error
        return Beside(turns, tuple(images), temperature=_temperature(operands))

    def _variables(self, node: View, operands: Operands) -> Mapping[str, Any]:
        """Return what a forward template may use; operands also stand under their own names."""
        apart = {SYSTEM} if _temperature(operands) is None else {SYSTEM, TEMPERATURE}
        return {
            "system": self.system,
            **nested(operands.all()),
            "node": node,
            "predecessors": shown(
                {n: v for n, v in operands.predecessors.items() if n not in self._apart}
            ),
            "parameters": to_show({n: v for n, v in operands.parameters.items() if n not in apart}),
        }


def _temperature(operands: Operands) -> float | None:
    """Return the temperature that a parameter says; a text of this name is one like others."""
    said = operands.parameters.get(TEMPERATURE)
    return said if isinstance(said, int | float) else None


@dataclass(frozen=True, slots=True)
class CallableForward:
    """A forward function in Python: predecessors by position, parameters by name."""

    function: Function
    ask: None = None
    requests: int = 0
    largest: str = ""

    @property
    def code(self) -> str:
        """Return the name of the function."""
        return self.function.name

    @property
    def described(self) -> str:
        """Return the function."""
        return f"python {self.function.name}"

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return what the function returns."""
        values = plain(operands.predecessors.values())
        return Computed(await self.function(*values, **operands.parameters))

    def problems(self, node: Node) -> Iterator[str]:
        """Yield why the function cannot take this node's operands."""
        yield from self.function.problems(*node.predecessors, **{n: n for n in node.parameters})


def exchange(ask: Ask) -> str:
    """Say who is asked, with what."""
    return f"prompts/{ask.prompt}, model {ask.role}, reply {ask.reply.format}"


async def forward_pass(
    graph: Graph,
    parameters: Parameters,
    example: str,
    inputs: Mapping[str, Any],
    llm: LLM,
    given: Mapping[str, Any] | None = None,
) -> ForwardPass:
    """Compute every node that is not given; each starts as soon as its predecessors are done."""
    values: dict[str, Any] = {name: inputs[name] for name in graph.inputs}
    known = given or {}

    async def visit(name: str) -> Computed:
        if name in known:
            values[name] = known[name]
            return Computed(known[name])
        operands = graph.operands(name, parameters, values)
        if await _is_skipped(graph, name, operands):
            values[name] = SKIPPED
            return Computed(SKIPPED)
        computed = await graph.nodes[name].forward.forward(
            graph.view(name, parameters), operands, llm
        )
        values[name] = computed.value
        return computed

    walked = await walk(graph.upstream, visit)
    in_order = {**{name: values[name] for name in graph.inputs}}
    in_order |= {name: computed.value for name, computed in walked.results.items()}
    calls = {name: computed.calls for name, computed in walked.results.items()}
    how = {name: made.transcript for name, made in walked.results.items() if made.transcript}
    return ForwardPass(example, in_order, calls, walked.failures, how)


async def _is_skipped(graph: Graph, name: str, operands: Operands) -> bool:
    """Return whether a node's condition does not hold, or all nodes before it were skipped."""
    before = [operands.predecessors[one] for one in graph.upstream[name]]
    when = graph.nodes[name].when
    if before and all(value is SKIPPED for value in before):
        if name == graph.output:
            raise NodeFailed("all nodes before it were skipped, so that there is no output")
        return True
    return when is not None and not await when.holds(operands.predecessors)


def given_written(graph: Graph) -> frozenset[str]:
    """Return the nodes that work with what a model wrote: a value, or code with a parameter.

    The text of a prompt can make no template fail, that of a function's parameter may.
    """
    found: set[str] = set()
    for name in graph.order:
        node = graph.nodes[name]
        before = any(
            p in found or (p in graph.nodes and graph.nodes[p].forward.ask is not None)
            for p in node.predecessors
        )
        code = node.forward.ask is None
        own = any(parameter in graph.optimisable for parameter in node.parameters.values())
        if before or (code and own):
            found.add(name)
    return frozenset(found)


def forward_roles(graph: Graph) -> Mapping[str, str]:
    """Return the role that each language-model node names."""
    return {
        name: ask.role
        for name, node in graph.nodes.items()
        if (ask := node.forward.ask) is not None
    }
