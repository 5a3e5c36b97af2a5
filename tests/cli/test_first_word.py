"""What a user at a terminal sees before anything slow begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pty")


def seen(folder: Path, *words: str) -> str:
    """Return what a terminal shows of a command's errors and of what it imports meanwhile."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-X", "importtime", "-m", "sgdflow", *words]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=theirs) as ran:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end was closed
                part = b""
            if not part:
                break
            parts.append(part)
        os.close(ours)
        assert ran.wait(100) is not None
    return b"".join(parts).decode()


@pytest.mark.parametrize("command", ["optimize", "evaluate", "plan", "optimize -m"])
def test_the_first_word_comes_before_what_is_slow(command: str, tmp_path: Path) -> None:
    said = seen(tmp_path, *command.split(), "task=nosuch")
    first = said.index("Reading the configuration ...\r\n")
    for slow in ("asyncio", "pydantic", "omegaconf", "hydra", "sgdflow.config"):
        assert said.index(f" {slow}\r\n") > first
    assert "nosuch" in said[first:]


def test_whoever_asks_for_help_or_reads_a_file_gets_no_such_word(tmp_path: Path) -> None:
    assert "Reading the configuration" not in seen(tmp_path, "optimize", "--help")
    for command in ("plan", "optimize"):
        words = [sys.executable, "-m", "sgdflow", command, "task=nosuch"]
        ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        # There it holds what went wrong and nothing else.
        assert "nosuch" in ran.stderr.splitlines()[0]
        assert ran.stdout == ""
