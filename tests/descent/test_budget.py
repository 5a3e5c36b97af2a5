"""Budgets: what counts, when a run ends for them, and the warning before it starts."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import Start

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Result, Scores, Step
from sgdflow.descent.budget import Budget, Meter
from sgdflow.descent.method import Method, Problem
from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.llm.allowance import Allowance
from sgdflow.llm.client import Client
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.plan.estimate import shortage, step_estimate
from sgdflow.plan.limits import shortages
from sgdflow.prompting.templates import Prompts
from sgdflow.records import result_record
from sgdflow.simulation.worlds import reply

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
SIZES = ("task.splits.train=10", "task.splits.validation=5", "task.splits.test=20")


@dataclass
class Watch:
    """Collects what a descent tells."""

    steps: list[Step]

    def scored(self, initial: Scores) -> None:
        pass

    def stepped(self, step: Step) -> None:
        self.steps.append(step)


def ready(*overrides: str) -> Prepared:
    if not any(word.startswith("method=") for word in overrides):
        overrides = ("method=paper", *overrides)  # everything is scored whole in each step
    return prepare(compose(["tracking=none", *SIZES, *overrides]), PROMPTS, {})


def simulated(role: str, node: str, messages: Sequence[Message]) -> str:
    return reply(messages, 0)


def priced(role: str, node: str, messages: Sequence[Message]) -> Reply:
    return Reply(reply(messages, 0), Usage(100, 10), cost=0.01)


def unpriced(role: str, node: str, messages: Sequence[Message]) -> Reply:
    return Reply(reply(messages, 0), Usage(100, 10), cost=None)


def run(prepared: Prepared, script: object = simulated) -> tuple[Result, list[Step]]:
    watch = Watch([])
    llm = ScriptedLLM(script)  # type: ignore[arg-type]
    descent = Descent(prepared.problem, prepared.method, llm, watch)
    return asyncio.run(descent.run(prepared.start)), watch.steps


def calls(spent: Mapping[str, Spent], *roles: str) -> int:
    return sum(one.calls for role, one in spent.items() if not roles or role in roles)


# 4 nodes, 10 training, 5 validation and 20 test examples: 60 calls before the first step that
# count, 80 that do not. A step adds 40 for the gate, 20 for validation where it is accepted.
REPORTED = 20 * 4


@pytest.mark.parametrize(
    ("limit", "steps"),
    [("forward=61", 1), ("forward=100", 1), ("forward=121", 2), ("calls=61", 1)],
)
def test_the_first_limit_that_is_reached_ends_the_run_after_the_step(
    limit: str, steps: int
) -> None:
    result, seen = run(ready(f"method.stop.budget.{limit}", "method.stop.steps=9"))
    assert result.steps == len(seen) == steps
    what, _, most = limit.partition("=")
    unit = {"forward": "forward calls", "calls": "calls"}[what]
    roles = ("forward",) if what == "forward" else ()
    used = calls(seen[-1].spent[1], *roles) - REPORTED
    assert result.stop_reason == f"budget: {used} {unit} of {most}"
    assert used >= int(most)
    assert calls(seen[-1].spent[0], *roles) - REPORTED < int(most) or steps == 1


def test_what_is_scored_for_the_report_alone_does_not_count() -> None:
    few = run(ready("method.stop.budget.forward=130", "method.stop.steps=9"))[0]
    many = run(
        ready("method.stop.budget.forward=130", "method.stop.steps=9", "task.splits.test=200")
    )[0]
    assert few.steps == many.steps
    assert few.parameters == many.parameters
    # A method that works on small batches makes no training scores before and after.
    batched = ("method=textgrad", "method.stop.budget.forward=60", "method.stop.steps=9")
    result, seen = run(ready(*batched))
    before_the_step = calls(seen[0].spent[0], "forward")
    assert before_the_step == (5 + 20) * 4
    assert result.stop_reason.startswith("budget: ")
    used = calls(seen[-1].spent[1], "forward") - 20 * 4
    assert result.stop_reason == f"budget: {used} forward calls of 60"


def test_tokens_and_cost_are_limits_too() -> None:
    tokens = run(ready("method.stop.budget.tokens=7000", "method.stop.steps=9"), priced)[0]
    assert tokens.stop_reason.startswith("budget: ")
    assert tokens.stop_reason.endswith(" tokens of 7000")
    cost = run(ready("method.stop.budget.cost=0.7", "method.stop.steps=9"), priced)[0]
    assert cost.stop_reason.startswith("budget: $")
    assert cost.steps == 1


def test_an_unknown_price_is_not_taken_for_none() -> None:
    result = run(ready("method.stop.budget.cost=4", "method.stop.steps=9"), unpriced)[0]
    assert result.steps == 1
    assert result.stop_reason == "budget: the cost is not known, so that $4 cannot be kept to"


def test_the_reason_is_part_of_the_result() -> None:
    result, _ = run(ready("method.stop.budget.calls=61", "method.stop.steps=9"))
    assert result_record(result, {}, 0.0, {})["stop_reason"].startswith("budget: ")


@pytest.mark.parametrize(
    ("spent", "reason"),
    [
        (Spent(4, Usage(5, 5), 0.5), ""),
        (Spent(5, Usage(5, 5), 0.5), "budget: 5 calls of 5"),
        (Spent(4, Usage(5, 6), 0.5), "budget: 11 tokens of 11"),
        (Spent(4, Usage(5, 5), 2.0), "budget: $2.0000 of $1"),
        (Spent(9, Usage(9, 9), 9.0), "budget: 3 forward calls of 3"),
    ],
)
def test_limits(spent: Spent, reason: str) -> None:
    budget = Budget(3, 5, 11, 1.0, {"optimizer": Allowance(cost=0.6)})
    forward = 3 if reason.startswith("budget: 3") else 2
    assert budget.reached(forward, {"forward": spent}) == reason
    assert Budget().reached(10**9, {"forward": spent}) == ""
    if not reason:
        for_a_role = {"forward": Spent(), "optimizer": replace(spent, cost=0.75)}
        reason = "budget: $0.7500 of $0.6 for the role optimizer"
        assert budget.reached(forward, for_a_role) == reason


def test_a_budget_below_the_first_step_is_told_with_the_arithmetic() -> None:
    assert list(shortage(*_of(ready("method.stop.budget.calls=106")))) == []
    (warning,) = shortage(*_of(ready("method.stop.budget.calls=105")))
    assert warning == (
        "method.stop.budget.calls: 105 is less than the 106 that the first step may take "
        "(to start with 15 examples x 4 nodes = 60 calls; for the gate 10 examples x 4 nodes = 40; "
        "for gradients 2 examples x 1 = 2; for new texts 4). The run ends after its first step. "
        "Set it higher, or have a step score or propose less."
    )
    assert list(shortage(*_of(ready("method=frozen", "method.stop.budget.calls=1")))) == []


def test_a_small_budget_may_do_where_examples_are_scored_as_needed() -> None:
    (warning,) = shortage(*_of(ready("method=semantic", "method.stop.budget.calls=90")))
    assert "90 is less than the " in warning
    assert warning.endswith(
        ". The run may end after its first step; most steps take far less, as training examples "
        "are scored as far as a step needs them (method.lazy): sgdflow plan says what to expect."
    )


def test_proposals_beyond_the_budget_are_told_before_any_call() -> None:
    wide = ("method.proposals.each=3", "method.proposals.parents=2", "method.pool.keep=2")
    (warning,) = shortage(*_of(ready(*wide, "method.stop.budget.calls=335")))
    assert warning == (
        "method.stop.budget.calls: 335 is less than the 336 that the first step may take "
        "(to start with 15 examples x 4 nodes = 60 calls; for the gate 6 x 10 examples x 4 nodes = "
        "240; for gradients 12 examples x 1 = 12; for new texts 24). The run ends after its first "
        "step. Set it higher, or have a step score or propose less."
    )
    assert list(shortage(*_of(ready(*wide, "method.stop.budget.calls=336")))) == []


@pytest.mark.parametrize(("role", "most"), [("forward", 100), ("backward", 2), ("optimizer", 4)])
def test_a_budget_of_a_role_below_the_first_step_is_told_too(role: str, most: int) -> None:
    def told(calls: int) -> list[str]:
        return list(shortage(*_of(ready(f"method.stop.budget.roles.{role}.calls={calls}"))))

    (warning,) = told(most - 1)
    limit = f"method.stop.budget.roles.{role}.calls: {most - 1} is less than the {most} that"
    assert warning.startswith(limit)
    assert told(most) == []


def told(*overrides: str) -> str:
    """Return what is said of the limit of all calls."""
    return "\n".join(one for one in shortages(ready(*overrides)) if "llm.limits" in one)


def decided(calls: int, *overrides: str) -> int:
    """Return how many steps a run decides that may make so many calls."""
    prepared = ready(f"llm.limits.budget.calls={calls}", *overrides)
    calling = prepared.calling

    async def go() -> int:
        async with Client(calling.models, calling.limits, {}, backend=calling.backend) as llm:
            return (await Descent(*_of(prepared), llm, Watch([])).run(prepared.start)).steps

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("wide", "times", "words"),
    [
        ((), 1, ""),
        (
            ("method.proposals.each=2", "method.proposals.parents=2", "method.pool.keep=2"),
            *(4, ", with 4 proposals (method.proposals)"),
        ),
    ],
)
def test_a_limit_of_all_calls_that_lets_no_step_be_decided_is_told_before_any_call(
    wide: Sequence[str], times: int, words: str
) -> None:
    of = ("method.gate.wave=3", "method.update.parameters=[weight.instruction]", *wide)
    splits = ready().problem.splits
    orders = {repr(one.inputs) for one in (*splits.train, *splits.validation, *splits.test)}
    start = 4 * len(orders)  # what is asked twice is one call
    # A gradient, a text, and three examples of the two nodes that what it changes reaches.
    least = start + times * (1 + 1 + 3 * 2)
    assert told(f"llm.limits.budget.calls={least - 1}", *of) == (
        f"llm.limits.budget.calls: {least - 1} is less than the {least} that the first step takes "
        f"at least, the {start} calls before it included{words}. The run would end before "
        "anything is decided. "
        f"Set llm.limits.budget.calls={least} or more, or score or propose less."
    )
    assert told(f"llm.limits.budget.calls={least}", *of) == ""
    assert told(f"llm.limits.budget.calls={least - 1}", *of, "method.stop.steps=0") == ""
    assert decided(least - 1, *of) == 0


def test_a_limit_of_cost_is_compared_as_far_as_prices_are_known() -> None:
    prices = "+llm.prices={simulated/worlds: {prompt: 2, completion: 2}}"
    [tokens] = re.findall(r"the about (\d+) that", told("llm.limits.budget.tokens=9"))
    needed = math.ceil(int(tokens) * 2 / 100) / 10_000
    said = told("llm.limits.budget.cost=0.001", prices)
    assert f"$0.001 is less than the about ${needed:g} that" in said
    assert f"Set llm.limits.budget.cost={needed:g} or more" in said
    assert told(f"llm.limits.budget.cost={needed:g}", prices) == ""
    assert told(f"llm.limits.budget.tokens={tokens}") == ""
    unknown = ("llm.models.forward=openai/nobody-knows", "llm.models.forward.api_base=http://x")
    assert told("llm.limits.budget.cost=0.001", *unknown) == ""


def test_whoever_is_asked_says_it(at: Start, tmp_path: Path) -> None:
    words = ["graph=single", "task=tariff", "tracking=none", *SIZES, "llm.limits.budget.calls=7"]
    for command in ("check", "plan", "optimize"):
        _, out, err = at(tmp_path, command, *words)
        assert "llm.limits.budget.calls: 7 is less than the " in out + err


def _of(prepared: Prepared) -> tuple[Problem, Method]:
    return prepared.problem, prepared.method


@pytest.mark.parametrize(
    ("overrides", "forward", "backward", "optimizer"),
    [
        ((), 60 + 40, 2, 4),
        # Validation waits for a winner; the whole, four texts, and those together may be tried.
        (("method=semantic",), 40 + 6 * 40, 10, 4),
        (("method=no_gradient",), 40 + 6 * 40, 0, 4),
        (("method=no_neighbors",), 40 + 6 * 40, 10 * 3, 4),
        # 3 examples; loss, 3 edges and 4 parameters each; the gate on 5 validation examples
        (("method=textgrad",), (3 + 5) * 4 + 20, 3 * 8, 4),
        (("method=optoprime",), 60 + 40, 0, 1),
        (("method=copro",), 60 + 4 * 40, 0, 4),
        (("method.update.select.rule=blamed",), 60 + 40, 2, 1),
        (("+method.update.critique.prompt=optimizer/critique.jinja",), 60 + 40, 2, 8),
    ],
)
def test_a_step_takes_no_more_than_estimated(
    overrides: Sequence[str], forward: int, backward: int, optimizer: int
) -> None:
    prepared = ready(*overrides)
    estimate = step_estimate(prepared.problem, prepared.method)
    assert (estimate.forward, estimate.backward, estimate.optimizer) == (
        forward,
        backward,
        optimizer,
    )
    _, steps = run(ready(*overrides, "method.stop.steps=1"))
    before, after = steps[0].spent
    made = {role: after[role].calls - before.get(role, Spent()).calls for role in after}
    assert made.get("backward", 0) <= backward
    assert made.get("optimizer", 0) <= optimizer


def test_calls_for_scores_are_counted_whoever_of_several_ends_first() -> None:
    """An update rule may score several proposals at once."""
    llm, asked = ScriptedLLM(lambda role, node, messages: "done"), [Message("user", "?")]
    meter = Meter(llm, ready().problem.graph)

    async def score(calls: int) -> None:
        with meter.gating():
            for _ in range(calls):
                await llm.complete("forward", asked, node="n")

    async def both() -> None:
        await asyncio.gather(score(1), score(5))
        await llm.complete("forward", asked, node="n")

    asyncio.run(both())
    assert meter.gate_calls == 6
