"""What the progress line tells, from what it was told."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sgdflow.errors import plural
from sgdflow.llm import Spent

_BAR = 16
_WINDOW = 10.0
"""Seconds over which calls per second are counted."""


@dataclass
class State:
    """How far a run has come; times are seconds of one clock."""

    began: float
    step: int = 0
    most: int = 0
    step_began: float = 0.0
    work: str = "starting"
    work_began: float = 0.0
    done: int = 0
    total: int = 0
    scores: float = 0.0
    scored: int = 0
    calls: int = 0
    tokens: int = 0
    cost: float | None = None
    finished: list[float] = field(default_factory=list)
    """Seconds of each step so far."""
    _called: deque[tuple[float, int]] = field(default_factory=deque)

    def begin_step(self, number: int, most: int, now: float) -> None:
        """Note the end of the step before and the start of this one."""
        if self.step:
            self.finished.append(now - self.step_began)
        self.step, self.most, self.step_began = number, most, now

    def begin_work(self, work: str, total: int, now: float) -> None:
        """Note what is done now."""
        self.work, self.total, self.work_began = work, total, now
        self.done = self.scored = 0
        self.scores = 0.0

    def advance(self, score: float | None) -> None:
        """Note that one more is done."""
        self.done += 1
        if score is not None:
            self.scored += 1
            self.scores += score

    def spend(self, spent: Mapping[str, Spent], now: float) -> None:
        """Note what has been used in all."""
        self.calls = sum(one.calls for one in spent.values())
        used = (one.usage for one in spent.values())
        self.tokens = sum(usage.prompt + usage.completion for usage in used)
        costs = [one.cost for one in spent.values() if one.calls]
        known = [cost for cost in costs if cost is not None]
        self.cost = math.fsum(known) if len(known) == len(costs) else None
        self._called.append((now, self.calls))
        while now - self._called[0][0] > _WINDOW and len(self._called) > 2:
            self._called.popleft()

    def line(self, now: float) -> str:
        """Say it in one line."""
        return "  ".join([*self._where(), *self._bar(), *self._words(now)])

    def sentence(self, now: float) -> str:
        """Say it for a log."""
        done = [f"{self.done} of {self.total}"] if self.total else []
        return ", ".join([" ".join([*self._where(), *done]), *self._words(now)])

    def _where(self) -> Iterator[str]:
        if self.step:
            yield f"step {self.step} of at most {self.most}"
        yield self.work

    def _bar(self) -> Iterator[str]:
        if self.total:
            filled = round(_BAR * self.done / self.total)
            yield f"{'━' * filled}{'╌' * (_BAR - filled)} {self.done}/{self.total}"
        elif self.done:
            yield str(self.done)

    def _words(self, now: float) -> Iterator[str]:
        if self.scored:
            yield f"score {self.scores / self.scored:.3f}"
        if self.calls:
            yield f"{plural(self.calls, 'call')}, {self._rate():.0f}/s"
            yield f"{_short(self.tokens)} tokens"
            yield "cost unknown" if self.cost is None else f"${self.cost:.4g}"
        yield _clock(now - self.began)
        yield from self._left(now)

    def _rate(self) -> float:
        (first, before), (last, after) = self._called[0], self._called[-1]
        return (after - before) / (last - first) if last > first else 0.0

    def _left(self, now: float) -> Iterator[str]:
        """Say how long the steps may still take; before the first one, what is done now."""
        if self.finished:
            mean = math.fsum(self.finished) / len(self.finished)
            ahead = mean * (self.most - len(self.finished)) - (now - self.step_began)
            yield f"at most {_clock(max(0.0, ahead))} left"
        elif self.done and self.total:
            each = (now - self.work_began) / self.done
            yield f"{_clock(each * (self.total - self.done))} left of this"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(number: int) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return str(number)
