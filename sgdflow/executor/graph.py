"""The computational graph: inputs, parameters and nodes, frozen and checked when built."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, Protocol

from sgdflow.errors import GraphError
from sgdflow.executor.branches import Condition
from sgdflow.executor.constraints import Constraints
from sgdflow.executor.demonstrations import read
from sgdflow.executor.graph_names import problems
from sgdflow.executor.graph_paths import cycle, seen_through, unused
from sgdflow.executor.places import Places, View
from sgdflow.llm import LLM
from sgdflow.prompting.ask import Ask, Call

Parameters = Mapping[str, Any]
"""Parameter name -> value; a text, or a number in numeric graphs."""


@dataclass(frozen=True, slots=True)
class Operands:
    """What a node is computed from, in declared order."""

    predecessors: Mapping[str, Any]
    parameters: Mapping[str, Any]
    """By the node's own (local) names."""

    def all(self) -> Mapping[str, Any]:
        """Return predecessors and parameters by name; a node's names never collide."""
        return {**self.predecessors, **self.parameters}


@dataclass(frozen=True, slots=True)
class Computed:
    """A value and the calls that were made for it."""

    value: Any
    calls: tuple[Call, ...] = ()
    transcript: str = ""
    """How it came about, where more was done than to ask once."""


class ForwardFunction(Protocol):
    """Computes a node's value."""

    @property
    def ask(self) -> Ask | None:
        """Return how it asks a model; None: it is code."""

    @property
    def requests(self) -> int:
        """Return how many calls of models a value takes at most."""

    @property
    def code(self) -> str:
        """Return the name of the code that computes it; empty where a model does."""

    @property
    def described(self) -> str:
        """Return in words how a value comes about."""

    @property
    def largest(self) -> str:
        """Return a value as large as one can be; empty where nobody can tell."""

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return the value for these operands; raises NodeFailed."""

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what would go wrong at this node, before anything is computed."""


class BackwardFunction(Protocol):
    """Turns a node's gradient into gradients of what it was computed from."""

    def targets(
        self, node: Node, reach: Collection[str], optimised: Collection[str]
    ) -> Sequence[str]:
        """Return whose gradients are of use at a node.

        Predecessors in `reach`; where it gives them, optimised parameters by their local names,
        or the node itself for what all its parameters lack.
        """

    async def backward(
        self,
        node: View,
        operands: Operands,
        output: Any,
        gradient: Any,
        targets: Sequence[str],
        llm: LLM,
    ) -> Computed:
        """Return a mapping from targets to gradients; raises NodeFailed.

        `gradient` is what the declared aggregation made of the node's gradients. Of names that
        are no targets nothing is used.
        """

    def problems(self, node: Node) -> Iterator[str]:
        """Yield what would go wrong at this node, before anything is computed."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A text (or number) that the forward functions of its nodes use."""

    name: str
    initial: Any
    frozen: bool = False
    constraints: Constraints = field(default_factory=Constraints)
    demonstrations: int = 0
    """How many demonstrations it holds at most; 0: it is a text, or a number."""


@dataclass(frozen=True, slots=True)
class Node:
    """A computed variable."""

    name: str
    predecessors: tuple[str, ...]
    parameters: Mapping[str, str]
    """Local name -> name of the parameter in the graph."""
    forward: ForwardFunction
    backward: BackwardFunction | None = None
    """None: the method's."""
    when: Condition | None = None
    """None: it is always computed."""


@dataclass(frozen=True)
class Graph:
    """A directed acyclic graph of variables with one output."""

    name: str
    inputs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    nodes: Mapping[str, Node]
    output: str

    def __post_init__(self) -> None:
        found = list(problems(self)) or list(cycle(self)) or list(unused(self))
        if found:
            raise GraphError("\n".join(f"graph {self.name}: {problem}" for problem in found))

    @cached_property
    def upstream(self) -> Mapping[str, tuple[str, ...]]:
        """Return each node's predecessors that are nodes."""
        return {
            name: tuple(p for p in node.predecessors if p in self.nodes)
            for name, node in self.nodes.items()
        }

    @cached_property
    def successors(self) -> Mapping[str, tuple[str, ...]]:
        """Return each variable's successors in declared order; parameters included."""
        found: dict[str, list[str]] = {v: [] for v in (*self.inputs, *self.parameters, *self.nodes)}
        for name, node in self.nodes.items():
            for variable in dict.fromkeys((*node.predecessors, *node.parameters.values())):
                found[variable].append(name)
        return {variable: tuple(names) for variable, names in found.items()}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Return the nodes in a topological order."""
        return tuple(TopologicalSorter(self.upstream).static_order())

    @cached_property
    def width(self) -> int:
        """Return how many calls one example makes at the same time, at most."""
        depth: dict[str, int] = {}
        calls = Counter[int]()
        for name in self.order:
            depth[name] = 1 + max((depth[node] for node in self.upstream[name]), default=0)
            calls[depth[name]] += self.nodes[name].forward.requests
        return max(calls.values())

    @cached_property
    def optimisable(self) -> tuple[str, ...]:
        """Return the names of the parameters that are not frozen."""
        return tuple(name for name, parameter in self.parameters.items() if not parameter.frozen)

    def upto(self, name: str) -> Graph:
        """Return the part of it that one of its nodes takes, which is the output then."""
        needed = {name}
        for node in reversed(self.order):
            if node in needed:
                needed.update(self.nodes[node].predecessors)
        nodes = {node: one for node, one in self.nodes.items() if node in needed}
        return replace(self, nodes=nodes, output=name)

    def initial(self) -> Parameters:
        """Return the parameters as declared."""
        return {name: parameter.initial for name, parameter in self.parameters.items()}

    def reach(self, optimised: Collection[str]) -> frozenset[str]:
        """Return the nodes that depend on one of these parameters: only they need gradients."""
        reached: set[str] = set()
        for name in self.order:
            node = self.nodes[name]
            own = any(parameter in optimised for parameter in node.parameters.values())
            if own or any(p in reached for p in node.predecessors):
                reached.add(name)
        return frozenset(reached)

    def independent(self, some: Collection[str], others: Collection[str]) -> bool:
        """Return whether no node of some of these parameters lies on a way from one of others."""
        ours, theirs = (
            {node for parameter in these for node in self.successors[parameter]}
            for these in (some, others)
        )
        return not (ours & self.reach(others) or theirs & self.reach(some))

    def learning_before(self, optimised: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """Return the nodes that each takes values from, and that use one of these parameters.

        Those between them, that use none, are seen through.
        """
        ways = {name: node.predecessors for name, node in self.nodes.items()}
        used = {name for p in optimised for name in self.successors[p]}
        return seen_through(ways, used)

    def operands(self, name: str, parameters: Parameters, values: Mapping[str, Any]) -> Operands:
        """Return what a node is computed from, given all values upstream of it."""
        node = self.nodes[name]
        given = {p: values[p] for p in node.predecessors}
        told = {
            local: self._told_as(self.parameters[full], parameters[full], given)
            for local, full in node.parameters.items()
        }
        return Operands(given, told)

    @cached_property
    def _places(self) -> Places:
        return Places(self)

    @staticmethod
    def _told_as(parameter: Parameter, value: Any, given: Mapping[str, Any]) -> Any:
        """Return a parameter's value as its node is given it."""
        if parameter.demonstrations:
            return read(value).beside(given)
        numbers = parameter.constraints.number
        return value if numbers is None else numbers.read(str(value))

    def view(
        self, name: str, parameters: Parameters, values: Mapping[str, Any] | None = None
    ) -> View:
        """Return a node's place, and of an example's values those that only others were given."""
        return self._places.of(name, parameters, values or {})
