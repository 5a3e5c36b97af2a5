"""What a run could show, and what it took: counted from records, told in report and comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from math import isclose
from pathlib import Path
from typing import Any

import pytest
from compare_runs import run as recorded
from compare_runs import table
from run_directories import Directory
from simulated import Simulated, Watch

from sgdflow.comparison import as_text
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent
from sgdflow.prompting.templates import Prompts
from sgdflow.records.account import account, calls_by_purpose, counted
from sgdflow.records.run import step_record
from sgdflow.report import write
from sgdflow.report.worth import rows
from sgdflow.tracking.naming import result_metrics

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))


KINDS = {
    "supported": ("repaired", "better", "nearer"),
    "refuted": ("no effect", "worse"),
    "open": ("open",),
    "untested": ("untested",),
}
"""The words of docs/files.md."""


def test_counts_are_those_of_the_steps_themselves() -> None:
    """The steps as they were taken are the oracle of what their records come to."""
    words = [
        "tracking=none",
        "experiments=quickstart",
        "task.splits={train: 24, validation: 6, test: 4}",
    ]
    words += ["method.backward.verify={examples: 3}", "method.aggregation.examples=cluster"]
    prepared, watch = prepare(compose(words), PROMPTS, None), Watch()
    asyncio.run(Descent(prepared.problem, prepared.method, Simulated(), watch).run(prepared.start))
    found = account(map(counted, map(step_record, watch.steps)), result())
    made = [one for step in watch.steps for one in step.proposals if one.proposal.changes]
    assert found["proposals"]["tried"] == len(made)
    assert found["proposals"]["accepted"] == sum(one.decision.accepted for one in made)
    trials = [t for s in watch.steps for one in s.tried.learned for t in one.interventions]
    assert len(trials) > 2
    gradients = found["gradients"]
    assert gradients["trials"] == len(trials)
    verdicts = [trial.verdict for trial in trials]
    for kind, those in KINDS.items():
        assert gradients[kind] == sum(v in those for v in verdicts)
    assert sum(gradients[kind] for kind in KINDS) == len(trials)
    assert 0 < gradients["tried"] <= gradients["gradients"]


def test_a_trial_that_leaves_it_open_is_none_that_was_not_made() -> None:
    told = [verdict for those in KINDS.values() for verdict in those]
    trials = [{"node": "n", "verdict": verdict} for verdict in told]
    step = {"proposal": {}, "accepted": False, "sampled": [{"gradients": {}, "trials": trials}]}
    found = account([counted(step)], result())
    kinds = {kind: found["gradients"][kind] for kind in KINDS}
    assert kinds == {"supported": 3, "refuted": 2, "open": 1, "untested": 1}
    said = dict(rows(found, result()))["Verified share of gradients"]
    assert "3 supported, 2 refuted, 1 left open, 1 untested" in said


def test_parts_are_those_that_were_tried_by_themselves() -> None:
    """Of one proposal of two texts: each text, and both together once more."""
    tested = [{"changes": ["a"]}, {"changes": ["b"]}, {"changes": ["a", "b"]}]
    step = {"proposal": {"a": "1", "b": "2"}, "accepted": False, "sampled": [], "tested": tested}
    found = account([counted(step)], result())
    assert found["proposals"] == {"tried": 1, "parts": 2, "accepted": 0}


def result(**more: Any) -> Mapping[str, Any]:
    """Return a result.json with what an account goes by."""
    score = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 20, "failed": 0}
    splits = ("train", "validation", "test")
    return {
        "scores": {split: {"initial": score, "final": score} for split in splits},
        "selected_on": ["train"],
        "confirmation": None,
        "calls": {"forward": 100, "backward": 20, "optimizer": 5, "judge": 0},
        "gate": {"calls": 60},
        **more,
    }


def test_the_honest_score_decided_nothing() -> None:
    assert account([], result())["honest"] == "test"
    scores = {**result()["scores"], "test": {"initial": None, "final": None}}
    assert account([], result(scores=scores))["honest"] == "validation"
    both = result(scores=scores, selected_on=["train", "validation"])
    assert account([], both)["honest"] is None
    assert account([], both)["detectable"] is None


@pytest.mark.parametrize(("examples", "gain"), [(4, None), (5, 1.0), (20, 0.25), (50, 0.1)])
def test_the_detectable_effect_is_the_smallest_that_signs_can_show(
    examples: int, gain: float | None
) -> None:
    """Of five gains without a loss a one-sided sign test has p = 1/32, of four 1/16."""
    assert 0.5**5 <= 0.05 < 0.5**4
    score = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": examples, "failed": 0}
    scores = {**result()["scores"], "test": {"initial": score, "final": score}}
    found = account([], result(scores=scores))["detectable"]
    assert found["examples"] == examples
    assert found["gain"] is gain or isclose(found["gain"], gain or 0)
    confirmed = {"smallest": 0.125, "examples": 40, "level": 0.05}
    found = account([], result(scores=scores, confirmation=confirmed))["detectable"]
    assert found == {"gain": 0.125, "examples": 40, "split": "validation", "level": 0.05}


def test_calls_are_told_by_what_they_were_for() -> None:
    purposes = {"scores of proposals": 60, "other scores": 40, "backward": 20, "optimizer": 5}
    assert calls_by_purpose(result()) == purposes
    own = calls_by_purpose(result(calls={"small": 80, "backward": 20}))
    assert own == {"small": 80, "backward": 20}


def test_report_and_comparison_tell_it(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    directory.write([directory.step(i, 2, accepted=i == 1) for i in (1, 2)], [], examples=10)
    text = write(tmp_path, lambda raw: raw).read_text(encoding="utf-8")
    for words in (
        "Honest score",
        "Detectable effect",
        "2.0: 2 proposals; 1 accepted",
        "gradients was tried out",
        "Where the calls went",
    ):
        assert words in text, words
    found = {
        "proposals": {"tried": 9, "parts": 2, "accepted": 3},
        "gradients": {
            "gradients": 40,
            "tried": 10,
            "trials": 8,
            "supported": 6,
            "refuted": 2,
            "open": 0,
            "untested": 0,
        },
        "detectable": {"gain": 0.125, "examples": 40, "split": "validation", "level": 0.05},
        "honest": "test",
    }
    whole = {"steps": 2, "accepted": 3, "seconds": 1.0, "tokens": {}, "cost": {}, "account": found}
    metrics = result_metrics({**result(), **whole, "selected_on": ["train", "test"], "gate": {}})
    runs = [recorded(0.5, seed) for seed in range(2)]
    told = [replace(one, metrics={**metrics, **one.metrics}) for one in runs]
    printed = as_text(table(told))
    assert "What the runs could show" in printed
    row = next(line for line in printed.splitlines() if "  0.125  " in line)
    for words in ("3.0 (6 of 18)", "75% of 16"):
        assert words in row, row
    assert "In 2 of 2 runs test scores decided" in " ".join(printed.split())
    assert "What the runs could show" not in as_text(table(runs))
