"""Measure how the simulated procedures fare on real questions.

`python benchmarks/procedures.py DATA_DIR`, where DATA_DIR holds `bbh/<task>.json`. Prints
the table of docs/procedures.md, and with `--lattice` the accuracy under every set of rules.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

from sgdflow.simulation.procedures import FAMILIES
from sgdflow.simulation.procedures.question import Question, same

TASKS = {
    "word_sorting": "word_sorting",
    "boolean_expressions": "boolean_expressions",
    "multistep_arithmetic_two": "multistep_arithmetic_two",
    "object_counting": "object_counting",
    "navigate": "navigate",
    "dyck_languages": "dyck_languages",
    "web_of_lies": "web_of_lies",
    "tracking_shuffled_objects_three_objects": "tracking_shuffled_objects",
    "tracking_shuffled_objects_five_objects": "tracking_shuffled_objects",
    "tracking_shuffled_objects_seven_objects": "tracking_shuffled_objects",
    "temporal_sequences": "temporal_sequences",
}
Items = Sequence[tuple[Question | None, str]]


def read_items(path: Path, family: str) -> Items:
    """Read the questions of a task and their targets; a question not understood is None."""
    read = next(f.read for f in FAMILIES if f.name == family)
    examples = json.loads(path.read_text(encoding="utf-8"))["examples"]
    return [(read(example["input"]), example["target"]) for example in examples]


def accuracy(items: Items, told: Iterable[str]) -> float:
    """Return the share of items answered rightly by a worker told these rules."""
    rules = frozenset(told)
    right = (question is not None and same(question.answer(rules), t) for question, t in items)
    return sum(right) / len(items)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="How the simulated procedures fare.")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder that holds bbh/*.json")
    parser.add_argument("--lattice", action="store_true", help="show every set of rules")
    arguments = parser.parse_args()
    print("| task | items | no rule | all rules | rules, each with its accuracy when told alone |")
    print("| --- | --- | --- | --- | --- |")
    for task, family in TASKS.items():
        items = read_items(arguments.data / "bbh" / f"{task}.json", family)
        names = [r.name for f in FAMILIES if f.name == family for r in f.rules]
        alone = ", ".join(f"{name} {accuracy(items, [name]):.2f}" for name in names)
        ends = f"{accuracy(items, []):.3f} | {accuracy(items, names):.3f}"
        print(f"| {task} | {len(items)} | {ends} | {alone} |")
        if arguments.lattice:
            for size in range(len(names) + 1):
                for told in combinations(names, size):
                    print(f"    {accuracy(items, told):.3f}  {', '.join(told) or 'none'}")


if __name__ == "__main__":
    main()
