"""Shipped scores: the length of an output, and tests that are run on it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import pytest

from sgdflow.data import Example
from sgdflow.executor.functions import Function
from sgdflow.executor.scores import Score, Verdict
from sgdflow.executor.took import Took
from sgdflow.library.scores import passes, passes_target, short
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.processes import runs

TESTS = """
import os
import unittest

from solution import double


class Doubling(unittest.TestCase):
    def test_it(self):
        self.assertEqual(double(4), 8)
        self.assertNotIn("A_KEY", os.environ)
"""
RIGHT = "def double(x):\n    return 2 * x\n"


def verdict(call: Any, output: str, target: Any = None, **constants: Any) -> Verdict:
    score = Score(Function(call, call.__name__, constants))
    assert list(score.problems([], [])) == []
    return asyncio.run(score(Example("one", {}, target), {}, output, ScriptedLLM({}), Took()))


def test_a_longer_output_is_worth_less_and_told_so() -> None:
    assert verdict(short, "one two three", words=3) == Verdict(1.0)
    found = verdict(short, "one two three four", words=3)
    assert found == Verdict(0.75, "It has 4 words; 3 are enough.")


@pytest.mark.parametrize("around", ["{}", "Here it is:\n```python\n{}```\nIt doubles."])
def test_code_that_passes_its_tests_is_right(
    around: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "secret")
    output = around.format(RIGHT)
    seconds = 60
    assert verdict(passes_target, output, TESTS, seconds=seconds) == Verdict(1.0)
    (tmp_path / "test_it.py").write_text(TESTS)
    assert verdict(passes, output, folder=str(tmp_path), seconds=seconds) == Verdict(1.0)
    assert os.listdir(tmp_path) == ["test_it.py"]  # noqa: PTH208


def test_code_that_fails_is_wrong_and_what_was_said_is_handed_on() -> None:
    found = verdict(passes_target, "def double(x):\n    return x\n", TESTS, seconds=60)
    assert found.score == 0
    assert found.feedback.startswith("python -m unittest ended with exit code 1:\n")
    assert "AssertionError: 4 != 8" in found.feedback


SLEEPS = "import time\n\ntime.sleep(60)\n"
IN_THE_WAY = """
import subprocess, sys

began = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session={alone}
)
"""


@pytest.mark.parametrize(
    "output",
    [
        SLEEPS,
        "while True:\n    pass\n",
        # What it has started holds on to what it prints, and may be out of reach.
        IN_THE_WAY.format(alone=False) + SLEEPS,
        IN_THE_WAY.format(alone=True) + SLEEPS,
    ],
)
def test_what_never_ends_is_ended(output: str) -> None:
    began = time.monotonic()
    found = verdict(passes_target, output, TESTS, seconds=3)
    assert time.monotonic() - began < 45
    assert found.score == 0
    # It is out of processor time, or of time.
    assert "ended with exit code -" in found.feedback or "took longer than 3 s" in found.feedback


@pytest.mark.parametrize("sleeps", ["", SLEEPS])
def test_nothing_that_it_has_started_is_left(sleeps: str, tmp_path: Path) -> None:
    """Also where the tests pass, and what was started keeps to itself."""
    starts = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(\n"
        "    [sys.executable, '-c', 'import time; time.sleep(60)'],\n"
        "    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,\n"
        ")\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
    )
    seconds = 10 if sleeps else 60
    found = verdict(passes_target, f"{starts}{sleeps}{RIGHT}", TESTS, seconds=seconds)
    assert found.score == (0 if sleeps else 1)
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 20
    while runs(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not runs(child)


WRITES_ON = """
import os, time

if os.fork() == 0:
    os.setsid()
    until = time.monotonic() + 2
    at = 0
    while time.monotonic() < until:
        at += 1
        os.makedirs(f"d{at % 7}", exist_ok=True)
        open(f"d{at % 7}/f{at}", "w").close()
    os._exit(0)
time.sleep(0.3)
"""


@pytest.mark.parametrize("output", [WRITES_ON, "said = '\ud800'\n"])
def test_nothing_that_is_written_stops_the_run(output: str) -> None:
    """Neither what goes on writing where nothing should be left, nor half a character."""
    assert verdict(passes_target, f"{output}{RIGHT}", TESTS, seconds=60) == Verdict(1.0)


LIMITED = """
import resource
import unittest


class Limits(unittest.TestCase):
    def test_processor(self):
        self.assertEqual(resource.getrlimit(resource.RLIMIT_CPU), (61, 61))

    def test_file(self):
        with open("large", "wb") as file:
            file.truncate(2**26)
            with self.assertRaises(OSError):
                file.truncate(2**26 + 1)
"""


def test_processor_time_and_files_have_limits() -> None:
    assert verdict(passes_target, "", LIMITED, seconds=61) == Verdict(1.0)


def test_of_what_is_printed_without_end_the_end_is_told() -> None:
    prints = "print('\\xfc' * 10**7)\nprint('the end')\nraise SystemExit(3)\n"
    command = ["python", "solution.py"]
    found = verdict(passes_target, prints, TESTS, seconds=60, command=command)
    assert found.feedback.startswith("python solution.py ended with exit code 3:\n")
    assert found.feedback.endswith("the end")
    assert len(found.feedback) < 700


def test_what_takes_too_much_memory_is_ended() -> None:
    greedy = f"x = bytearray(2**30)\n{RIGHT}"
    found = verdict(passes_target, greedy, TESTS, seconds=60, megabytes=512)
    assert found.score == 0
    assert "MemoryError" in found.feedback
