"""Scores for several who ask at the same time, so that none of them sees what the others know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sgdflow.data import Example
from sgdflow.executor.evaluation import Evaluator, known_by
from sgdflow.executor.graph import Graph, Parameters
from sgdflow.executor.outcomes import Evaluation
from sgdflow.executor.progress import Progress
from sgdflow.executor.scores import Scorer
from sgdflow.llm import LLM


class Shared:
    """Scores each example with the same parameters once, however many ask, and whenever."""

    def __init__(self, evaluate: Evaluator, among: int, progress: Progress) -> None:
        self.evaluate = evaluate.apart(among, progress)
        self._under_way: dict[tuple[str, int, str], asyncio.Event] = {}
        self._untried, self._tried = self.evaluate.untried, asyncio.Event()
        if not self._untried:
            self._tried.set()

    async def __call__(
        self, parameters: Parameters, examples: Sequence[Example], draw: int = 0
    ) -> Evaluation:
        """Return an outcome for each example; what another one has begun is waited for."""
        texts = known_by(parameters)
        places = {one.id: (texts, draw, one.id) for one in examples}
        theirs = [found for at in places.values() if (found := self._under_way.get(at))]
        mine = [one for one in examples if places[one.id] not in self._under_way]
        done = asyncio.Event()
        self._under_way |= {places[one.id]: done for one in mine}
        try:
            await self._score(parameters, mine, draw)
        finally:
            for one in mine:
                del self._under_way[places[one.id]]
            done.set()
        for other in theirs:
            await other.wait()
        return await self.evaluate(parameters, examples, draw)

    async def _score(self, parameters: Parameters, examples: Sequence[Example], draw: int) -> None:
        """Score examples; all wait for who asks first, until something has been answered."""
        if self._untried:
            self._untried = False
            await self.evaluate(parameters, examples, draw)
            self._tried.set()  # an error ends those who wait, too
        else:
            await self._tried.wait()
            await self.evaluate(parameters, examples, draw)


class Lane(Evaluator):
    """Knows what was known as all of them began, and what it has asked for since."""

    def __init__(self, shared: Shared, graph: Graph, score: Scorer, llm: LLM) -> None:
        super().__init__(graph, score, llm)
        self._shared = shared
        self._known = {place: dict(found) for place, found in shared.evaluate._known.items()}

    async def __call__(
        self, parameters: Parameters, examples: Sequence[Example], draw: int = 0
    ) -> Evaluation:
        """Return an outcome for each example."""
        found = await self._shared(parameters, examples, draw)
        self._known.setdefault((known_by(parameters), draw), {}).update(found.outcomes)
        return found
