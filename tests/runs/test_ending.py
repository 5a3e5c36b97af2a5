"""A run without a result says why, never ends with 0, and goes on once the trouble is gone."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from forks import forked

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import BudgetSpent, CallFailed, NoResult
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.records.resume import finished
from sgdflow.runs.run import evaluate, optimise
from sgdflow.tracking import NullTracker
from sgdflow.tracking.client import client
from sgdflow.tracking.store import store_uri

SMALL = [f"task.splits.{split}=2" for split in ("train", "validation", "test")]
GONE_ON = "Mend the cause; the same command goes on."
GRAPH = """\
name: troubled
inputs: [order]
nodes:
  read: {predecessors: [order], forward: {_target_: trouble.read}}
  desk: {predecessors: [read], parameters: {instruction: Say the price.}}
output: desk
"""
TROUBLE = """\
from pathlib import Path

def read(order):
    if Path("down").exists():
        raise RuntimeError("the archive is down")
    return order
"""

Reply = Callable[[str, str, Sequence[Message]], str | Exception]


def start(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).resolve().parents[2])
    words = (*words, "--config-dir", "conf", "graph=troubled", *SMALL)
    return forked(folder, *words, environment={**os.environ, "PYTHONPATH": root})


@pytest.fixture
def troubled(tmp_path: Path) -> Path:
    (tmp_path / "conf" / "graph").mkdir(parents=True)
    (tmp_path / "conf" / "graph" / "troubled.yaml").write_text(GRAPH)
    (tmp_path / "trouble.py").write_text(TROUBLE)
    (tmp_path / "down").touch()
    return tmp_path


def why(split: str) -> str:
    return (
        f"There is no result: none of 2 {split} examples could be scored (read: trouble.read "
        f"raised RuntimeError: the archive is down (trouble.py, line 5)). {GONE_ON}"
    )


def test_a_run_without_a_score_fails_and_goes_on_when_the_trouble_is_gone(troubled: Path) -> None:
    def recorded() -> tuple[str, str, str]:
        (found,) = client(store_uri(None, troubled)).search_runs(["1"])
        return found.info.run_id, found.info.status, found.data.tags["sgdflow.stop_reason"]

    words = ["optimize", "hydra.run.dir=run", "method.stop.steps=1", "tracking.model=false"]
    words += ["tracking.prompts=false", "llm.limits.first=null"]
    ended = start(troubled, *words)
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"{why('train')}\n")
    assert "same command with hydra.run.dir=run" in ended.stdout
    assert not (troubled / "run" / "result.json").exists()
    assert finished(troubled / "run", tracked=False) is None
    run_id, status, reason = recorded()
    assert (status, reason) == ("FAILED", f"NoResult: {why('train')}")
    (troubled / "down").unlink()
    again = start(troubled, *words)
    assert again.returncode == 0, again.stderr
    assert recorded()[:2] == (run_id, "FINISHED")
    assert json.loads((troubled / "run" / "result.json").read_text())["scores"]["test"]["final"]
    assert start(troubled, *words).stdout.splitlines()[-1] == str(troubled / "run")


def test_a_score_of_nothing_is_no_evaluation(troubled: Path) -> None:
    words = ["evaluate", "tracking=none", "hydra.run.dir=run", "split=validation"]
    words.append("llm.limits.first=null")
    ended = start(troubled, *words)
    assert (ended.returncode, ended.stderr) == (1, f"{why('validation')}\n")
    assert len(json.loads((troubled / "run" / "evaluation.json").read_text())["failures"]) == 2
    (troubled / "down").unlink()
    assert start(troubled, *words).returncode == 0


def ran(folder: Path, reply: Reply, *words: str) -> dict[str, Any]:
    raw = compose(["tracking=none", *SMALL, "task.splits.validation=0", *words])
    ready = prepare(raw, Prompts(prompt_folders(folder)), {})
    llm = ScriptedLLM(reply)
    return asyncio.run(optimise(ready, raw, llm, NullTracker(), RunFolder(folder)))


DOWN = CallFailed("the endpoint is down", "server")


def optimizer_down(role: str, node: str, messages: Sequence[Message]) -> str | Exception:
    texts = {"forward": "<output>7</output>", "backward": "<gradient>More.</gradient>" * 3}
    return texts.get(role, DOWN)


def backward_down(role: str, node: str, messages: Sequence[Message]) -> str | Exception:
    return "<output>7</output>" if role == "forward" else DOWN


def forward_down_with_the_proposal(
    role: str, node: str, messages: Sequence[Message]
) -> str | Exception:
    if role == "optimizer":
        return "<improved>Anew.</improved>"
    if role == "forward":
        return DOWN if "Anew." in messages[-1].content else "<output>7</output>"
    names = ("weight", "zone", "service")
    return "".join(f"<{n}><gradient>More.</gradient></{n}>" for n in names)


@pytest.mark.parametrize(
    ("reply", "learning", "reason"),
    [
        (optimizer_down, "desk", "no usable proposal (desk.instruction: the endpoint is down)"),
        (backward_down, "zone", "no gradient reached a parameter (desk: the endpoint is down)"),
        (
            forward_down_with_the_proposal,
            "desk",
            "2 of 2 examples fail with the proposal (desk: the endpoint is down)",
        ),
    ],
    ids=["optimizer", "backward", "gate"],
)
def test_a_run_that_lost_every_proposal_has_no_result(
    reply: Reply, learning: str, reason: str, tmp_path: Path
) -> None:
    words = ["method.stop.steps=2", f"method.update.parameters=[{learning}.instruction]"]
    with pytest.raises(NoResult) as raised:
        ran(tmp_path, reply, *words)
    assert str(raised.value) == (
        "There is no result: all proposals of 2 steps were lost to failures, the last one: "
        f"{reason}. {GONE_ON}"
    )
    assert not (tmp_path / "result.json").exists()
    assert len((tmp_path / "steps.jsonl").read_text().splitlines()) == 2


def test_a_proposal_that_was_decided_is_a_result_and_so_are_scores_alone(tmp_path: Path) -> None:
    steps: Iterator[str | Exception] = iter([DOWN, "<improved>Anew.</improved>"])

    def sometimes(role: str, node: str, messages: Sequence[Message]) -> str | Exception:
        return next(steps) if role == "optimizer" else optimizer_down(role, node, messages)

    words = ["method=no_gradient", "method.update.parameters=[desk.instruction]"]
    record = ran(tmp_path / "a", sometimes, *words, "method.stop.steps=2")
    assert (record["steps"], record["accepted"]) == (2, 0)
    assert ran(tmp_path / "b", optimizer_down, "method.stop.steps=0")["steps"] == 0


def test_a_budget_that_lets_nothing_be_scored_leaves_no_result(tmp_path: Path) -> None:
    def spent(role: str, node: str, messages: Sequence[Message]) -> str | Exception:
        return BudgetSpent("llm.limits.budget: 1 of 1 calls were made")

    with pytest.raises(NoResult, match=r"nothing was scored .llm.limits.budget: 1 of 1 calls"):
        ran(tmp_path, spent, "method.stop.steps=1")


def test_one_failure_is_told_in_the_singular(tmp_path: Path) -> None:
    raw = compose(
        ["tracking=none", "task.splits={train: 1, validation: 0, test: 1}", "llm.limits.first=null"]
    )
    ready = prepare(raw, Prompts(prompt_folders(tmp_path)), {})
    work = evaluate(ready, ScriptedLLM(lambda *_: DOWN), RunFolder(tmp_path))
    with pytest.raises(NoResult) as raised:
        asyncio.run(work)
    told = "the test example could not be scored (weight: the endpoint is down)"
    assert str(raised.value) == f"There is no result: {told}. {GONE_ON}"
    # Launchers carry it from one process to another.
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
