"""Every run leaves a report, and none fails for it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sgdflow import report
from sgdflow.cli.browse import report as report_command
from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.errors import ConfigError
from sgdflow.llm import Message
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import optimise
from sgdflow.simulation.worlds import reply
from sgdflow.tracking import NullTracker

Script = Callable[[str, str, Sequence[Message]], str]
SMALL = ("task.splits={train: 10, validation: 4, test: 4}", "method.stop.steps=2")


class Seeing(NullTracker):
    """Looks for the report when the run's files are recorded."""

    def __init__(self) -> None:
        self.saw = False

    def finished(self, result: Mapping[str, Any], folder: Path) -> None:
        self.saw = (folder / report.NAME).is_file()


def simulated(role: str, node: str, messages: Sequence[Message]) -> str:
    return reply(messages, 0)


def run(folder: Path, script: Script, *words: str) -> Seeing:
    # A generated graph: its configuration names a function, not the nodes.
    raw = compose(["experiments=quickstart", "tracking=none", "graph=desk", *SMALL, *words])
    ready = prepare(raw, Prompts(prompt_folders(Path("nowhere"))), {})
    tracker = Seeing()
    asyncio.run(optimise(ready, raw, ScriptedLLM(script), tracker, RunFolder(folder)))
    return tracker


def test_run_leaves_a_report_that_the_command_writes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, simulated).saw
    again = tmp_path / "again.html"
    assert report_command([str(tmp_path), "--out", str(again)]) == 0
    assert capsys.readouterr().out == f"{again}\n"
    assert again.read_bytes() == (tmp_path / report.NAME).read_bytes()
    with pytest.raises(ConfigError) as refused:
        report_command([str(tmp_path), "--out", str(tmp_path)])
    told = f"{tmp_path} is a folder: name the file in it, --out {tmp_path / report.NAME}."
    assert str(refused.value) == told


def test_interrupted_run_leaves_a_report_of_its_steps(tmp_path: Path) -> None:
    def interrupted(role: str, node: str, messages: Sequence[Message]) -> str:
        if (tmp_path / "steps.jsonl").stat().st_size:
            for task in asyncio.all_tasks():
                task.cancel()
        return simulated(role, node, messages)

    with pytest.raises(asyncio.CancelledError):
        run(tmp_path, interrupted)
    text = (tmp_path / report.NAME).read_text(encoding="utf-8")
    assert "Not finished: this is what 1 step left." in text


def test_report_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / f"{report.NAME}.new").mkdir()
    assert not run(tmp_path, simulated).saw
    assert (tmp_path / "result.json").is_file()
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert [w.split(":")[0] for w in warnings if "report" in w] == ["report.html is not written"]


@pytest.mark.parametrize(("seed", "told"), [(0, 0), (2, 1)])
def test_a_line_over_a_growing_number_of_examples_says_so(
    tmp_path: Path, seed: int, told: int
) -> None:
    words = ["method.sample.count=1", "method.stop.steps=6", "task.splits.train=24"]
    run(tmp_path, simulated, *words, f"seed={seed}")
    steps = (tmp_path / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    known = {json.loads(step)["scores"]["train"]["n"] for step in steps}
    assert (len(known) > 1) == told
    text = (tmp_path / report.NAME).read_text(encoding="utf-8")
    assert text.count("is over those known by then") == told
