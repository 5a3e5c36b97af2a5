"""What is said of a level that later steps can no longer reach."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from conftest import Start

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path("nowhere")))
PAIRED = ("graph=single", "task=tariff", "tracking=none", "method.gate.rule=paired")
EACH = "method.proposals.fallback=false"


def said(*words: str) -> Sequence[str]:
    """Return what is said of the level."""
    ready = prepare(compose([*PAIRED, *words]), PROMPTS, {})
    return [one.text for one in ready.notices if "gate.level" in one.text and one.unsure]


def needed(turned_down: int, tests: int) -> int:
    """Count by hand, in fractions: so many heads in a row are rare enough for the next test."""
    whole = sum(Fraction(1, i) for i in range(1, tests + 1))
    level, count = Fraction(5, 100) / (turned_down + 1) / whole, 1
    while Fraction(1, 2**count) > level:
        count += 1
    return count


@pytest.mark.parametrize(("examples", "steps"), [(6, 5), (7, 12), (8, 12), (9, 20), (10, 40)])
def test_it_says_from_which_step_on_and_how_many_would_do(examples: int, steps: int) -> None:
    [told] = said(EACH, f"method.stop.steps={steps}", f"task.splits.train={examples}")
    spent = next(j for j in range(steps) if needed(j, steps) > examples)
    enough = needed(steps - 1, steps)
    assert told == (
        f"method.gate.level: 0.05 is spent over {steps} tests. From step {spent + 1} on no "
        f"proposal can be accepted with {examples} examples, once {spent} test"
        f"{'s' if spent > 1 else ''} turned something down; {enough} would do to the last step. "
        f"Set task.splits.train={enough}, take fewer steps, or set a higher level."
    )
    assert not said(EACH, f"method.stop.steps={steps}", f"task.splits.train={enough}")
    assert said(EACH, f"method.stop.steps={steps}", f"task.splits.train={enough - 1}")


@pytest.mark.parametrize(
    "words",
    [
        ("method.gate.examples=validation", "task.splits.validation=8", "method.confirm=null"),
        ("method.batch=8", "method.lazy=false"),
        ("method.batch=8", "method.lazy=false", "task.splits.train=9"),
        (
            *("method.gate.examples=sampled", "method.sample.examples=random"),
            *("method.sample.count=5", "method.gate.guard=3"),
        ),
    ],
)
def test_what_it_asks_to_set_is_enough(words: Sequence[str]) -> None:
    [told] = said(EACH, *words)
    found = re.search(r"Set (.+?), take", told)
    assert found is not None
    assert not said(EACH, *words, *found[1].split(" and "))


def test_a_step_that_asks_several_times_spends_several_shares() -> None:
    words = ("graph=desk", "method.stop.steps=20", "task.splits.train=12")
    [told] = said(*words)  # four texts: the whole, each of them, and those that pass
    spent = next(j for j in range(120) if needed(j, 120) > 12)
    assert f"over 120 tests. From step {-(-spent // 6) + 1} on" in told


def test_check_and_plan_say_it_and_go_on(at: Start, tmp_path: Path) -> None:
    words = [*PAIRED, EACH, "method.stop.steps=12", "task.splits.train=8"]
    [told] = said(EACH, *words[-2:])
    for command, before in {"check": "Look at this: ", "plan": ""}.items():
        code, out, _ = at(tmp_path, command, *words)
        assert code == 0
        assert before + told in out
