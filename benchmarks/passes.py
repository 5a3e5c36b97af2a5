"""CPU time of a node's visit in a forward and in a backward pass, prompts and replies included.

The model is in the same process and answers at once, so that nothing but sgdflow is measured.

python benchmarks/passes.py [hints|layered|wide ...]
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

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


async def measured(ready: Prepared, count: int) -> tuple[float, float]:
    """Return microseconds of CPU time a visit, forward and backward."""
    graph, how, model = ready.problem.graph, ready.method.differentiation, Model()
    assert how is not None
    examples = ready.problem.splits.train[:count]
    visits = len(examples) * len(graph.nodes)
    began = time.process_time()
    passes = [await forward_pass(graph, ready.start, one.id, one.inputs, model) for one in examples]
    forward = time.process_time() - began
    assert not any(one.failures for one in passes)
    wrong, names = "The output is wrong. The expected answer is: 7", frozenset(graph.optimisable)
    began = time.process_time()
    for one in passes:
        back = await backward_pass(graph, ready.start, one, wrong, names, how, model)
        assert not back.failures
    return forward / visits * 1e6, (time.process_time() - began) / visits * 1e6


def main() -> None:
    """Print a line for each graph."""
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
