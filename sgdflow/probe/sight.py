"""Whether a run could show an improvement, with the examples that decide and their levels."""

from __future__ import annotations

from collections.abc import Iterator

from sgdflow.config.prepare import Prepared
from sgdflow.probe.findings import Noise, Sight, Start
from sgdflow.update.statistics import examples_needed, gains_needed, luck, power


def sights(prepared: Prepared, start: Start, noise: Noise | None) -> Iterator[Sight]:
    """Yield what the confirmation can show, and a gate with a level at its first proposal.

    Scores are taken to be 0 or 1. A better text spoils the declared share of examples, noise moves
    its own share both ways, and the gain is what is left.
    """
    method, splits = prepared.method, prepared.problem.splits
    if method.confirm is not None:
        number = len(splits.validation)
        yield _sight(prepared, start, noise, "confirm", number, method.confirm.level)
    if method.gate.rule == "paired":
        level = method.gate.after(0, method.stop.steps).level
        yield _sight(prepared, start, noise, "gate", method.compared(splits), level)


def wanting(prepared: Prepared, start: Start, noise: Noise | None) -> Sight | None:
    """Return what the declared confirmation is kept from showing by too few validation examples."""
    method, declared = prepared.method, prepared.config.method.confirm
    number = len(prepared.problem.splits.validation)
    if declared is None or not method.unconfirmed or number >= gains_needed(declared.level):
        return None
    return _sight(prepared, start, noise, "confirm", number, declared.level)


def lucky(prepared: Prepared, noise: Noise | None) -> float | None:
    """Return how likely the gate lets pass what changes nothing; None where it has a level."""
    method = prepared.method
    if noise is None or method.gate.rule not in ("strict", "not_worse"):
        return None
    better = luck(method.compared(prepared.problem.splits), noise.share)
    return better if method.gate.rule == "strict" else 1 - better


def _sight(
    prepared: Prepared,
    start: Start,
    noise: Noise | None,
    by: str,
    examples: int,
    level: float,
) -> Sight:
    conf = prepared.config.probe
    down = min(conf.losses, start.mean) + (noise.share / 2 if noise else 0.0)
    # More than is lacking cannot be gained.
    gain = min(conf.gain, start.lacking) or conf.gain

    def shown(points: float, number: int) -> float:
        return power(number, points + down, down, level)

    most = round(100 * start.most)
    visible = next(
        (x / 100 for x in range(1, most + 1) if shown(x / 100, examples) >= conf.power), None
    )
    return Sight(
        "confirm" if by == "confirm" else "gate",
        examples,
        level,
        gain,
        shown(gain, examples),
        visible,
        examples_needed(gain + down, down, level, conf.power),
    )
