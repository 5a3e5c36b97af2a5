"""Scores that tasks may name: how long an output is, and whether it passes tests."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from sgdflow.homes import expanded

_FENCED = re.compile(r"^(?:```|~~~)[\w.+#-]*\n(.*?)^(?:```|~~~)", re.DOTALL | re.MULTILINE)
_TOLD = 600
"""Characters of what a failing test printed that are handed on: the last ones."""
_LIMITED = """
import os, sys
seconds, megabytes, *command = sys.argv[1:]
try:
    import resource
    for what, most in (
        (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_AS, int(megabytes) * 2**20),
        (resource.RLIMIT_FSIZE, 2**26),
    ):
        resource.setrlimit(what, (most, most))
except ImportError:
    pass
os.execvp(command[0], command)
"""
"""Sets limits, then becomes the command."""


def short(output: Any, words: int) -> Mapping[str, Any]:
    """Return 1 for an output of at most so many words, and less in proportion for a longer one."""
    count = len(str(output).split())
    if count <= words:
        return {"score": 1.0}
    return {"score": words / count, "feedback": f"It has {count} words; {words} are enough."}


async def passes(
    output: Any,
    folder: str,
    command: Sequence[str] = ("python", "-m", "unittest"),
    file: str = "solution.py",
    seconds: int = 10,
    megabytes: int = 1024,
) -> Mapping[str, Any]:
    """Return 1 where a command succeeds in a copy of a folder with the output as one of its files.

    What stands between the first code fences of the output is taken, else all of it.
    """
    files = {file: _code(output)}
    return await asyncio.to_thread(_run, folder, files, command, seconds, megabytes)


async def passes_target(
    output: Any,
    target: str,
    command: Sequence[str] = ("python", "-m", "unittest"),
    file: str = "solution.py",
    tests: str = "test_solution.py",
    seconds: int = 10,
    megabytes: int = 1024,
) -> Mapping[str, Any]:
    """Return the same where the target of an example is the file of its tests."""
    files = {file: _code(output), tests: target}
    return await asyncio.to_thread(_run, None, files, command, seconds, megabytes)


def _code(output: Any) -> str:
    found = _FENCED.search(str(output))
    return found[1] if found else str(output)


def _run(
    folder: str | None,
    files: Mapping[str, str],
    command: Sequence[str],
    seconds: int,
    megabytes: int,
) -> Mapping[str, Any]:
    tests = None if folder is None else expanded(folder)
    if tests is not None and not tests.is_dir():
        raise ValueError(f"there is no folder {folder} with the tests")
    # What escapes may still write there, which is no mistake of the scorer.
    with TemporaryDirectory(ignore_cleanup_errors=True) as place:
        home = Path(place)
        if tests is not None:
            shutil.copytree(tests, home, dirs_exist_ok=True)
        for name, text in files.items():
            (home / name).write_text(text, encoding="utf-8", errors="replace")
        code, said = _ended(home, command, seconds, megabytes)
    if code == 0:
        return {"score": 1.0}
    why = f"took longer than {seconds} s" if code is None else f"ended with exit code {code}"
    return {"score": 0.0, "feedback": f"{' '.join(command)} {why}:\n{said[-_TOLD:].strip()}"}


def _ended(
    home: Path, command: Sequence[str], seconds: int, megabytes: int
) -> tuple[int | None, str]:
    """Return the exit code, None where it took too long, and the end of what was printed."""
    first = sys.executable if command[0] == "python" else command[0]
    words = [sys.executable, "-c", _LIMITED, str(seconds), str(megabytes), first, *command[1:]]
    # No variable of the environment, such as a key, is any business of what a model wrote.
    known = {"PATH": os.environ.get("PATH", ""), "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    # Into a file: its size is limited, and whoever holds it open keeps nobody waiting.
    with TemporaryFile() as said:
        started = subprocess.Popen(
            words,
            cwd=home,
            env=known,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = started.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
        # With all that it has started, which would outlive it.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        said.seek(max(0, said.seek(0, os.SEEK_END) - 4 * _TOLD))
        return code, said.read().decode(errors="replace")
