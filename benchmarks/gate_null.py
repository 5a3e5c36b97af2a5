"""How often runs accept something where no proposal is better or worse than another.

python benchmarks/gate_null.py [RUNS]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from statistics import fmean

from gate_worlds import World, descend

from sgdflow.descent.confirm import Confirm
from sgdflow.update import Gate

TRAIN, HELD, STEPS = 60, 40, 10
GATES: Mapping[str, tuple[Gate, Confirm | None]] = {
    "strict": (Gate("strict"), None),
    "strict, confirm .05": (Gate("strict"), Confirm()),
    "paired, level .05": (Gate("paired"), None),
    "paired, level .2": (Gate("paired", level=0.2), None),
    "paired, level .05, confirm .05": (Gate("paired"), Confirm()),
}


def row(
    gate: Gate, confirm: Confirm | None, runs: int, texts: int = 1
) -> tuple[int, int, float, float]:
    """Return runs that accept, runs that end elsewhere, the gain they report, examples a step."""
    found = [
        descend(World(seed, flips=0.05, texts=texts), "text 0", gate, TRAIN, STEPS, confirm, HELD)
        for seed in range(runs)
    ]
    gains = []
    for run in found:
        before, after = run.result.initial.train, run.result.final.train
        assert before is not None
        assert after is not None
        gains.append(after.mean - before.mean)
    return (
        sum(run.result.accepted > 0 for run in found),
        sum(run.result.initial != run.result.final for run in found),
        fmean(gains),
        fmean(one.evaluated for run in found for one in run.judged),
    )


def main() -> None:
    """Print the table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    print(f"{runs} runs of {STEPS} steps, {TRAIN} training and {HELD} validation examples")
    print(f"| texts | {'gate':<30} | accepts | returns another | training gain | examples a step |")
    print("|" + " --- |" * 6)
    for texts in (1, 3):
        for name, (gate, confirm) in GATES.items():
            accepts, other, gain, examples = row(gate, confirm, runs, texts)
            numbers = f"{accepts} | {other} | {gain:+.3f} | {examples:.1f}"
            print(f"| {texts} | {name:<30} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
