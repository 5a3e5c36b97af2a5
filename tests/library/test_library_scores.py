"""Shipped scores: the length of an output, and tests that are run on it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from sgdflow.data import Example
from sgdflow.executor.functions import Function
from sgdflow.executor.scores import Score, Verdict
from sgdflow.executor.took import Took
from sgdflow.library.scores import passes, passes_target, short
from sgdflow.llm.scripted import ScriptedLLM

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


def test_what_never_ends_is_ended() -> None:
    found = verdict(passes_target, "while True:\n    pass\n", TESTS, seconds=5)
    assert found.score == 0
    # It is out of processor time, or of time.
    assert "ended with exit code -" in found.feedback or "took longer than 5 s" in found.feedback


def test_what_takes_too_much_memory_is_ended() -> None:
    greedy = f"x = bytearray(2**30)\n{RIGHT}"
    found = verdict(passes_target, greedy, TESTS, seconds=60, megabytes=512)
    assert found.score == 0
    assert "MemoryError" in found.feedback
