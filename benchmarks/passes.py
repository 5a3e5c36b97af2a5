"""CPU time of a node's visit in a forward and in a backward pass, prompts and replies included.

The model is in the same process and answers at once, so that nothing but sgdflow is measured.

python benchmarks/passes.py [--shares] [hints|layered|wide ...]

With --shares, where that time goes instead: a timer of CPU time looks at what runs.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from measure import said

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.executor.backward import backward_pass
from sgdflow.executor.forward import forward_pass
from sgdflow.llm import Message, Reply, Spent, Usage
from sgdflow.prompting.templates import Prompts

GRAPHS = {
    "hints": (["graph=hints"], 32),
    "layered": (["graph=layered", "graph.depth=30", "graph.width=10"], 4),
    "wide": (["graph=layered", "graph.depth=2", "graph.width=999"], 4),
}
"""Name -> the words that choose it, and the examples that are run."""
_TIMES = 3


class Model:
    """Answers at once, in the form that is asked for."""

    async def complete(
        self, role: str, messages: Sequence[Message], *, node: str = "", sample: int = 0
    ) -> Reply:
        """Return the canned reply of a role."""
        names = re.findall(r'<gradient name="([^"]+)">', messages[-1].content)
        gradients = [f'<gradient name="{n}">\nSay more of {n}.\n</gradient>' for n in names]
        text = "\n".join(gradients) or "Reasoning: one step.\n<output>\nAn answer.\n</output>"
        return Reply(text, Usage(10, 10))

    def spent(self) -> dict[str, Spent]:
        """Return nothing."""
        return {}


def table(file: Path) -> None:
    """Write the examples."""
    rows = [{"question": f"What is {n} + {n}?", "target": f"{2 * n}"} for n in range(40)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def prepared(words: Collection[str]) -> Prepared:
    """Return what a graph needs to run."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        table(file)
        task = ["task=table", f"task.path={file}", "task.inputs=[question]", "task.target=target"]
        splits = "task.splits={train: 32, validation: 0, test: 1}"
        given = [*words, *task, splits, "method=semantic", "tracking=none"]
        return prepare(compose(given), Prompts(prompt_folders(Path())), {})


async def measured(
    ready: Prepared, count: int, looked: Sequence[Counter[str]] = ()
) -> tuple[float, float]:
    """Return microseconds of CPU time a visit, forward and backward; where it goes, if looked."""
    first, second = [sampled(found) for found in looked] or (nullcontext(), nullcontext())
    graph, how, model = ready.problem.graph, ready.method.differentiation, Model()
    assert how is not None
    examples = ready.problem.splits.train[:count]
    visits = len(examples) * len(graph.nodes)
    began = time.process_time()
    with first:
        passes = [
            await forward_pass(graph, ready.start, one.id, one.inputs, model) for one in examples
        ]
    forward = time.process_time() - began
    assert not any(one.failures for one in passes)
    wrong, names = "The output is wrong. The expected answer is: 7", frozenset(graph.optimisable)
    began = time.process_time()
    with second:
        for one in passes:
            back = await backward_pass(graph, ready.start, one, wrong, names, how, model)
            assert not back.failures
    return forward / visits * 1e6, (time.process_time() - began) / visits * 1e6


PLACES = {
    "rendering: templates and Jinja": r"\.jinja$|/jinja2/|/markupsafe/|prompting/sandbox",
    "tags that no value may contain": r"/sgdflow/prompting/marks",
    "reading replies": r"/sgdflow/prompting/replies",
    "turns, values and the request": r"/sgdflow/prompting/",
    "what a critic is shown": r"/sgdflow/executor/(backward_views|places|fields|successes)",
    "the two passes": r"/sgdflow/executor/",
    "tasks": r"/asyncio/",
    "the model": r"/passes\.py$",
}
"""What a share is of, and the names of its files. What else runs counts as its caller's."""
_LOOKS = 1000


def place(frame: FrameType | None) -> str:
    """Return what the innermost file that is known belongs to."""
    while frame is not None:
        for what, pattern in PLACES.items():
            if re.search(pattern, frame.f_code.co_filename):
                return what
        frame = frame.f_back
    return "else"


@contextmanager
def sampled(found: Counter[str]) -> Iterator[None]:
    """Count what runs, as often as the system's timer can look."""

    def look(_: int, frame: FrameType | None) -> None:
        found[place(frame)] += 1

    before = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, 0.001, 0.001)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


async def shares(name: str) -> None:
    """Print where the time of a graph's visits goes, forward and backward."""
    words, count = GRAPHS[name]
    ready = prepared(words)
    await measured(ready, 1)
    both: list[Counter[str]] = [Counter(), Counter()]
    while min(found.total() for found in both) < _LOOKS:
        await measured(ready, count, both)
    print(f"{name}, forward and backward ({', '.join(str(one.total()) for one in both)} looks)")
    for what in (*PLACES, "else"):
        told = " ".join(f"{found[what] / found.total():5.0%}" for found in both)
        print(f"  {what:<34} {told}")


def main() -> None:
    """Print a line for each graph."""
    if "--shares" in sys.argv:
        for name in [one for one in sys.argv[1:] if one != "--shares"] or GRAPHS:
            asyncio.run(shares(name))
        return
    for name in sys.argv[1:] or GRAPHS:
        words, count = GRAPHS[name]
        began = time.process_time()
        ready = prepared(words)
        built = time.process_time() - began
        asyncio.run(measured(ready, 1))
        times = [asyncio.run(measured(ready, count)) for _ in range(_TIMES)]
        forward, backward = (said([one[i] for one in times], ".0f") for i in (0, 1))
        print(f"{name:<8} build {built:5.2f} s   forward {forward} us   backward {backward} us")


if __name__ == "__main__":
    main()
