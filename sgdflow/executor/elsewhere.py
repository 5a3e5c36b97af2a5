"""Scores of examples that are run somewhere else than in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from sgdflow.data import Example
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Outcome
from sgdflow.executor.progress import Advance

_FEW = 2  # fewer examples are run here


class Elsewhere(Protocol):
    """Runs and scores examples."""

    async def outcomes(
        self,
        parameters: Parameters,
        examples: Sequence[Example],
        done: Advance,
        *,
        apart: bool = False,
    ) -> Sequence[Outcome]:
        """Return an outcome for each example, as one process would; raise what it would raise.

        `apart`: each example draws by itself; see `Evaluator.apart`.
        """


class Spread(Evaluator):
    """Has examples run elsewhere; the very first ones here, to learn whether all can be."""

    def __init__(self, elsewhere: Elsewhere, *how: Any) -> None:
        super().__init__(*how)
        self._elsewhere = elsewhere

    async def _each(
        self, parameters: Parameters, todo: Sequence[Example], done: Advance
    ) -> Sequence[Outcome]:
        first = 0 if self._first is None else self._first.count
        if len(todo) - first < _FEW:
            return await super()._each(parameters, todo, done)
        here = await super()._each(parameters, todo[:first], done) if first else ()
        there = self._elsewhere.outcomes(parameters, todo[first:], done, apart=self._apart)
        return [*here, *await there]
