"""What a step of a large graph takes through the command line: four graphs of a node for each text.

A chain; all nodes before one; layers of ten, each node with all of the layer before; and each node
with one to five random ones before it. One step on one example, with MLflow on a new store, its
registry, report and model; the models are simulated in the process: their CPU time is in it.

python benchmarks/thousand.py [chain|wide|layered|random ...] [--nodes 1000] [--words WORD ...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.prompting.templates import Prompts
from sgdflow.records import as_yaml

KINDS = ("chain", "wide", "layered", "random")
WORDS = (
    "task=tariff", "llm=simulated", "method.stop.steps=1", "method.sample.count=1",
    "task.splits.train=2", "task.splits.validation=2", "task.splits.test=1", "hydra.run.dir=run",
)  # fmt: skip
_INPUT, _LAYER, _MOST = "order", 10, 5


def before(kind: str, count: int) -> Mapping[str, Sequence[str]]:
    """Return so many nodes with their predecessors, the last one being the answer."""
    names, random = [f"n{number}" for number in range(count - 1)], Random(0)
    found: dict[str, Sequence[str]] = {}
    for number, name in enumerate(names):
        if kind == "chain":
            found[name] = names[max(0, number - 1) : number]
        elif kind == "layered":
            start = number // _LAYER * _LAYER
            found[name] = names[max(0, start - _LAYER) : start]
        elif kind == "random":
            few = min(number, random.randint(1, _MOST))
            found[name] = [names[one] for one in sorted(random.sample(range(number), few))]
        else:
            found[name] = []
    used = {one for own in found.values() for one in own}
    found["answer"] = [name for name in names if name not in used]
    return {name: own or [_INPUT] for name, own in found.items()}


def declared(kind: str, count: int) -> Mapping[str, object]:
    """Return a graph as its file says it."""
    nodes = {
        name: {
            "predecessors": list(own),
            "parameters": {"instruction": f"Work on part {name} of the order."},
        }
        for name, own in before(kind, count).items()
    }
    return {"name": kind, "inputs": [_INPUT], "nodes": nodes, "output": "answer"}


def built(words: Sequence[str]) -> tuple[float, float]:
    """Return the CPU seconds that composing the YAML takes, and then to check it and to build."""
    began = time.process_time()
    raw = compose(words)
    composed = time.process_time()
    prepare(raw, Prompts(prompt_folders(Path())), {})
    return composed - began, time.process_time() - composed


def measured(kind: str, count: int, words: Sequence[str]) -> str:
    """Run once, in a process of its own."""
    with TemporaryDirectory() as place, chdir(place):
        file = Path("conf", "graph", f"{kind}.yaml")
        file.parent.mkdir(parents=True)
        file.write_text(as_yaml(declared(kind, count)), encoding="utf-8")
        said = [f"graph={kind}", *WORDS, *words]
        composing, building = built([one for one in said if not one.startswith("hydra.")])
        command = [sys.executable, "-m", "sgdflow", "optimize", *said]
        with Path("said.txt").open("wb") as out:
            program = subprocess.Popen(command, stdout=out, stderr=out)
            _, status, used = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)  # it does not look itself any more
        assert program.returncode == 0, Path("said.txt").read_text(encoding="utf-8")
        size = sum(one.stat().st_size for one in Path("run").rglob("*") if one.is_file())
    cpu = used.ru_utime + used.ru_stime
    return (
        f"{kind:<8} {count:,} nodes   YAML {composing:4.1f} s, build {building:4.1f} s   "
        f"CPU {cpu:6.1f} s   at most {used.ru_maxrss / 1024:5.0f} MB   run {size / 1e6:5.1f} MB"
    )


def main() -> None:
    """Print a line for each graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=KINDS)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--words", nargs="*", default=[], help="more words for sgdflow optimize")
    given = parser.parse_args()
    for kind in given.kinds:
        print(measured(kind, given.nodes, given.words), flush=True)


if __name__ == "__main__":
    main()
