"""Runs whose model answers at random: how often they end truly below their start.

python benchmarks/gate_noise.py [RUNS]
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from gate_worlds import World, descend

from sgdflow.descent.confirm import Confirm
from sgdflow.update import Gate

STEPS, HELD, START = 10, 40, "accuracy 0.5 0"
SETTINGS = ((60, 0.10), (20, 0.03), (60, 0.30), (200, 0.10))
"""Training examples, and how far a proposal moves the true accuracy."""
GATES: Mapping[str, tuple[Gate, Confirm | None]] = {
    "strict": (Gate("strict"), None),
    "strict, confirm .05": (Gate("strict"), Confirm()),
    "paired, fixed size": (Gate("paired", wave=None), None),
    "paired": (Gate("paired"), None),
    "paired, 4 repeats": (Gate("paired", repeats=4), None),
    "paired, confirm .05": (Gate("paired"), Confirm()),
}


@dataclass(frozen=True)
class Row:
    """What a gate does in one setting."""

    below: int
    """Runs that end truly below their start."""
    gain: float
    """True gain of a run."""
    wrong: float
    """Share of the accepted proposals that are truly worse."""
    missed: float
    """Share of the truly better proposals that are turned down."""
    missed_large: float
    """The same of those better by more than half of the largest move."""
    optimism: float
    """Reported less true accuracy on the training examples, of the final texts."""
    examples: float
    """Scored a proposal."""


def row(gate: Gate, confirm: Confirm | None, train: int, moves: float, runs: int) -> Row:
    """Measure one gate in one setting."""
    found = [
        descend(World(seed, moves=moves), START, gate, train, STEPS, confirm, HELD)
        for seed in range(runs)
    ]
    judged = [one for run in found for one in run.judged]
    accepted = [one for one in judged if one.accepted]
    better = [one for one in judged if one.gain > 0]
    large = [one for one in better if one.gain > moves / 2]
    finals = [(run.result.final.train, run.end) for run in found]
    return Row(
        sum(run.end < run.start - 1e-9 for run in found),
        fmean(run.end - run.start for run in found),
        sum(one.gain < 0 for one in accepted) / max(1, len(accepted)),
        sum(not one.accepted for one in better) / max(1, len(better)),
        sum(not one.accepted for one in large) / max(1, len(large)),
        fmean(summary.mean - end for summary, end in finals if summary),
        fmean(one.evaluated for one in judged),
    )


def main() -> None:
    """Print a table for each setting."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for train, moves in SETTINGS:
        print(f"\n{runs} runs of {STEPS} steps, {train} training examples, moves of +-{moves:g}")
        print(
            f"| {'gate':<22} | runs below start | true gain | accepted worse | better turned down "
            "| much better turned down | training score too high by | examples a proposal |"
        )
        print("|" + " --- |" * 8)
        for name, (gate, confirm) in GATES.items():
            one = row(gate, confirm, train, moves, runs)
            print(
                f"| {name:<22} | {one.below} | {one.gain:+.3f} | {one.wrong:.0%} "
                f"| {one.missed:.0%} | {one.missed_large:.0%} "
                f"| {one.optimism:+.3f} | {one.examples:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
