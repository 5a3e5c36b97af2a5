"""The paired rule of the gate: score differences on the same examples, at a stated level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from sgdflow.errors import plural
from sgdflow.executor.outcomes import Evaluation
from sgdflow.update.decision import Decision, Moved
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
            among = [i for wave in whole for i in wave][:seen]
            moved = Moved.between(before, after, among)
            words = _words(before, after, among)
            words += _needed(look.gain, look.needed, seen, len(before), moved)
            if look.accepted:
                why = "shown to be better"
            elif look.hopeless or seen == len(before):
                why = "no gain in sight" if seen < len(before) else "not shown to be better"
            else:
                continue
            reason = f"{why}: {words}"
            return Decision(look.accepted, reason, None, look.gain, look.needed, moved)
        return None


def fixed_order(ids: Sequence[str]) -> list[str]:
    """Return ids in an order that has nothing to do with how anything scored on them."""
    return sorted(ids, key=lambda i: sha256(i.encode()).digest())


def _words(before: Mapping[str, float], after: Mapping[str, float], seen: Sequence[str]) -> str:
    old = sum(before[i] for i in seen) / len(seen)
    new = sum(after.get(i, 0.0) for i in seen) / len(seen)
    return f"{old:.4g} -> {new:.4g}"


def _needed(gain: float, needed: float | None, seen: int, total: int, moved: Moved) -> str:
    enough = "no gain is enough yet" if needed is None else f"{needed:.4g} needed"
    return f" on {seen} of {plural(total, 'example')} ({moved}; gained {gain:.4g}, {enough})"
