"""Several candidates on one example: which text got it right, and which wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from simulated import Simulated, Watch

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent, Step
from sgdflow.prompting.marks import MARK
from sgdflow.prompting.templates import Prompts
from sgdflow.update.contrast import Contrast, Done

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
HEADING = "# The same queries with other texts of this instruction"
SMALL = [
    "tracking=none",
    "experiments=quickstart",
    "task.splits={train: 24, validation: 0, test: 4}",
    "method.lazy=false",
    "method.confirm=null",
    "method.pool={keep: 4, choose: queue, temperature: 1.0}",
    "method.stop.steps=6",
]


def ran(*words: str) -> list[Step]:
    prepared, llm, watch = prepare(compose([*SMALL, *words]), PROMPTS, None), Simulated(), Watch()
    asyncio.run(Descent(prepared.problem, prepared.method, llm, watch).run(prepared.start))
    return watch.steps


Known = dict[str, dict[str, dict[str, float]]]


def scores(steps: list[Step]) -> Known:
    """Return what the gate saw of each text, by parameter, text and example."""
    found: Known = {}
    for step in steps:
        tried = step.tried
        for parameters, seen in (
            (tried.parameters, tried.current),
            (tried.proposed, tried.trial.seen),
        ):
            for name, text in parameters.items():
                known = found.setdefault(name, {}).setdefault(text, {})
                known.update(seen.scores if seen is not None else {})
    return found


def told(step: Step) -> Iterator[tuple[str, str, str, bool]]:
    """Yield what a step's writers were told: parameter, text, example, right."""
    for name, calls in step.tried.proposal.calls.items():
        prompt = calls[-1].messages[-1].content
        before, _, after = prompt.partition(HEADING)
        assert bool(after) == ('<example name="1">' in before)
        parts = after.split("Work out what the texts")[0].split("<other>\n")[1:]
        assert len(parts) <= 2
        for part in parts:
            text = part.split("\n</other>")[0]
            assert text != step.tried.parameters[name]
            if "had another text, too" in part:
                continue
            for number, verdict in re.findall(r"Query (\d+): the answer .*? was (\w+)", part):
                example = step.tried.evidence[name][int(number) - 1].example
                yield name, text, example, verdict == "right"


def test_what_is_told_of_other_texts_is_what_they_did() -> None:
    """The scores that the gate saw are the oracle; no call is made for it."""
    steps = ran("method.update.contrast=2")
    known = scores(steps)
    found = [one for step in steps for one in told(step)]
    assert found
    for name, text, example, right in found:
        assert (known[name][text][example] >= 1) == right
    assert not any(HEADING in prompt(step) for step in ran("method.update.contrast=0"))
    assert any(HEADING in prompt(step) for step in steps)


@pytest.mark.parametrize(
    ("score", "said"),
    [(0.0, "wrong"), (0.5, "partly right (it scores 0.5 of 1)"), (1.0, "right")],
)
def test_an_answer_that_is_partly_right_is_not_called_wrong(score: float, said: str) -> None:
    shown = {"contrasts": [Contrast("Add.", (Done(3, score, "7"),), ())], MARK: ""}
    text = PROMPTS.text("optimizer/contrasts.jinja", shown)
    assert f"Query 3: the answer of the system was {said}; here came" in text
    assert ("Work out what the texts" in text) == (score == 1)


def prompt(step: Step) -> str:
    calls = step.tried.proposal.calls.values()
    return "".join(made[-1].messages[-1].content for made in calls)
