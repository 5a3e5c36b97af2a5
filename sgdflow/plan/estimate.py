"""How many calls one step may take, and whether the budget allows for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sgdflow.descent.method import Method, Problem
from sgdflow.errors import plural
from sgdflow.executor.backward_functions import PromptBackward
from sgdflow.executor.forward import forward_roles
from sgdflow.executor.graph import Graph
from sgdflow.executor.graph_paths import widths
from sgdflow.executor.loss import AskedLoss
from sgdflow.prompting.ask import Ask
from sgdflow.update.condense import most_items
from sgdflow.update.demonstrations import texts


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most calls of one step, repetitions of malformed replies aside, and how they add up."""

    forward: int
    backward: int
    optimizer: int
    sums: tuple[str, ...]
    """One line of arithmetic for each that is not 0."""

    @property
    def calls(self) -> int:
        """Return all calls of the step."""
        return self.forward + self.backward + self.optimizer


def step_estimate(problem: Problem, method: Method) -> Estimate:
    """Return what the first step takes at most, with the scoring that it starts from."""
    problem, method = first_leg(problem, method)
    batch = len(problem.splits.train)
    if method.batch is not None:
        batch = min(batch, method.batch)
    written, chosen = texts(problem.graph, problem.optimised), method.chosen(problem)
    changed = len(written)
    if method.select.rule != "all":
        changed = min(changed, method.select.count)
    rule = method.update.calls(changed)
    sums: list[str] = []
    proposals = method.proposals.parents * method.proposals.each
    forward = _forward(problem, method, batch, rule.evaluations, sums)
    sampled = min(batch, method.sample.count * method.sample.draws) * proposals
    each = backward_calls(problem.graph, (*written, *chosen), method)
    tried, after = _trials(problem, method, sampled, proposals, sums)
    if sampled * each:
        sums.append(f"for gradients {plural(sampled, 'example')} x {each} = {sampled * each}")
    own = rule.optimizer if method.apart is None else changed + rule.optimizer * method.apart.count
    calls = (own + _summaries(problem, method)) * proposals
    if calls:
        sums.append(f"for new texts {calls}")
    if picks := len(chosen) * proposals:
        sums.append(f"for demonstrations {picks}")
    return Estimate(forward + after, sampled * each + tried, calls + picks, tuple(sums))


def backward_calls(graph: Graph, optimised: tuple[str, ...], method: Method) -> int:
    """Return how many calls the feedback and the backward pass of one example take."""
    calls = int(isinstance(method.loss, AskedLoss))
    if method.differentiation is None:
        return calls
    reach = graph.reach(optimised)
    for node in graph.nodes.values():
        function = node.backward or method.differentiation.default
        if node.name not in reach or not isinstance(function, PromptBackward):
            continue
        targets = function.targets(node, reach, optimised)
        calls += len(function.groups(targets, node.name))
    if (tree := method.differentiation.tree) is not None:
        calls += sum(map(tree.calls, widths(graph, optimised).values()))
    return calls


def _summaries(problem: Problem, method: Method) -> int:
    """Return the calls that sum up the evidence of a step, of so many parameters as it changes."""
    if method.tree is None:
        return 0
    taken = sorted(
        method.tree.calls(most_items(problem.graph, name, method.sample.count))
        for name in problem.optimised
    )
    return sum(taken if method.select.rule == "all" else taken[-method.select.count :])


def shortage(problem: Problem, method: Method) -> Iterator[str]:
    """Yield why the declared budget does not allow for one step, with the arithmetic."""
    if method.stop.steps == 0:
        return
    share, what = "", "The run"
    if method.legs:
        share, what = f", the share of method.sequence.{method.legs[0].name},", "This leg"
    problem, method = first_leg(problem, method)
    budget, estimate = method.stop.budget, step_estimate(problem, method)
    roles = _of_roles(problem, method, estimate)
    for name, allowed, needed in (
        ("forward", budget.forward, estimate.forward),
        ("calls", budget.calls, estimate.calls),
        *((f"roles.{name}.calls", one.calls, roles[name]) for name, one in budget.roles.items()),
    ):
        if allowed is not None and allowed < needed:
            yield (
                f"method.stop.budget.{name}: {allowed}{share} is less than the {needed} that the "
                f"first step may take ({'; '.join(estimate.sums)}). {what} {_end(method)}"
            )


def _of_roles(problem: Problem, method: Method, estimate: Estimate) -> Counter[str]:
    """Return what of the step single roles are asked, where nobody else is asked such calls."""
    how, judges = method.differentiation, problem.score.judges()
    forward = {*forward_roles(problem.graph).values(), *(judge.ask.role for judge in judges)}
    backward = [how.default if how else None, method.loss]
    optimizer = [method.update, method.apart, method.choice]
    found = Counter[str]()
    for calls, roles in (
        (estimate.forward, forward),
        (estimate.backward, _roles(backward)),
        (estimate.optimizer, _roles(optimizer)),
    ):
        if len(roles) == 1:
            found.update(dict.fromkeys(roles, calls))
    return found


def _roles(asking: Iterable[object]) -> set[str]:
    """Return the roles that these ask, where they ask any."""
    asks = (getattr(one, name, None) for one in asking for name in ("ask", "critique"))
    return {ask.role for ask in asks if isinstance(ask, Ask)}


def _end(method: Method) -> str:
    """Say when a run with too small a budget ends."""
    if method.lazy:
        return (
            "may end after its first step; most steps take far less, as training examples are "
            "scored as far as a step needs them (method.lazy): sgdflow plan says what to expect."
        )
    return "ends after its first step. Set it higher, or have a step score or propose less."


def first_leg(problem: Problem, method: Method) -> tuple[Problem, Method]:
    """Return the first leg of a method, and what it may change."""
    if not method.legs:
        return problem, method
    leg = method.legs[0]
    return replace(problem, optimised=leg.optimised), leg.after(0, method)


def _each(nodes: int, requests: int, judges: int) -> str:
    """Say what is asked for one example: "3 nodes", "(3 nodes + 2 more samples + 1 judge)"."""
    asked = [plural(nodes, "node")]
    if requests > nodes:
        asked.append(plural(requests - nodes, "more sample"))
    if judges:
        asked.append(plural(judges, "judge"))
    return f"({' + '.join(asked)})" if len(asked) > 1 else asked[0]


def _forward(
    problem: Problem, method: Method, batch: int, evaluations: int, sums: list[str]
) -> int:
    models = [one.forward for one in problem.graph.nodes.values()]
    asked = [one.requests for one in models if one.requests]
    judges = len(problem.score.judges())
    nodes, each = sum(asked) + judges, _each(len(asked), sum(asked), judges)
    # What is to confirm the winner waits until there is one.
    validation = len(problem.splits.validation) if method.confirm is None else 0
    # Scored before the first step, and not for the report alone.
    total = (batch + validation) * nodes
    start = f"{plural(batch + validation, 'example')} x {each} = {plural(total, 'call')}"
    sums.append(f"to start with {start}")
    if evaluations:  # the gate's is one of them
        calls = evaluations * batch * nodes
        examples = plural(batch, "example")
        sums.append(f"for candidates {evaluations} x {examples} x {each} = {calls}")
    elif method.gate.rule == "always" and method.batch is not None:
        return total
    else:
        number = min(batch, method.compared(problem.splits))
        if method.gate.examples == "validation":
            number = len(problem.splits.validation)
        number *= method.gate.repeats
        tests = method.tests(len(problem.optimised))
        calls = tests * number * nodes
        times = f"{tests} x " if tests > 1 else ""
        sums.append(f"for the gate {times}{plural(number, 'example')} x {each} = {calls}")
    return total + calls


def _trials(
    problem: Problem, method: Method, sampled: int, proposals: int, sums: list[str]
) -> tuple[int, int]:
    """Return how many values may be written to try gradients, and the calls that follow them."""
    if method.verification is None:
        return 0, 0
    judges = len(problem.score.judges())
    values, calls = method.verification.most(problem.graph, problem.optimised, judges)
    times = min(sampled, method.verification.examples * proposals)
    sums.append(
        f"to try gradients {plural(times, 'example')} x {plural(values, 'value')} "
        f"= {times * values}, and {plural(times * calls, 'call')} that follow"
    )
    return times * values, times * calls
