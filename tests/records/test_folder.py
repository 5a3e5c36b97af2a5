"""Records that cannot be written cost a message, never the run that was paid for."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sgdflow.errors import ConfigError, NoResult
from sgdflow.records import RunFolder, as_json, read_json

ROOT = Path(__file__).resolve().parents[2]
TEXTS = {"a.b": "text"}


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("no")


def loop() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["itself"] = found
    return found


def test_whatever_code_returns_becomes_a_line() -> None:
    values = [
        {("a", 1): 2, 3: "x"}, {"half": "\ud83d", "odd": "\u2028\x00\x1b"}, {"object": Odd()},
        {"set": {1}}, {"deep": eval("[" * 80 + "]" * 80)}, loop(), {"bytes": b"\xff"},
    ]  # fmt: skip
    for value in values:
        line = as_json(value)
        assert "\n" not in line
        line.encode("utf-8")
        assert isinstance(json.loads(line), dict)
    assert json.loads(as_json(values[0])) == {"('a', 1)": 2, "3": "x"}
    assert json.loads(as_json(values[1])) == values[1]  # half a character stays what it is


def test_steps_of_an_earlier_start_are_known_whatever_is_in_their_texts(tmp_path: Path) -> None:
    first: list[dict[str, Any]] = [
        {"step": 1, "text": "a\u2028b\x85c\u2029"},
        {"step": 2, "text": "d\ud83d"},
    ]
    folder = RunFolder(tmp_path)
    folder.begin({}, TEXTS)
    assert [folder.append(step, {}) for step in first] == [False, False]
    with (tmp_path / "steps.jsonl").open("a") as steps:
        steps.write('{"step": 3, "te')  # a kill in the middle
    again = RunFolder(tmp_path)
    again.begin({}, TEXTS)
    assert again.known == 2
    assert [again.append(step, {}) for step in (*first, {"step": 3})] == [True, True, False]


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_what_cannot_be_written_is_said_once_and_caught_up_in_order(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin({"a": 1}, TEXTS)
    steps = folder.path / "steps.jsonl"
    folder.append({"step": 1}, {"step": 1})
    kept = steps.read_text()
    steps.unlink()
    steps.mkdir()  # nothing can be written there, not even by root
    folder.append({"step": 2}, {"step": 2})
    folder.save({"a.b": "better"})
    assert said(caplog) == [
        f"{steps} cannot be written (Is a directory). The run goes on; what is missing is tried "
        "again with each further record and at the end."
    ]
    steps.rmdir()
    steps.write_text(kept)
    folder.append({"step": 3}, {"step": 3})
    assert said(caplog)[1:] == [f"{folder.path} can be written again; nothing is missing."]
    for name in ("steps.jsonl", "calls.jsonl"):
        lines = (folder.path / name).read_text().splitlines()
        assert [json.loads(line)["step"] for line in lines] == [1, 2, 3]
    assert (folder.path / "parameters.yaml").read_text() == "a.b: better\n"
    folder.finish({"scores": {}})
    folder.check()


def test_a_result_that_cannot_be_written_is_no_result_and_its_texts_are_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = RunFolder(tmp_path)
    folder.begin({}, TEXTS)
    (tmp_path / "parameters.yaml.new").mkdir()
    folder.save({"a.b": "the best text"})
    folder.finish({"scores": {}})
    with pytest.raises(NoResult) as told:
        folder.check()
    assert "parameters.yaml, result.json could not be written into" in str(told.value)
    assert "the same command goes on" in str(told.value)
    assert said(caplog)[-1] == (
        "The best parameters, which could not be written:\na.b: the best text\n"
    )
    assert read_json(tmp_path / "result.json") is None


def test_a_place_that_cannot_be_written_is_told_before_anything_is_paid(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written \(Not a directory\): choose another"):
        RunFolder(tmp_path / "file" / "run")
    folder = RunFolder(tmp_path / "run")
    (folder.path / "config.yaml.new").mkdir()
    with pytest.raises(ConfigError, match=r"hydra\.run\.dir=DIR"):
        folder.begin({}, TEXTS)


def small_files() -> None:
    """Let no file of the process grow beyond 40 kB, as if the disk were full then."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


@pytest.mark.timeout(240)
def test_a_disk_that_fills_up_during_a_run_costs_records_and_no_traceback(
    tmp_path: Path, endpoint: str
) -> None:
    words = ["graph=tariff", "task=tariff", "task.splits.train=10", "task.splits.validation=4"]
    words += ["task.splits.test=4", "method.stop.steps=2", "llm=vllm", f"llm.api_base={endpoint}"]
    words += ["hydra.run.dir=run", "llm.limits.backoff=0.01", "tracking=none"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(full: bool) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sgdflow", "optimize", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=small_files if full else None,
        )

    full = run(True)
    told = full.stdout + full.stderr
    assert "Traceback" not in told
    assert "Logging error" not in told
    assert "replies.db takes no more replies" in told
    assert "The run goes on" in told
    assert "Stopped after 2 steps" in told  # all that was paid for was used
    assert full.returncode == 1
    assert "could not be written into" in told
    # With room, the same command brings the rest.
    whole = run(False)
    assert whole.returncode == 0, whole.stderr
    steps = (tmp_path / "run" / "steps.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in steps] == [1, 2]
    assert (tmp_path / "run" / "result.json").is_file()
