"""Methods one after the other: one leg is the method itself, several share a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from simulated import Simulated, Watch

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent, Result, Step
from sgdflow.descent.budget import Budget
from sgdflow.llm.allowance import Allowance
from sgdflow.prompting.templates import Prompts
from sgdflow.records.run import step_record
from sgdflow.records.tree import candidates

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
SMALL = [
    "tracking=none",
    "experiments=quickstart",
    "task.splits={train: 16, validation: 8, test: 8}",
]


def ran(raw: Mapping[str, Any]) -> tuple[Result, Sequence[Step]]:
    prepared, watch = prepare(raw, PROMPTS, None), Watch()
    descent = Descent(prepared.problem, prepared.method, Simulated(), watch)
    return asyncio.run(descent.run(prepared.start)), watch.steps


def without_leg(step: Step) -> dict[str, Any]:
    return {key: one for key, one in step_record(step).items() if key != "leg"}


def test_one_leg_is_the_method_itself() -> None:
    raw = dict(compose([*SMALL, "method.stop.budget.calls=150"]))
    method = dict(raw["method"])
    stop = method["stop"]
    own = {**method, "stop": {**stop, "budget": {}}}
    only = {"name": "one", "sequence": {"only": {"method": own, "share": 1.0}}}
    whole = {**only, "confirm": method["confirm"], "stop": stop}
    (alone, steps), (result, legs) = ran(raw), ran({**raw, "method": whole})
    assert result.parameters == alone.parameters
    assert result.spent == alone.spent
    assert result.stop_reason == alone.stop_reason
    assert [without_leg(one) for one in legs] == [without_leg(one) for one in steps]
    assert {one.leg for one in legs} == {"only"}


def test_legs_share_the_budget_and_go_on_from_the_best() -> None:
    result, steps = ran(compose([*SMALL, "method=sequence", "method.stop.budget.calls=300"]))
    first = [one for one in steps if one.leg == "first"]
    then = steps[len(first) :]
    assert first
    assert then
    assert {one.leg for one in then} == {"then"}

    def used(step: Step, when: int) -> int:
        return sum(spent.calls for spent in step.spent[when].values())

    test = 8 * 4  # scored for the report alone, at most
    assert all(used(one, 0) - test < 90 for one in first)  # a leg begins no step beyond its share
    assert used(first[-1], 1) >= 90
    assert then[0].tried.parameters == first[-1].best
    assert [one.number for one in steps] == list(range(1, len(steps) + 1))
    records = [step_record(one) for one in steps]
    found = candidates(records, steps[0].tried.parameters)
    assert [one.number for one in found] == list(range(result.accepted + 1))
    assert found[-1].parameters == steps[-1].best


def test_the_score_of_the_whole_ends_every_leg() -> None:
    words = ["method=sequence", "method.stop.budget.calls=3000", "method.stop.score=0.3"]
    result, steps = ran(compose([*SMALL, *words]))
    assert result.stop_reason.startswith("score: ")
    _, more = ran(compose([*SMALL, *words[:2]]))
    assert len(steps) < len(more)


@pytest.mark.parametrize(
    ("share", "left"),
    [
        (1.0, Budget(10, 20, 30, 4.0, {"backward": Allowance(7)})),
        (0.3, Budget(3, 6, 9, 1.2, {"backward": Allowance(2)})),
    ],
)
def test_a_share_is_that_part_of_every_limit(share: float, left: Budget) -> None:
    whole = Budget(10, 20, 30, 4.0, {"backward": Allowance(7)})
    assert whole.share(share) == left
    assert Budget().share(share) == Budget()
