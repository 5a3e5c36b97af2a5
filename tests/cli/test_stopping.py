"""Ctrl-C once stops the work in good order, and soon; twice ends the process, whatever it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from started import served

from sgdflow.records.owner import check_free

SOON = 2.0
"""Seconds that whoever pressed Ctrl-C waits at most."""

PROGRAM = """
import asyncio, os, signal, sys
from sgdflow.cli.stopping import Stopper, run

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

async def work():
    try:
        interrupt()
        await asyncio.sleep(60)
    finally:
        {clean_up}

Stopper().listen()
try:
    run(work(), "The same words go on.")
except KeyboardInterrupt:
    {afterwards}
"""


def ended(clean_up: str, afterwards: str) -> tuple[int, str, str]:
    program = PROGRAM.format(clean_up=clean_up, afterwards=afterwards)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_first_lets_the_work_clean_up() -> None:
    code, said, told = ended("await asyncio.sleep(0); print('tidy')", "sys.exit('stopped')")
    assert (code, said) == (1, "tidy\n")
    assert told == "\nStopping. Once more ends it at once.\nstopped\n"


def test_the_second_ends_a_process_that_does_not_stop() -> None:
    code, _, told = ended("interrupt(); await asyncio.sleep(60)", "sys.exit('stopped')")
    assert (code, told.splitlines()[-1]) == (130, "Ended at once.")


def test_the_second_ends_a_process_that_stopped_and_hangs_afterwards() -> None:
    code, _, told = ended("pass", "interrupt(); import time; time.sleep(60)")
    assert (code, told.splitlines()[-1]) == (130, "Ended at once.")


def test_time_ends_a_process_that_does_not_stop_and_says_how_to_go_on() -> None:
    began = time.monotonic()
    code, _, told = ended("import time; time.sleep(60)", "sys.exit('stopped')")
    assert time.monotonic() - began < SOON + 1.5  # the start of an interpreter among it
    assert code == 130
    assert told.splitlines()[-2:] == ["Ended without waiting any longer.", "The same words go on."]


def interrupted(
    folder: Path, words: list[str], moment: Callable[[], bool]
) -> tuple[float, int, str]:
    """Return the seconds from Ctrl-C at that moment to the end, how it ended, what was said."""
    said = folder / "said.txt"
    with said.open("w") as output:
        program = [sys.executable, "-m", "sgdflow", "optimize", *words]
        root = {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        started = subprocess.Popen(
            program, cwd=folder, env={**os.environ, **root}, stdout=output, stderr=output
        )
    end = time.monotonic() + 60
    while not moment():
        assert started.poll() is None, said.read_text()
        assert time.monotonic() < end
        time.sleep(0.01)
    began = time.monotonic()
    started.send_signal(signal.SIGINT)
    code = started.wait(30)
    return time.monotonic() - began, code, said.read_text()


GOES_ON = "To go on where it stopped: the same command with hydra.run.dir=run"


def test_220_examples_under_way_are_given_up(tmp_path: Path) -> None:
    with served(30) as (url, asked):
        # Every example asks something else; what is alike would be asked once. The client begins
        # with 64 calls at once.
        words = ["graph=single", "llm=vllm", f"llm.api_base={url}", "llm.limits.concurrency=200"]
        words += ["task.splits={train: 220, validation: 0, test: 20}", "hydra.run.dir=run"]
        words += ["tracking=none", "llm.check=false", "llm.limits.first=null", "method.lazy=false"]
        took, code, said = interrupted(tmp_path, words, lambda: len(asked) >= 64)
    assert took < SOON
    assert code == 130
    assert said.endswith(f"{GOES_ON}\nInterrupted.\n")
    assert not (tmp_path / "run" / "owner.json").exists()


SMALL = [
    "hydra.run.dir=run",
    "task.splits={train: 4, validation: 2, test: 2}",
    "method.stop.steps=1",
]


def was_ended(said: str) -> bool:
    return said.endswith("Interrupted.\n") or "\nEnded without waiting any longer.\n" in said


@pytest.mark.parametrize(
    "file",
    [
        "run/owner.json",
        pytest.param("mlflow.db", marks=pytest.mark.long),
        pytest.param("mlartifacts", marks=pytest.mark.long),
    ],
)
def test_nobody_waits_for_mlflow(file: str, tmp_path: Path) -> None:
    """While it is imported, makes its tables and takes the configuration, beside models at work."""
    with served(30) as (url, _):
        words = [*SMALL, "llm=vllm", f"llm.api_base={url}", "llm.check=false"]
        took, code, said = interrupted(tmp_path, words, (tmp_path / file).exists)
    assert took < SOON
    assert (code, was_ended(said)) == (130, True), said
    assert not (tmp_path / "run" / "result.json").exists()
    assert GOES_ON in said or file == "run/owner.json"  # which is there before the run begins
    check_free(tmp_path / "run")


def test_nobody_waits_for_what_mlflow_takes_of_a_run_that_has_ended(tmp_path: Path) -> None:
    took, code, said = interrupted(tmp_path, SMALL, (tmp_path / "run/result.json").exists)
    assert took < SOON
    # There is a result, and MLflow may take the rest in time.
    assert (code, was_ended(said)) in ((0, False), (130, True))
    assert was_ended(said) or "Read it: " in said
    check_free(tmp_path / "run")
