"""What `sgdflow plan` says that trials of gradients take, by hand and against a run."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from simulated import Simulated, Watch

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent
from sgdflow.plan.estimate import step_estimate
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))


def ready(*more: str) -> Prepared:
    few = ["task.splits.train=12", "task.splits.validation=0", "task.splits.test=4"]
    desk = [
        "graph=desk",
        "task=tariff",
        "task.data.parts=2",
        "method.stop.steps=1",
        "method.sample.draws=1",
    ]
    return prepare(
        compose([*desk, *few, "method.confirm=null", "tracking=none", *more]), PROMPTS, {}
    )


def test_trials_are_planned_counted_and_bounded() -> None:
    """By hand: of two failures two values each are written, and the desk adds up after each and
    after both."""
    plain, tried = ready(), ready("method.backward.verify={examples:2}")
    least = step_estimate(plain.problem, plain.method)
    most = step_estimate(tried.problem, tried.method)
    assert (most.backward - least.backward, most.forward - least.forward) == (4, 6)
    assert "to try gradients 2 examples x 2 values = 4, and 6 calls that follow" in most.sums

    llm, watch = Simulated(), Watch()
    asyncio.run(Descent(tried.problem, tried.method, llm, watch).run(tried.start))
    (step,) = watch.steps
    trials = [one for learned in step.tried.learned for one in learned.interventions]
    written = [call for one in trials for call in one.calls]
    assert 0 < len(written) <= 4
    assert len({one.example for one in trials}) <= 2
    made = Counter(request.role for request in llm.requests)
    assert made["forward"] <= most.forward
    assert made["backward"] <= most.backward
