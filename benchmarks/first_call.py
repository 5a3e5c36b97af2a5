"""How long `sgdflow optimize` takes to its first word and to its first call.

Each start is a process of its own, at a terminal as a user has one; the endpoint, another process,
notes when the first request comes. MLflow: not used, with a store that is there, with a new one.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import said, serving

_WORDS = (
    "graph=hints", "task=table", "task.path=rows.jsonl", "task.inputs=[question]",
    "task.target=target", "task.splits={train: 16, validation: 8, test: 8}",
    "method.stop.steps=1", "llm=openai",
    "llm.models.backward=openai/canned-gradients", "llm.models.optimizer=openai/canned-rewrites",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Started:
    """Seconds since the command was given."""

    word: float
    call: float
    end: float
    cpu: float
    """Of the process, to its end."""


def main() -> None:
    """Print a line for each way of tracking."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    times = parser.parse_args().times
    print(f"sgdflow optimize, {times} fresh processes each; seconds")
    with TemporaryDirectory() as place:
        there = _folder(Path(place) / "there")
        _started(there, ())
        cases = {
            "no MLflow": [_started(there, ("tracking=none",)) for _ in range(times)],
            "a store that is there": [_started(there, ()) for _ in range(times)],
            "a new store": [_started(_folder(Path(place) / f"{n}"), ()) for n in range(times)],
        }
    for name, found in cases.items():
        shown = [
            f"{what} {said([getattr(one, what) for one in found])}"
            for what in ("word", "call", "end", "cpu")
        ]
        print(f"  {name:<22} {'   '.join(shown)}")


def _folder(path: Path) -> Path:
    path.mkdir()
    rows = [{"question": f"What is {n} + {n}?", "target": "41"} for n in range(100, 140)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (path / "rows.jsonl").write_text(text, encoding="utf-8")
    return path


def _started(folder: Path, words: Sequence[str]) -> Started:
    """Run once, with an endpoint of its own that no run has asked yet."""
    with serving(0.01) as served:
        said = [*_WORDS, f"llm.api_base={served.url}", "llm.store.mode=off", *words]
        began = time.monotonic()
        word, cpu = _at_a_terminal([sys.executable, "-m", "sgdflow", "optimize", *said], folder)
        end = time.monotonic()
    return Started(word - began, served.seen["first"] - began, end - began, cpu)


def _at_a_terminal(command: Sequence[str], folder: Path) -> tuple[float, float]:
    """Run to the end; return when the first word came, and the CPU time."""
    ours, theirs = os.openpty()
    known = {**os.environ, "OPENAI_API_KEY": "none"}
    with subprocess.Popen(
        command, cwd=folder, env=known, stdout=subprocess.DEVNULL, stderr=theirs
    ) as ran:
        os.close(theirs)
        os.read(ours, 1)
        word = time.monotonic()
        try:
            while os.read(ours, 65536):
                pass
        except OSError:  # the other end was closed
            pass
        _, status, used = os.wait4(ran.pid, 0)
        ran.returncode = os.waitstatus_to_exitcode(status)
    os.close(ours)
    assert ran.returncode == 0, command
    return word, used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
