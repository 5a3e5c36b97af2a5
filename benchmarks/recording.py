"""What tracking adds to a run: 20 steps of five analysts and a desk, MLflow on a sqlite file.

`python benchmarks/recording.py --latency 0.1 --times 3`, where latency is the seconds that each
call of the simulated models takes. Prints a table; runs with and without MLflow take turns.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.llm import Message, Reply, Spent
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import optimise
from sgdflow.simulation.worlds import reply
from sgdflow.tracking import open_tracker
from sgdflow.tracking.client import prepare as make_store
from sgdflow.tracking.store import store_uri

_STEPS = 20
_TASK = [
    *("graph=desk", "task=tariff", "task.data.parts=5"),
    "task.splits={train: 20, validation: 10, test: 10}",
]
_METHOD = [
    *("method=no_gate", "method.batch=10", f"method.stop.steps={_STEPS}"),
    "method.sample.count=1",  # little is learned in a step, so that all of them are taken
]
KINDS: Mapping[str, Sequence[str]] = {
    "none": ["tracking=none"],
    "metrics and files": ["tracking.prompts=false", "tracking.traces=0"],
    "and prompts": ["tracking.traces=0"],
    "and traces": [],
}


class _Slow:
    """Simulated models that take their time."""

    def __init__(self, latency: float) -> None:
        self._llm = ScriptedLLM(lambda role, node, messages: reply(messages, 0))
        self._latency = latency

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str, sample: int = 0
    ) -> Reply:
        await asyncio.sleep(self._latency)
        return await self._llm.complete(role, messages, node=node, sample=sample)

    def spent(self) -> Mapping[str, Spent]:
        return self._llm.spent()

    def by_node(self) -> Mapping[str, Mapping[str, Spent]]:
        return self._llm.by_node()

    def latencies(self) -> Mapping[str, Sequence[float]]:
        return {}


def _run(kind: str, latency: float, uri: str) -> tuple[float, float]:
    with TemporaryDirectory() as folder:
        raw = compose([*KINDS[kind], *_TASK, *_METHOD, f"tracking.uri='{uri}'"])
        ready = prepare(raw, Prompts(prompt_folders(Path())), {})
        tracker = open_tracker(ready.config.tracking, {}, Path(folder))
        wall, cpu = time.perf_counter(), time.process_time()
        record = asyncio.run(optimise(ready, raw, _Slow(latency), tracker, RunFolder(Path(folder))))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert record["steps"] == _STEPS
    return wall, cpu


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--times", type=int, default=3)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with TemporaryDirectory() as folder:
        uri = store_uri(None, Path(folder))
        make_store(uri, "sgdflow")
        _run("and traces", 0, uri)  # imports are not part of it
        for _ in range(asked.times):
            for kind in KINDS:
                found[kind].append(_run(kind, asked.latency, uri))
    print(f"{_STEPS} steps, {asked.latency:g} s a call, {asked.times} times; medians in seconds")
    least = median(wall for wall, _ in found["none"])
    for kind, took in found.items():
        wall, cpu = median(w for w, _ in took), median(c for _, c in took)
        more = 100 * (wall / least - 1)
        print(f"  {kind:<20} wall {wall:6.2f} ({more:+.1f} %)  CPU {cpu:5.2f}")


if __name__ == "__main__":
    main()
