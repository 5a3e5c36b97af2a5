"""The paired rule of the gate: score differences on the same examples, at a stated level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sgdflow.errors import plural
from sgdflow.executor.evaluation import Evaluation
from sgdflow.update.decision import Decision
from sgdflow.update.statistics import looks


@dataclass(frozen=True, slots=True)
class Paired:
    """Accepts as soon as the gains suffice for the level; gives up where none are in sight."""

    level: float
    waves: Sequence[Sequence[str]]

    def verdict(self, current: Evaluation, candidate: Evaluation) -> Decision | None:
        """Return the decision that can be made; None where more has to be seen.

        `candidate` holds the first waves. An example that could be scored before and cannot be
        with the proposal counts as 0.
        """
        before, after = current.scores, candidate.scores
        waves = [[i for i in wave if i in before] for wave in self.waves]
        whole = [wave for wave in waves if wave and all(i in candidate.outcomes for i in wave)]
        gains = [[after.get(i, 0.0) - before[i] for i in wave] for wave in whole]
        seen = 0
        for wave, look in zip(whole, looks(gains, len(before), self.level), strict=False):
            seen += len(wave)
            words = _words(before, after, [i for wave in whole for i in wave][:seen])
            words += _needed(look.gain, look.needed, seen, len(before))
            if look.accepted:
                return Decision(True, f"shown to be better: {words}", None, look.gain, look.needed)
            if look.hopeless or seen == len(before):
                why = "no gain in sight" if seen < len(before) else "not shown to be better"
                return Decision(False, f"{why}: {words}", None, look.gain, look.needed)
        return None


def fixed_order(ids: Sequence[str]) -> list[str]:
    """Return ids in an order that has nothing to do with how anything scored on them."""
    return sorted(ids, key=lambda i: sha256(i.encode()).digest())


def _words(before: Mapping[str, float], after: Mapping[str, float], seen: Sequence[str]) -> str:
    old = sum(before[i] for i in seen) / len(seen)
    new = sum(after.get(i, 0.0) for i in seen) / len(seen)
    return f"{old:.4g} -> {new:.4g}"


def _needed(gain: float, needed: float | None, seen: int, total: int) -> str:
    enough = "no gain is enough yet" if needed is None else f"{needed:.4g} needed"
    return f" on {seen} of {plural(total, 'example')} (gained {gain:.4g}, {enough})"
