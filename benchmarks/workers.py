"""What workers bring (docs/scale.md): time of `sgdflow evaluate`, alone and with some.

Two jobs: a Python node that computes for 30 ms, on 240 examples; and 3,000 calls of 20 ms over
HTTP, 64 at once, to an endpoint on the same cores. With --ray the workers are a Ray cluster's
that begins and ends with the run (`pip install 'sgdflow[ray]'`).

python benchmarks/workers.py [--ray] [--times N] [COUNT ...]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from measure import said, serving

_COMPUTING = '''
import time


def answer(question: str) -> str:
    """Compute for 30 ms of CPU time."""
    until = time.thread_time() + 0.03
    while time.thread_time() < until:
        pass
    return question
'''
_GRAPH = """
name: computing
inputs: [question]
nodes:
  answer: {predecessors: [question], forward: {_target_: computing.answer}}
output: answer
"""
_JOBS = {
    "240 examples, 30 ms of CPU each": (240, ["graph=computing", "method.stop.steps=0"]),
    "3,000 calls of 20 ms": (1000, ["graph=hints_divided", "llm.check=false"]),
}


def main() -> None:
    """Print a row for each job and number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("counts", type=int, nargs="*", default=[0, 1, 2, 4])
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--times", type=int, default=2)
    asked = parser.parse_args()
    where = ["workers.where=ray"] if asked.ray else []
    for name, (examples, words) in _JOBS.items():
        found: dict[int, list[tuple[float, float]]] = {count: [] for count in asked.counts}
        for _ in range(asked.times):
            for count, times in found.items():
                more = [f"workers.count={count}", *where] if count else []
                times.append(_measured(examples, [*words, *more]))
        print(name)
        for count, times in found.items():
            wall, cpu = (said([one[i] for one in times], ".1f") for i in (0, 1))
            print(f"  {count or 'no'} workers   wall {wall} s   CPU {cpu} s", flush=True)


def _measured(examples: int, words: Sequence[str]) -> tuple[float, float]:
    """Return seconds, and CPU time of run and workers, of one run in a process of its own.

    A Ray cluster's own processes are not among those whose CPU time is known.
    """
    with TemporaryDirectory() as place, serving(0.02) as served:
        folder = Path(place)
        (folder / "conf" / "graph").mkdir(parents=True)
        (folder / "conf" / "graph" / "computing.yaml").write_text(_GRAPH, encoding="utf-8")
        (folder / "computing.py").write_text(_COMPUTING, encoding="utf-8")
        rows = ({"question": f"What is {n} + {n}?", "target": "42"} for n in range(examples + 1))
        table = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "rows.jsonl").write_text(table, encoding="utf-8")
        said_by = [
            sys.executable,
            "-m",
            "sgdflow",
            "evaluate",
            "task=table",
            "task.path=rows.jsonl",
        ]
        said_by += ["task.inputs=[question]", "task.target=target", "split=test", "tracking=none"]
        said_by += [f"task.splits={{train: 1, validation: 0, test: {examples}}}", "llm=openai"]
        said_by += [f"llm.api_base={served.url}", *words]
        environ = {**os.environ, "OPENAI_API_KEY": "none"}
        before, began = os.times(), time.monotonic()
        run = subprocess.run(said_by, cwd=folder, env=environ, capture_output=True, check=False)
        wall, after = time.monotonic() - began, os.times()
        assert run.returncode == 0, run.stderr.decode()
    cpu = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return wall, cpu


if __name__ == "__main__":
    main()
