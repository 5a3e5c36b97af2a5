"""With numbers in place of texts, a backward pass is reverse-mode automatic differentiation.

Graphs are drawn from a size and a seed, so that a failing one can be built again by hand. What the
executor makes of them is compared with the independent library autograd and with finite
differences; neither of the two sees the executor or the derivatives that the nodes declare.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import autograd.numpy as anp
import pytest
from autograd import grad
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sgdflow.data import Example
from sgdflow.executor.backward import BackwardPass, Differentiation, backward_pass
from sgdflow.executor.backward_functions import CallableBackward
from sgdflow.executor.forward import CallableForward, ForwardPass, forward_pass
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import LOSS, Gradient, total
from sgdflow.executor.graph import BackwardFunction, Graph, Node, Parameter
from sgdflow.executor.loss import CallableLoss
from sgdflow.executor.walk import together
from sgdflow.llm.scripted import ScriptedLLM

Operands = Mapping[str, float]
Derived = Mapping[str, float]

LARGEST = 1.2
"""Of all inputs and parameters."""
bounded = settings(derandomize=True, deadline=None, database=None, max_examples=120)


# Node functions: predecessors by position, parameters by name.


def add(*values: Any, **parameters: Any) -> Any:
    return sum(values) + sum(parameters.values())


def multiply(*values: Any, **parameters: Any) -> Any:
    return math.prod([*values, *parameters.values()])


def sine(*values: Any) -> Any:
    return anp.sin(sum(values))


def squash(*values: Any) -> Any:
    return anp.tanh(sum(values) / len(values))


def grow(*values: Any, rate: float) -> Any:
    return anp.exp(rate * sum(values))


def affine(*values: Any, bias: Any, **weights: Any) -> Any:
    return bias + sum(weights[f"weight_{i}"] * value for i, value in enumerate(values))


def wave(value: Any, *, height: Any, speed: Any, start: Any) -> Any:
    return height * anp.sin(speed * value + start)


# Their derivatives, as a user declares them: (operands, output, gradient) -> gradients by name.


def d_add(operands: Operands, output: float, gradient: float) -> Derived:
    return dict.fromkeys(operands, gradient)


def d_multiply(operands: Operands, output: float, gradient: float) -> Derived:
    return {
        name: gradient * math.prod(value for other, value in operands.items() if other != name)
        for name in operands
    }


def d_sine(operands: Operands, output: float, gradient: float) -> Derived:
    return dict.fromkeys(operands, gradient * math.cos(sum(operands.values())))


def d_squash(operands: Operands, output: float, gradient: float) -> Derived:
    middle = sum(operands.values()) / len(operands)
    return dict.fromkeys(operands, gradient / math.cosh(middle) ** 2 / len(operands))


def d_grow(operands: Operands, output: float, gradient: float, rate: float) -> Derived:
    return dict.fromkeys(operands, gradient * rate * output)


def d_affine(operands: Operands, output: float, gradient: float) -> Derived:
    values = {n: v for n, v in operands.items() if n != "bias" and not n.startswith("weight_")}
    found = {"bias": gradient}
    for i, (name, value) in enumerate(values.items()):
        found[name] = gradient * operands[f"weight_{i}"]
        found[f"weight_{i}"] = gradient * value
    return found


def d_wave(operands: Operands, output: float, gradient: float) -> Derived:
    value_name, value = next(iter(operands.items()))
    height, speed, start = (operands[name] for name in ("height", "speed", "start"))
    slope = height * math.cos(speed * value + start)
    return {
        value_name: gradient * slope * speed,
        "height": gradient * math.sin(speed * value + start),
        "speed": gradient * slope * value,
        "start": gradient * slope,
    }


@dataclass(frozen=True)
class Operation:
    compute: Callable[..., Any]
    derive: Callable[..., Derived]
    locals_for: Callable[[int], list[str]]
    """Names of its parameters, given how many predecessors there are."""
    constants: Mapping[str, float]


def operation(
    compute: Callable[..., Any],
    derive: Callable[..., Derived],
    locals_for: Callable[[int], list[str]] = lambda n: [],
    **constants: float,
) -> Operation:
    return Operation(compute, derive, locals_for, constants)


ADD = operation(add, d_add)
SHIFT = operation(add, d_add, lambda n: ["shift"])
MULTIPLY = operation(multiply, d_multiply)
SCALE = operation(multiply, d_multiply, lambda n: ["factor"])
SINE = operation(sine, d_sine)
SQUASH = operation(squash, d_squash)
GROW = operation(grow, d_grow, rate=0.1)
AFFINE = operation(affine, d_affine, lambda n: ["bias", *(f"weight_{i}" for i in range(n))])
WAVE = operation(wave, d_wave, lambda n: ["height", "speed", "start"])
OF_MANY = (ADD, SHIFT, MULTIPLY, SCALE, SINE, SQUASH, GROW, AFFINE)


@dataclass(frozen=True)
class Drawn:
    """A random graph, and what is needed to compute it without the executor."""

    graph: Graph
    order: tuple[str, ...]
    """Its nodes in the order in which they were drawn, which is topological."""
    operations: Mapping[str, Operation]
    optimised: tuple[str, ...]
    parameters: Mapping[str, float]
    called: Counter[str]
    """How often each node's derivative was asked for."""

    def loss(self, example: Example, theta: Any) -> Any:
        """Return the squared error; theta holds the parameters, then what is added to each node.

        The derivative with respect to what is added to a node is the gradient of the node.
        """
        values: dict[str, Any] = dict(example.inputs)
        parameters = dict(zip(self.parameters, theta, strict=False))
        added = dict(zip(self.order, theta[len(parameters) :], strict=True))
        for name in self.order:
            node, op = self.graph.nodes[name], self.operations[name]
            own = {local: parameters[full] for local, full in node.parameters.items()}
            operands = [values[p] for p in node.predecessors]
            values[name] = op.compute(*operands, **own, **op.constants) + added[name]
        return 0.5 * (values[self.graph.output] - example.target) ** 2

    def theta(self) -> Any:
        return anp.array([*self.parameters.values(), *[0.0] * len(self.order)])

    def by_autograd(self, examples: Sequence[Example]) -> Mapping[str, float]:
        gradient = grad(lambda theta: sum(self.loss(one, theta) for one in examples))(self.theta())
        return dict(zip((*self.parameters, *self.order), map(float, gradient), strict=True))

    def by_differences(self, examples: Sequence[Example]) -> Mapping[str, float]:
        theta, step = self.theta(), 1e-5
        # Column i moves the i-th number; all columns are computed at once.
        apart = step * anp.eye(len(theta))
        above, below = (
            sum(self.loss(one, theta[:, None] + moved) for one in examples)
            for moved in (apart, -apart)
        )
        slopes = (above - below) / (2 * step)
        return dict(zip((*self.parameters, *self.order), map(float, slopes), strict=True))


def draw(size: int, seed: int) -> Drawn:
    """Return a graph of so many nodes: shared nodes, diamonds, fan-out, skip edges."""
    random = Random(f"{size}/{seed}")
    inputs = [f"x_{i}" for i in range(random.randint(1, 3))]
    order = [f"n_{i}" for i in range(size)]
    predecessors = _edges(order, inputs, random)
    pool = {f"shared_{i}": _number(random) for i in range(random.randint(0, 4))}
    parameters: dict[str, float] = {}
    called: Counter[str] = Counter()
    nodes, operations = {}, {}
    bounds = dict.fromkeys(inputs, LARGEST)
    for name in order:
        before = predecessors[name]
        op, bounds[name] = _operation([bounds[p] for p in before], random)
        given: dict[str, str] = {}
        for local in op.locals_for(len(before)):
            left = [shared for shared in pool if shared not in given.values()]
            shared = bool(left) and random.random() < 0.4
            full = random.choice(left) if shared else f"{name}.{local}"
            parameters[full] = pool[full] if shared else _number(random)
            given[local] = full
        operations[name] = op
        nodes[name] = Node(
            name,
            tuple(before),
            given,
            CallableForward(Function(op.compute, op.compute.__name__, op.constants)),
            # Sums are left to the method's default.
            None if op.derive is d_add else _counted(name, op, called),
        )
    declared = random.sample(order, size)
    frozen = {name for name in parameters if random.random() < 0.2}
    graph = Graph(
        "drawn",
        tuple(inputs),
        {name: Parameter(name, value, name in frozen) for name, value in parameters.items()},
        {name: nodes[name] for name in declared},
        order[-1],
    )
    keep = random.choice((1.0, 0.7, 0.1))
    optimised = tuple(name for name in graph.optimisable if random.random() < keep)
    return Drawn(graph, tuple(order), operations, optimised, parameters, called)


def _edges(order: Sequence[str], inputs: Sequence[str], random: Random) -> dict[str, list[str]]:
    """Return predecessors such that every node leads to the last one."""
    found: dict[str, list[str]] = {name: [] for name in order}
    farthest = random.choice((2, 4, 20))  # from deep to wide
    for i, name in enumerate(order[:-1]):
        near = min(i + random.randint(1, farthest), len(order) - 1)
        skips = [random.randrange(i + 1, len(order)) for _ in range(random.choice((0, 0, 1, 3)))]
        for user in {near, *skips}:
            found[order[user]].append(name)
    for before in found.values():
        if not before or random.random() < 0.1:
            before.append(random.choice(inputs))
        random.shuffle(before)
    return found


def _operation(bounds: Sequence[float], random: Random) -> tuple[Operation, float]:
    """Return an operation that keeps values small, and the bound of its value."""
    op = WAVE if len(bounds) == 1 and random.random() < 0.3 else random.choice(OF_MANY)
    if op in (WAVE, SINE, SQUASH):
        return op, LARGEST
    locals_ = dict.fromkeys(op.locals_for(len(bounds)), LARGEST)
    bound = float(op.compute(*bounds, **locals_, **op.constants))
    return (op, bound) if bound < 8 else (SQUASH, LARGEST)


def _number(random: Random) -> float:
    """Return a number far from 0, so that gradients do not all vanish."""
    return random.choice((-1, 1)) * random.uniform(0.6, LARGEST)


def _counted(name: str, op: Operation, called: Counter[str]) -> BackwardFunction:
    def derive(operands: Operands, output: float, gradient: float, **constants: float) -> Derived:
        called[name] += 1
        return op.derive(operands, output, gradient, **constants)

    return CallableBackward(Function(derive, f"d_{name}", op.constants))


def _difference(output: float, target: float) -> float:
    """Return the derivative of the loss, half the squared error."""
    return output - target


LOSS_FUNCTION = CallableLoss(Function(_difference, "difference"))
HOW = Differentiation(CallableBackward(Function(d_add, "d_add")), total)


async def _passes(
    graph: Graph, parameters: Mapping[str, float], one: Example, optimised: Sequence[str]
) -> tuple[ForwardPass, BackwardPass]:
    llm = ScriptedLLM({})  # has no reply: numeric graphs call no model
    forward = await forward_pass(graph, parameters, one.id, one.inputs, llm)
    assert not forward.failures
    output = forward.values[graph.output]
    feedback = await LOSS_FUNCTION.feedback(one, output, 0.0)
    return forward, await backward_pass(
        graph, parameters, forward, feedback.value, optimised, HOW, llm
    )


def examples_for(drawn: Drawn, count: int) -> list[Example]:
    random = Random(f"{len(drawn.order)}/{count}")
    return [
        Example(str(i), {x: _number(random) for x in drawn.graph.inputs}, 3 * _number(random))
        for i in range(count)
    ]


def assert_is_gradient(
    found: Mapping[str, float], drawn: Drawn, examples: Sequence[Example]
) -> None:
    derivatives, differences = drawn.by_autograd(examples), drawn.by_differences(examples)
    for name, gradient in found.items():
        assert gradient == pytest.approx(derivatives[name], rel=1e-9, abs=1e-15), name
        assert gradient == pytest.approx(differences[name], rel=1e-5, abs=1e-7), name


@bounded
@given(size=st.integers(1, 200), seed=st.integers(0, 10**6))
@example(size=1, seed=0)
@example(size=200, seed=0)
def test_gradients_on_random_graphs_equal_automatic_differentiation(size: int, seed: int) -> None:
    drawn = draw(size, seed)
    graph = drawn.graph
    (one,) = examples_for(drawn, 1)
    forward, backward = asyncio.run(_passes(graph, drawn.parameters, one, drawn.optimised))
    error = forward.values[graph.output] - one.target
    assert 0.5 * error**2 == pytest.approx(drawn.loss(one, drawn.theta()), rel=1e-12)
    assert not backward.failures

    # What is in reach has a gradient; what is not, or is frozen, has none.
    reach = graph.reach(drawn.optimised)
    assert set(backward.aggregated) == {*reach, *drawn.optimised}
    assert_is_gradient(backward.aggregated, drawn, [one])

    # Each derivative in reach is asked for once, however many paths lead through it.
    counted = {name for name in reach if graph.nodes[name].backward is not None}
    assert drawn.called == Counter(counted)
    for variable, arrived in backward.gradients.items():
        sources = [successor for successor in graph.successors[variable] if successor in reach]
        first = [LOSS] if variable == graph.output else []
        assert [gradient.source for gradient in arrived] == first + sources


@settings(bounded, max_examples=40)
@given(size=st.integers(1, 60), seed=st.integers(0, 10**6), count=st.integers(2, 6))
def test_the_gradient_over_several_examples_is_the_sum_of_their_passes(
    size: int, seed: int, count: int
) -> None:
    drawn = draw(size, seed)
    examples = examples_for(drawn, count)

    async def batch() -> tuple[tuple[ForwardPass, BackwardPass], ...]:
        return await together(
            _passes(drawn.graph, drawn.parameters, one, drawn.optimised) for one in examples
        )

    passes = [backward for _, backward in asyncio.run(batch())]
    assert [one.example for one in passes] == [one.id for one in examples]
    gradients = {
        name: total(tuple(Gradient(one.example, one.aggregated[name]) for one in passes))
        for name in passes[0].aggregated
    }
    assert_is_gradient(gradients, drawn, examples)


def numeric(
    name: str,
    predecessors: Sequence[str],
    op: Operation,
    derive: Callable[..., Any] | None = None,
    **parameters: str,
) -> Node:
    return Node(
        name,
        tuple(predecessors),
        parameters,
        CallableForward(Function(op.compute, op.compute.__name__, op.constants)),
        CallableBackward(Function(derive or op.derive, f"d_{name}", op.constants)),
    )


def numeric_graph(nodes: Sequence[Node], **parameters: Parameter | float) -> Graph:
    """Return a graph of one input x whose last node is the output."""
    declared = {
        name: value if isinstance(value, Parameter) else Parameter(name, value)
        for name, value in parameters.items()
    }
    return Graph("numeric", ("x",), declared, {node.name: node for node in nodes}, nodes[-1].name)


def run(
    graph: Graph, x: float, target: float, optimised: Sequence[str] | None = None
) -> tuple[ForwardPass, BackwardPass]:
    names = graph.optimisable if optimised is None else optimised
    return asyncio.run(_passes(graph, graph.initial(), Example("one", {"x": x}, target), names))


def test_an_example_to_check_by_hand() -> None:
    # x = 2, p = 1, q = 5:  u = x + p = 3,  v = x q = 10,  w = u v = 30,  z = w + u = 33.
    graph = numeric_graph(
        [
            numeric("u", ["x"], SHIFT, shift="p"),
            numeric("v", ["x"], SCALE, factor="q"),
            numeric("w", ["u", "v"], MULTIPLY),
            numeric("z", ["w", "u"], ADD),
        ],
        p=1.0,
        q=5.0,
    )
    forward, backward = run(graph, x=2.0, target=30.0)
    assert forward.values == {"x": 2, "u": 3, "v": 10, "w": 30, "z": 33}
    assert backward.gradients == {
        "p": (Gradient("u", 33),),
        "q": (Gradient("v", 18),),  # dL/dv x = 9 * 2
        "u": (Gradient("w", 30), Gradient("z", 3)),  # through w: 3 v = 30
        "v": (Gradient("w", 9),),  # 3 u
        "w": (Gradient("z", 3),),
        "z": (Gradient(LOSS, 3),),  # z - target
    }
    assert backward.aggregated == {"p": 33, "q": 18, "u": 33, "v": 9, "w": 3, "z": 3}


def test_many_paths_cost_no_more_than_the_nodes_on_them() -> None:
    # 66 diamonds in a row: each doubles its input, so 2**66 paths lead from p to the output.
    asked: list[str] = []

    def diamond(i: int) -> list[Node]:
        def derive(operands: Operands, output: float, gradient: float) -> Derived:
            asked.append(str(i))
            return dict.fromkeys(operands, gradient)

        before = f"end_{i - 1}" if i else "start"
        return [
            numeric(f"left_{i}", [before], ADD, derive),
            numeric(f"right_{i}", [before], ADD, derive),
            numeric(f"end_{i}", [f"left_{i}", f"right_{i}"], ADD, derive),
        ]

    start = numeric("start", ["x"], SHIFT, shift="p")
    graph = numeric_graph([start, *(node for i in range(66) for node in diamond(i))], p=0.0)
    forward, backward = run(graph, x=1.0, target=2.0**66 - 1)
    assert forward.values["end_65"] == 2.0**66
    assert backward.aggregated["p"] == backward.aggregated["end_65"] * 2.0**66
    assert len(asked) == 3 * 66


def never(operands: Operands, output: float, gradient: float) -> Derived:
    raise AssertionError("nothing needs this derivative")


def test_only_what_can_be_optimised_gets_gradients() -> None:
    graph = numeric_graph(
        [
            numeric("plain", ["x"], ADD, never),
            numeric("fixed", ["plain"], SCALE, never, factor="frozen"),
            numeric("left_out", ["plain"], SCALE, never, factor="not_asked"),
            numeric("learning", ["fixed"], AFFINE, bias="frozen", weight_0="asked"),
            numeric("end", ["learning", "left_out", "plain"], ADD),
        ],
        frozen=Parameter("frozen", 3.0, frozen=True),
        not_asked=4.0,
        asked=5.0,
    )
    _, backward = run(graph, x=1.0, target=0.0, optimised=["asked"])
    # x = 1: plain 1, fixed 3, left_out 4, learning 3 + 3 * 5 = 18, end 23.
    assert backward.aggregated == {"asked": 69, "learning": 23, "end": 23}
    assert backward.gradients.keys() == backward.aggregated.keys()
    assert not backward.failures
    assert list(backward.calls) == ["learning", "end"]


def _raises(operands: Operands, output: float, gradient: float) -> Derived:
    raise ZeroDivisionError("no slope here")


@pytest.mark.parametrize(
    ("derive", "reason"),
    [
        (_raises, "d_bad raised ZeroDivisionError: no slope here"),
        (lambda operands, output, gradient: gradient, "d_bad returned 4.0, not a mapping"),
        (lambda operands, output, gradient: {"u": 1.0, "zz": 1.0}, "gradients for unknown ['zz']"),
    ],
    ids=["raises", "no mapping", "unknown name"],
)
def test_a_derivative_that_fails_takes_only_its_own_upstream_along(
    derive: Callable[..., Any], reason: str
) -> None:
    graph = numeric_graph(
        [
            numeric("u", ["x"], SHIFT, shift="p"),
            numeric("bad", ["u"], SCALE, derive, factor="q"),
            numeric("good", ["x"], SHIFT, shift="r"),
            numeric("end", ["bad", "good"], ADD),
        ],
        p=1.0,
        q=1.0,
        r=1.0,
    )
    _, backward = run(graph, x=1.0, target=0.0)
    assert backward.aggregated == {"r": 4, "bad": 4, "good": 4, "end": 4}
    assert {name: failure.origin for name, failure in backward.failures.items()} == {
        "u": "bad",
        "bad": "bad",
    }
    assert reason in backward.failures["u"].reason


def test_an_operand_that_a_derivative_leaves_out_gets_no_gradient() -> None:
    graph = numeric_graph(
        [
            numeric("u", ["x"], SHIFT, shift="p"),
            numeric("v", ["x"], SHIFT, shift="q"),
            numeric("end", ["u", "v"], ADD, lambda operands, output, gradient: {"v": gradient}),
        ],
        p=1.0,
        q=1.0,
    )
    _, backward = run(graph, x=1.0, target=0.0)
    assert backward.gradients["u"] == ()
    assert "p" not in backward.gradients
    assert backward.aggregated == {"q": 4, "v": 4, "end": 4}


def test_a_failing_aggregation_of_a_parameter_does_not_end_the_pass() -> None:
    def texts(operands: Operands, output: float, gradient: float) -> Mapping[str, Any]:
        return {name: "up" if name == "shift" else gradient for name in operands}

    graph = numeric_graph(
        [
            numeric("u", ["x"], SHIFT, texts, shift="p"),
            numeric("end", ["u"], SCALE, factor="q"),
        ],
        p=1.0,
        q=1.0,
    )
    _, backward = run(graph, x=1.0, target=0.0)
    assert backward.aggregated == {"q": 4, "u": 2, "end": 2}
    assert "TypeError" in backward.failures["p"].reason
