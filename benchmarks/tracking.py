"""What tracking adds to a step: 20 steps of the tariff desk, MLflow on a local sqlite file."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, cast

from measure import said

from sgdflow.app import compose
from sgdflow.config.prepare import prepare
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.paths import prompt_folders
from sgdflow.prompts import Prompts
from sgdflow.records import RunFolder
from sgdflow.run import optimise
from sgdflow.simulation.worlds import reply
from sgdflow.tracking import Tracker, open_tracker

_STEPS, _TIMES = 20, 2


class _Timed:
    """A tracker whose methods are timed."""

    def __init__(self, tracker: Tracker) -> None:
        self.took: dict[str, list[float]] = defaultdict(list)
        self._tracker = tracker

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._tracker, name)

        def timed(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*given, **named)
            finally:
                self.took[name].append(time.perf_counter() - began)

        return timed


def _run(kind: str, folder: Path) -> tuple[float, dict[str, list[float]]]:
    words = [f"tracking={kind}", "graph=tariff", "task=tariff", "method=no_gate", "method.batch=10"]
    words += [f"method.stop.steps={_STEPS}", "task.splits={train: 20, validation: 10, test: 10}"]
    words += [f"tracking.uri=sqlite:///{folder}/mlflow.db"] if kind == "mlflow" else []
    raw = compose(words)
    ready = prepare(raw, Prompts(prompt_folders(Path())), {})
    run_folder = RunFolder(folder / kind)
    tracker = _Timed(open_tracker(ready.config.tracking, {}, run_folder.path))
    llm = ScriptedLLM(lambda role, node, messages: reply(messages, 0))
    began = time.perf_counter()
    record = asyncio.run(optimise(ready, raw, llm, cast(Tracker, tracker), run_folder))
    assert record["steps"] == _STEPS
    return time.perf_counter() - began, tracker.took


def main() -> None:
    """Measure, and print a table."""
    totals: dict[str, list[float]] = defaultdict(list)
    steps: list[float] = []
    for _ in range(_TIMES):
        for kind in ("none", "mlflow"):
            with TemporaryDirectory() as folder:
                seconds, took = _run(kind, Path(folder))
                totals[kind].append(seconds)
                steps += took["stepped"] if kind == "mlflow" else []
    print(f"{_STEPS} steps, models that answer at once, {_TIMES} times each")
    print(f"  ms a step, in the tracker      {said([1000 * one for one in steps], '.0f')}")
    for kind, seconds_of_kind in totals.items():
        print(f"  s a run, tracking={kind:<12} {said(seconds_of_kind)}")
    more = (median(totals["mlflow"]) - median(totals["none"])) / _STEPS
    print(f"  ms a step, all that MLflow adds, start and end included: {1000 * more:.0f}")


if __name__ == "__main__":
    main()
