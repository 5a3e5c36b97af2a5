"""How cost grows with examples, nodes, calls at once and jobs: a table, and benchmarks/curves.svg.

CPU time and memory are those of this process, with a model in it that answers at once; calls at
once, and those of jobs, go to an endpoint on this machine that takes 0.1 s. A sweep's CPU time is
that of all its processes, and its jobs run side by side on joblib, with one store. Needs some
minutes; `jobs` draws nothing and measures these alone.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib
from matplotlib.figure import Figure
from measure import HERE, client, endpoint, resident, serving
from passes import Model, prepared, table

from sgdflow.data import Example
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.forward import forward_pass
from sgdflow.executor.graph import Parameters
from sgdflow.llm import Message

Curves = Mapping[str, Sequence[tuple[int, float]]]
_EXAMPLES = (100, 1000, 10_000)
_LAYERS, _WIDTHS = (2, 10, 30, 100), (10, 100, 300, 999)
_AT_ONCE = (1, 4, 16, 64, 256)
_LATENCY = 0.1
_JOBS = (1, 2, 4, 8)
_SWEEP = (
    "graph=hints", "task=table", "task.path=rows.jsonl", "task.inputs=[question]",
    "task.target=target", "task.splits={train: 32, validation: 4, test: 4}", "llm=openai",
    "llm.models.backward=openai/canned-gradients", "llm.models.optimizer=openai/canned-rewrites",
    "method.stop.steps=2", "tracking=none", "hydra/launcher=joblib", "hydra.sweep.dir=sweep",
)  # fmt: skip


def examples() -> Curves:
    """Return CPU milliseconds and kilobytes for each example of two hints and an answer."""
    ready = prepared(["graph=hints"])
    first = ready.problem.splits.train[0]
    taken, kept = [], []
    for count in (10, *_EXAMPLES):  # the first is not counted: it compiles templates
        many = [replace(first, id=f"e{n}", inputs={"question": f"{n}?"}) for n in range(count)]
        evaluator = Evaluator(ready.problem.graph, ready.problem.score, Model())
        gc.collect()
        before, began = resident(), time.process_time()
        asyncio.run(_scored(evaluator, ready.start, many))
        taken.append((count, (time.process_time() - began) / count * 1e3))
        kept.append((count, (resident() - before) / count * 1e3))
    return {"CPU ms an example": taken[1:], "KB an example": kept[1:]}


async def _scored(evaluator: Evaluator, texts: Parameters, many: Sequence[Example]) -> None:
    await evaluator(texts, many)


def nodes() -> Curves:
    """Return CPU microseconds for each node of a forward pass, by the form of the graph."""
    layered = [(10 * (layers - 1) + 1, layers, 10) for layers in _LAYERS]
    wide = [(width + 1, 2, width) for width in _WIDTHS]
    return {
        name: [(count, _visit(depth, width)) for count, depth, width in shapes]
        for name, shapes in {"layers of ten": layered, "all before one": wide}.items()
    }


def _visit(depth: int, width: int) -> float:
    ready = prepared(["graph=layered", f"graph.depth={depth}", f"graph.width={width}"])
    graph, one, model = ready.problem.graph, ready.problem.splits.train[0], Model()

    async def passes() -> float:
        times = []
        for _ in range(3):
            began = time.process_time()
            await forward_pass(graph, ready.start, one.id, one.inputs, model)
            times.append(time.process_time() - began)
        return min(times)

    return asyncio.run(passes()) / len(graph.nodes) * 1e6


def at_once() -> Curves:
    """Return calls a second, and what the endpoint would allow."""

    async def rate(url: str, most: int) -> float:
        count = min(8 * most, 1000)
        async with client(url, most) as llm:
            asked = [Message("user", f"{most} {n}?") for n in range(count + 1)]
            await llm.complete("forward", asked[:1], node="n")
            began = time.monotonic()
            calls = (llm.complete("forward", [one], node="n") for one in asked[1:])
            await asyncio.gather(*calls)
            return count / (time.monotonic() - began)

    with endpoint(_LATENCY) as url:
        found = [(most, asyncio.run(rate(url, most))) for most in _AT_ONCE]
    return {"calls a second": found, "ideal": [(most, most / _LATENCY) for most in _AT_ONCE]}


def jobs() -> Curves:
    """Return the seconds and the CPU seconds of a sweep for each job, all of them at once."""
    found = [(count, _sweep(count)) for count in _JOBS]
    return {
        "wall s a job": [(count, wall) for count, (wall, _, _) in found],
        "CPU s a job": [(count, cpu) for count, (_, cpu, _) in found],
        "requests a job": [(count, asked) for count, (_, _, asked) in found],
    }


def _sweep(count: int) -> tuple[float, float, float]:
    """Return what a job takes, and what it sends: jobs with other seeds ask much of the same."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        table(folder / "rows.jsonl")
        seeds = f"seed={','.join(map(str, range(count)))}"
        with serving(_LATENCY) as served, (folder / "said.txt").open("wb") as out:
            said = [*_SWEEP, seeds, f"hydra.launcher.n_jobs={count}", f"llm.api_base={served.url}"]
            command = [sys.executable, "-m", "sgdflow", "optimize", "-m", *said]
            environ = {**os.environ, "OPENAI_API_KEY": "none"}
            began = time.monotonic()
            sweep = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out)
            _, status, used = os.wait4(sweep.pid, 0)
            wall = time.monotonic() - began
            sweep.returncode = os.waitstatus_to_exitcode(status)  # it does not look itself any more
        assert sweep.returncode == 0, (folder / "said.txt").read_text(encoding="utf-8")
    cpu = used.ru_utime + used.ru_stime
    return wall / count, cpu / count, served.seen["requests"] / count


def drawn(panels: Mapping[str, Curves]) -> Figure:
    """Return the curves beside each other, on logarithmic scales."""
    figure = Figure(figsize=(16, 3.6), layout="constrained")
    for axes, (what, curves) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for name, points in curves.items():
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set(xlabel=what, xscale="log", yscale="log")
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    return figure


def _lines(panels: Mapping[str, Curves]) -> Iterator[str]:
    for what, curves in panels.items():
        for name, points in curves.items():
            said = ", ".join(f"{value:.3g} at {count:,}" for count, value in points)
            yield f"{name}: {said} {what}"


def main() -> None:
    """Measure, print and draw."""
    if sys.argv[1:] == ["jobs"]:
        print("\n".join(_lines({"jobs": jobs()})))
        return
    panels = {"examples": examples(), "nodes": nodes(), "calls at once": at_once(), "jobs": jobs()}
    print("\n".join(_lines(panels)))
    matplotlib.rcParams["svg.hashsalt"] = "sgdflow"
    drawn(panels).savefig(HERE / "curves.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
