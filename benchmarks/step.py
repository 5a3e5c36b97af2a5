"""Wall and CPU time of one small step, in a fresh process, through litellm over HTTP on loopback.

Two hints and an answer: 32 examples forward, then one backward pass over 2 failures and one
update of 3 parameters; 96 + 2 + 3 calls of 100 ms. The ideal is the critical path: hint, answer,
gradient and new text one after the other, 4 x 100 ms; where the first five examples go ahead of
all others (llm.limits.first, as shipped), their hint and answer come on top. What is measured
begins with everything imported and declared and no call made, and ends when the step is recorded.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measure import client, endpoint, said

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.descent import Descent, Scores, Step
from sgdflow.prompting.templates import Prompts

_LATENCY = 0.1
_PATHS = {"null": 4, "5": 6}
"""llm.limits.first -> calls one after the other."""
_CALLS = {"forward": 96, "backward": 2, "optimizer": 3}


class _Watch:
    """Notes when the step was recorded, and what it had taken."""

    def __init__(self) -> None:
        self.seconds = self.cpu = 0.0
        self.calls: dict[str, int] = {}

    def scored(self, initial: Scores) -> None:
        """Do nothing."""

    def stepped(self, step: Step) -> None:
        """Look at the clock."""
        self.seconds, self.cpu = time.perf_counter(), time.process_time()
        self.calls = {role: spent.calls for role, spent in step.spent[1].items()}


def _prepared(folder: Path, first: str) -> Prepared:
    rows = [{"question": f"What is {n} + {n}?", "target": f"{2 * n}"} for n in range(100, 133)]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = [
        "graph=hints",
        "graph.nodes.hint_2.parameters.instruction=Say what to look out for.",  # no shared calls
        "task=table",
        f"task.path={file}",
        "task.inputs=[question]",
        "task.target=target",
        "task.splits={train: 32, validation: 0, test: 1}",
        "method=no_gate",
        "method.batch=32",
        "method.stop.steps=1",
        "method.lazy=false",  # all 32 are scored
        "method.sample.count=2",
        "method.update.checks=false",  # what the endpoint says is no new text for all
        "tracking=none",
        f"llm.limits.first={first}",
    ]
    return prepare(compose(words), Prompts(prompt_folders(Path())), {})


async def _measure(url: str, first: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        ready = _prepared(Path(folder), first)
    async with client(url, 128) as llm:
        watch = _Watch()
        # No test example is scored first: that would be a path of its own.
        problem = replace(ready.problem, splits=replace(ready.problem.splits, test=()))
        descent = Descent(problem, ready.method, llm, watch)
        seconds, cpu = time.perf_counter(), time.process_time()
        await descent.run(ready.start)
    assert watch.calls == _CALLS, watch.calls
    return {"wall": watch.seconds - seconds, "cpu": watch.cpu - cpu}


def main() -> None:
    """Measure in fresh processes, and print a table."""
    parser = argparse.ArgumentParser(description="One step.")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--first", default="5", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.url:
        print(json.dumps(asyncio.run(_measure(arguments.url, arguments.first))))
        return
    measured: dict[str, list[dict[str, float]]] = {first: [] for first in _PATHS}
    for _ in range(arguments.times):
        for first, found in measured.items():
            with endpoint(_LATENCY) as url:
                command = [sys.executable, __file__, "--url", url, "--first", first]
                run = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                found.append(json.loads(run.stdout))
    calls = sum(_CALLS.values())
    print(f"one step, {calls} calls of {_LATENCY * 1000:g} ms, {arguments.times} fresh processes")
    for first, found in measured.items():
        ideal = _PATHS[first] * _LATENCY
        print(f"  llm.limits.first={first}, ideal {ideal:.1f} s")
        print(f"  wall s             {said([one['wall'] for one in found])}")
        print(f"  wall / ideal       {said([one['wall'] / ideal for one in found])}")
        print(f"  CPU ms a call      {said([1000 * one['cpu'] / calls for one in found])}")


if __name__ == "__main__":
    main()
