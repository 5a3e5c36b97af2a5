"""The backward pass: semantic gradients from the output to everything that can be optimised.

For a variable v, arXiv 2412.03624 section 3:
gradient(v) = A( h_w(Pred(w), w, gradient(w)) restricted to v, for each successor w of v ).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sgdflow.errors import OVERFLOW, NodeFailed, plural
from sgdflow.executor.backward_functions import handed_on
from sgdflow.executor.branches import present
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.gradients import (
    LOSS,
    Aggregation,
    Gradient,
    Gradients,
    as_gradients,
    collect,
)
from sgdflow.executor.graph import BackwardFunction, Computed, Graph, Node, Operands, Parameters
from sgdflow.executor.places import View
from sgdflow.executor.reasons import reasons
from sgdflow.executor.successes import Right
from sgdflow.executor.trace import TracedForward, Unfolded
from sgdflow.executor.tree import Tree
from sgdflow.executor.walk import Failure, walk
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Call
from sgdflow.prompting.values import MOST


@dataclass(frozen=True, slots=True)
class BackwardPass:
    """The gradients of one example, by variable: nodes and, where given, parameters."""

    example: str
    gradients: Mapping[str, Gradients]
    """As they arrived, in the order of the successors; no gradient is an empty tuple."""
    aggregated: Mapping[str, Any]
    calls: Mapping[str, tuple[Call, ...]]
    failures: Mapping[str, Failure]
    joined: Mapping[str, Gradient] = field(default_factory=dict)
    """The summary of those that arrived, where there were many and a tree joins them."""
    within: Mapping[str, Within] = field(default_factory=dict)
    """By node: what became of the calls that a program made."""


@dataclass(frozen=True, slots=True)
class Within:
    """A program's calls as a graph, and the backward pass over them."""

    unfolded: Unfolded
    backward: BackwardPass

    def told(self, parameter: str) -> str:
        """Return what the calls that use a parameter were told, as one text; "" for nothing."""
        nodes = self.unfolded.graph.successors.get(parameter, ())
        said = [one.value for name in nodes for one in self.backward.gradients.get(name, ())]
        return "\n\n".join(dict.fromkeys(map(str, said)))


@dataclass(frozen=True, slots=True)
class Differentiation:
    """How a method differentiates: its default backward function and its aggregation."""

    default: BackwardFunction
    aggregate: Aggregation = collect
    asks: Callable[[Any], bool] | None = None
    """Whether a gradient asks for a change; nodes with none make no call. None: all do."""
    tree: Tree | None = None
    """What sums up the gradients of a node with many successors, after the aggregation."""
    successes: int = 0
    """Pieces of right work that a critic is shown."""
    overflow: Tree | None = None
    """What does where they do not fit the critic's context window; None: nothing."""
    calls: bool = True
    """Whether the default makes calls, which may be spared."""


async def backward_pass(
    graph: Graph,
    parameters: Parameters,
    forward: ForwardPass,
    feedback: Any,
    optimised: Collection[str],
    how: Differentiation,
    llm: LLM,
    right: Right | None = None,
) -> BackwardPass:
    """Propagate feedback on the output to all nodes that depend on an optimised parameter.

    What was skipped neither receives nor passes on a gradient.
    Where there is no output, the feedback is for the node that failed, and for what it was given.
    """
    optimised = frozenset(optimised)  # each node looks for its own among them
    taken = present(forward.values).keys() | forward.failures.keys()
    reach = graph.reach(optimised) & taken
    told = graph, parameters, forward, feedback, optimised
    under_way = _UnderWay(*told, reach, how, llm, right)
    upstream = {
        v: [s for s in graph.successors[v] if s in reach] for v in graph.nodes if v in reach
    }
    walked = await walk(upstream, under_way.visit)
    failures = {**walked.failures, **under_way.reach_parameters()}
    arrived, aggregated = under_way.arrived, under_way.aggregated
    order = [v for v in (*graph.parameters, *graph.nodes) if v in arrived]
    return BackwardPass(
        forward.example,
        {v: arrived[v] for v in order},
        {v: aggregated[v] for v in order if v in aggregated},
        walked.results,
        failures,
        {v: under_way.joined[v] for v in order if v in under_way.joined},
        under_way.within,
    )


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A backward pass, and what it has found so far."""

    graph: Graph
    parameters: Parameters
    forward: ForwardPass
    feedback: Any
    optimised: Collection[str]
    reach: Collection[str]
    """The variables that depend on what is optimised."""
    how: Differentiation
    llm: LLM
    right: Right | None = None
    received: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each node gave the variables before it."""
    arrived: dict[str, Gradients] = field(default_factory=dict)
    aggregated: dict[str, Any] = field(default_factory=dict)
    joined: dict[str, Gradient] = field(default_factory=dict)
    within: dict[str, Within] = field(default_factory=dict)

    async def visit(self, name: str) -> tuple[Call, ...]:
        """Differentiate a node whose successors have been."""
        self.arrived[name] = self._gather(name)
        if not self.arrived[name]:
            return ()
        self.aggregated[name] = _aggregated(self.how, self.arrived[name])
        node = self.graph.nodes[name]
        asks = self.how.asks if self.how.calls or node.backward else None
        if asks is not None and not any(asks(one.value) for one in self.arrived[name]):
            return ()
        function = node.backward or self.how.default
        targets = function.targets(node, self.reach, self.optimised)
        operands = self.graph.operands(name, self.parameters, self.forward.values)
        calls = (*await self._joined(name), *await self._inside(node, operands))
        if name in self.within:
            targets = [one for one in targets if one not in node.parameters and one != name]
        if not targets:
            return calls

        try:
            computed = await self._differentiated(node, function, operands, targets)
        except NodeFailed as error:
            raise NodeFailed(str(error), (*calls, *error.calls), error.kind) from error
        given = self._by_variable(node, computed.value)
        self.received[name] = {**given, **self.received.get(name, {})}
        return (*calls, *computed.calls)

    async def _differentiated(
        self, node: Node, function: BackwardFunction, operands: Operands, targets: Sequence[str]
    ) -> Computed:
        """Ask for gradients: with a summary of those that arrived, where they are too long."""
        name, work, before = node.name, self.forward.work(node.name), tuple[Call, ...]()

        async def ask() -> Computed:
            arrived = self.aggregated[name]
            return await function.backward(
                self._view(node), operands, work, arrived, targets, self.llm
            )

        try:
            return await ask()
        except NodeFailed as error:
            tree, several = self.how.overflow, len(as_gradients(self.aggregated[name])) > 1
            if error.kind != OVERFLOW or tree is None or not several:
                raise
            before = error.calls
        try:
            before = (*before, *await self._join(name, tree))
            computed = await ask()
        except NodeFailed as error:
            raise NodeFailed(str(error), (*before, *error.calls), error.kind) from error
        return replace(computed, calls=(*before, *computed.calls))

    def _view(self, node: Node) -> View:
        """Return a node's place, with how it and those before it came to their values."""
        view = self.graph.view(node.name, self.parameters, self.forward.values)
        known = reasons(self.graph, self.forward, node.name)
        right = self.right.like(node, self.forward) if self.right else ()
        return replace(view, reasons=known, successes=right) if known or right else view

    async def _joined(self, name: str) -> tuple[Call, ...]:
        """Put a summary in the place of many gradients, where that is declared."""
        tree, gradients = self.how.tree, as_gradients(self.aggregated[name])
        if tree is None or len(gradients) < tree.fewest:
            return ()
        if not all(isinstance(one.value, str) for one in gradients):
            return ()  # numbers make no summary
        try:
            return await self._join(name, tree)
        except NodeFailed as error:
            if (many := len(gradients)) <= MOST:
                raise
            of = f"of its {plural(many, 'gradient')} {MOST} are shown to those who write for it"
            raise NodeFailed(f"{error}; {of}", error.calls, error.kind) from error

    async def _join(self, name: str, tree: Tree) -> tuple[Call, ...]:
        """Put a summary in the place of several gradients; return the calls it took."""
        gradients = as_gradients(self.aggregated[name])
        shown = {
            "node": self.graph.view(name, self.parameters).few(),
            "output": self.forward.produced(name),
        }
        found = await tree.join(
            gradients, lambda group: {**shown, "gradients": group}, name, self.llm
        )
        summary = found.summary
        self.joined[name] = Gradient(f"{summary.of} successors", summary.text)
        self.aggregated[name] = (self.joined[name],)
        return found.calls

    async def _inside(self, node: Node, operands: Operands) -> tuple[Call, ...]:
        """Differentiate a program's own calls, as if each were a node, for its parameters."""
        own = [full for full in node.parameters.values() if full in self.optimised]
        if not own or not isinstance(node.forward, TracedForward):
            return ()
        unfolded = node.forward.unfolded(node, operands, self.parameters, self.forward)
        if unfolded is None or not (
            optimised := [p for p in own if p in unfolded.graph.parameters]
        ):
            return ()  # what was heard tells nothing of these prompts
        said = (str(one.value) for one in as_gradients(self.aggregated[node.name]))
        feedback = "\n\n".join(dict.fromkeys(said))
        backward = await backward_pass(
            unfolded.graph,
            self.parameters,
            unfolded.passed,
            feedback,
            optimised,
            self.how,
            self.llm,
        )
        self.within[node.name] = found = Within(unfolded, backward)
        told = {name: found.told(name) for name in own}
        self.received[node.name] = {name: text for name, text in told.items() if text}
        return tuple(call for calls in backward.calls.values() for call in calls)

    def reach_parameters(self) -> Mapping[str, Failure]:
        """Gather the gradients of the parameters; return why those of some do not join."""
        failures = {}
        for parameter in self.graph.optimisable:
            if parameter in self.optimised and (gradients := self._gather(parameter)):
                self.arrived[parameter] = gradients
                try:
                    self.aggregated[parameter] = _aggregated(self.how, gradients)
                except NodeFailed as error:
                    failures[parameter] = Failure(parameter, str(error), error.calls, error.kind)
        return failures

    def _by_variable(self, node: Node, gradients: Mapping[str, Any]) -> dict[str, Any]:
        """Name gradients by the graph's variables instead of the node's local names."""
        own = [full for full in node.parameters.values() if full in self.optimised]
        found: dict[str, Any] = {}
        for name, gradient in gradients.items():
            itself = name == node.name and name not in node.parameters
            variables = own if itself else [node.parameters.get(name, name)]
            found |= dict.fromkeys(variables, gradient)
        return found

    def _gather(self, variable: str) -> Gradients:
        start = self.forward.end(self.graph.output)
        first = (Gradient(LOSS, self.feedback),) if variable == start else ()
        nodes = self.graph.nodes
        given = tuple(
            Gradient(s, self.received[s][variable], handed_on(nodes[s].backward, self.arrived[s]))
            for s in self.graph.successors[variable]
            if variable in self.received.get(s, {})
        )
        return first + given


def _aggregated(how: Differentiation, gradients: Gradients) -> Any:
    try:
        return how.aggregate(gradients)
    except (Exception, SystemExit) as error:
        raise NodeFailed(f"aggregation raised {type(error).__name__}: {error}") from error
