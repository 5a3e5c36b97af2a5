"""CPU time and memory of one step on many examples: a graph of one node, recorded by MLflow.

Every example is scored twice, with the texts at the start and with those of the proposal, by calls
over HTTP to an endpoint on this machine that says the same to all; replies are stored.

python benchmarks/large.py [EXAMPLES ...] [--words WORD ...]
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

from measure import serving

_WORDS = (
    "graph=single", "task=table", "task.path=rows.jsonl", "task.inputs=[question]",
    "task.target=target", "method.stop.steps=1", "method.lazy=false", "method.gate.rule=not_worse",
    "method.gate.wave=1024", "llm=openai",
    "llm.models.backward=openai/canned-gradients", "llm.models.optimizer=openai/canned-rewrites",
    "hydra.run.dir=run",
)  # fmt: skip


def main() -> None:
    """Print a line for each number of examples."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("examples", type=int, nargs="*", default=[100_000])
    parser.add_argument("--words", nargs="*", default=[], help="more words for sgdflow optimize")
    given = parser.parse_args()
    for count in given.examples:
        with TemporaryDirectory() as place:
            print(_measured(Path(place), count, given.words), flush=True)


def _measured(folder: Path, count: int, words: Sequence[str]) -> str:
    """Run once, in a process of its own."""
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as rows:
        for n in range(count + 10):
            target = "42" if n % 10 else "43"
            rows.write(json.dumps({"question": f"What is {n} + {n}?", "target": target}) + "\n")
    splits = f"task.splits={{train: {count}, validation: 5, test: 5}}"
    with serving(0.0) as served:
        said = [*_WORDS, splits, f"llm.api_base={served.url}", *words]
        began, said_to = time.monotonic(), folder / "said.txt"
        with said_to.open("wb") as out:
            environ = {**os.environ, "OPENAI_API_KEY": "none"}
            command = [sys.executable, "-m", "sgdflow", "optimize", *said]
            program = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out)
            _, status, used = os.wait4(program.pid, 0)
        wall = time.monotonic() - began
    assert status == 0, said_to.read_text(encoding="utf-8")
    cpu = used.ru_utime + used.ru_stime
    return (
        f"{count:,} examples, {served.seen['requests']:,.0f} calls: CPU {cpu:.1f} s, "
        f"at most {used.ru_maxrss / 1024:.0f} MB, {wall:.0f} s until the end"
    )


if __name__ == "__main__":
    main()
