"""Does a real model get better? Methods, tasks and seeds on held-out items, exact paired tests.

python benchmarks/real/optimise.py --url http://127.0.0.1:8080/v1 --data FOLDER_OF_BBH --out RUNS
A run that is stopped goes on with the same words.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

from running import Words, exact, run, settings, share, share_of_liar


def main() -> None:
    """Run what is not there yet, and print a row for each run and each method."""
    parser = argparse.ArgumentParser(description=__doc__)
    settings(parser)
    parser.add_argument("--graph", default="single")
    parser.add_argument("--methods", default="semantic,no_gradient,optoprime")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--train", type=int, default=24)
    parser.add_argument("--validation", type=int, default=24)
    parser.add_argument("--test", type=int, default=60)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--calls", type=int, help="end each run after the step that reaches them")
    parser.add_argument("--failures", type=int, default=8, help="that a step learns from")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(namespace=Words())
    print("| task | method | seed | test before | after | up | down | p |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    pooled: dict[str, Counter[str]] = {}
    for method in asked.methods.split(","):
        for task in asked.tasks.split(","):
            for seed in asked.seeds.split(","):
                found = one(asked, method, task, int(seed))
                pooled.setdefault(method, Counter()).update(found)
                print(row(task, method, seed, found), flush=True)
    for method, found in pooled.items():
        print(row("all", method, "all", found))


def one(asked: Words, method: str, task: str, seed: int) -> Counter[str]:
    """Run one optimisation and count its test items; each seed has items of its own."""
    folder = asked.out / f"{task}-{method}-{seed}"
    words = [f"graph={asked.graph}", *data_words(asked, task, seed), f"method={method}"]
    words += [*method_words(asked), f"seed={seed}"]
    words += [f"hydra.run.dir={folder.absolute()}", "tracking=none"]
    run(["optimize", *words, *asked.model_words])
    found: Counter[str] = Counter()
    for line in (folder / "examples.jsonl").read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        before, after = item["initial"], item["final"]
        if item["split"] == "test" and None not in (before, after):
            found.update(n=1, before=before, after=after, up=after > before, down=after < before)
    return found


def method_words(asked: Words) -> list[str]:
    """Return what is the same for all methods, whatever each has by default."""
    words = [f"method.stop.steps={asked.steps}", f"method.sample.count={asked.failures}"]
    words += ["method.confirm={level: 0.05}"]
    return words + ([f"method.stop.budget.calls={asked.calls}"] if asked.calls else [])


def data_words(asked: Words, task: str, seed: int) -> list[str]:
    """Return the words that name a seed's own items."""
    counts, into = (asked.train, asked.validation, asked.test), asked.out / f"data-{seed}"
    if task == "liar":
        first = [seed * count for count in counts]
        words = ["task=liar", f"task.path={share_of_liar(asked.data, first, counts, into)}"]
    else:
        data = share(asked.data, task, asked.tried + seed * sum(counts), sum(counts), into)
        words = ["task=bbh", f"task.name={task}", f"task.path={data}"]
    splits = zip(("train", "validation", "test"), counts, strict=True)
    return [*words, *(f"task.splits.{split}={count}" for split, count in splits)]


def row(task: str, method: str, seed: object, found: Counter[str]) -> str:
    """Return one line of the table."""
    n, up, down = found["n"], found["up"], found["down"]
    scores = [f"{found['before']:g} of {n}", f"{found['after']:g} of {n}"]
    cells = [task, method, str(seed), *scores, str(up), str(down), f"{exact(up, down):.3g}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
