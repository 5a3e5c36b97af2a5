"""Workers that score the examples of a run: started, given work, and ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from sgdflow.config.prepare import Prepared
from sgdflow.config.schema import WorkersConf
from sgdflow.config.written import Composed
from sgdflow.data import Example
from sgdflow.errors import ConfigError, NoResult, SgdflowError
from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Outcome
from sgdflow.executor.progress import Advance
from sgdflow.executor.walk import task_group
from sgdflow.llm.client import Client
from sgdflow.llm.known import Known
from sgdflow.prompting.templates import Prompts
from sgdflow.runs.hands import Ended, Hand, Start, of_this_machine, on_ray
from sgdflow.runs.worker import Chunk, Done, Given

log = logging.getLogger(__name__)

_MOST = 256  # examples of a chunk: what a worker that ends has to do again
_ENDED = 3  # workers that may end before the run does


class Crew:
    """Gives chunks of examples to whichever worker is free."""

    def __init__(self, count: int, start: Start, known: Known) -> None:
        self._count, self._start, self._known = count, start, known
        self._free: asyncio.Queue[Hand | None] = asyncio.Queue()
        self._hands: list[Hand] = []
        self._ended = 0
        for _ in range(count):
            self._free.put_nowait(None)

    async def outcomes(
        self,
        parameters: Parameters,
        examples: Sequence[Example],
        done: Advance,
        *,
        apart: bool = False,
    ) -> Sequence[Outcome]:
        """Return an outcome for each example; raise what one raised once none is under way."""
        number = max(self._count, -(-len(examples) // _MOST))
        chunks = [part for part in (examples[at::number] for at in range(number)) if part]
        errors: dict[int, SgdflowError] = {}
        found: dict[str, Outcome] = {}
        asked = dict(self._known.asked)

        async def score(at: int, part: Sequence[Example]) -> None:
            answer = await self._scored(Chunk(parameters, part, asked, apart), errors)
            if answer is None:
                return
            self._known.take(answer.part)
            if answer.error is not None:
                errors[at] = answer.error
                return
            for example, outcome in zip(part, answer.outcomes, strict=True):
                found[example.id] = outcome
                done(outcome.score)

        async with task_group() as group:
            for at, part in enumerate(chunks):
                group.create_task(score(at, part))
        if errors:
            raise errors[min(errors)]
        return [found[example.id] for example in examples]

    async def _scored(self, chunk: Chunk, errors: Collection[int]) -> Done | None:
        """Return what a worker makes of a chunk; None where another one went wrong before."""
        hand = await self._free.get()
        try:
            while not errors:
                try:
                    if hand is None:
                        hand = await self._start()
                        self._hands.append(hand)
                    return await hand.work(chunk)
                except BaseException as error:
                    # What it would answer yet, nobody may take for the answer to the next chunk.
                    ended, hand = hand, None
                    if ended is not None:
                        self._hands.remove(ended)
                        await ended.end()
                    if not isinstance(error, Ended):
                        raise
                    self._gone(error)
            return None
        finally:
            self._free.put_nowait(hand)

    def _gone(self, why: Ended) -> None:
        """See that a worker has ended; raise NoResult where that is too often."""
        self._ended += 1
        if self._ended >= _ENDED:
            raise NoResult(
                f"{self._ended} workers have ended by themselves ({why}), as they do where memory "
                "is short: try fewer (workers.count), or fewer examples at once "
                "(llm.limits.examples)"
            )
        log.warning("A worker has ended by itself (%s): another one takes over.", why)

    async def close(self) -> None:
        """Let all workers end."""
        await asyncio.gather(*(hand.close() for hand in self._hands))

    async def end(self) -> None:
        """End all workers at once."""
        hands, self._hands = self._hands, []
        await asyncio.gather(*(hand.end() for hand in hands))


@asynccontextmanager
async def with_workers(
    prepared: Prepared,
    raw: Mapping[str, Any],
    prompts: Prompts,
    working: Path,
    llm: Client,
    since: float,
    account: str,
) -> AsyncIterator[Prepared]:
    """Yield what is prepared with its examples scored by the declared workers, if there are any."""
    conf = prepared.config.workers
    if not conf.count:
        yield prepared
        return
    config = dict(raw.resolved if isinstance(raw, Composed) else raw)
    if held := _held(config):
        raise ConfigError(
            f"workers.count={conf.count}: {held} holds an object of Python's, which no other "
            "process can be given. Name it with _target_, or set workers.count=0."
        )
    given = Given(config, prompts.folders, working, since, account, conf.count)
    async with _starting(conf, given) as start:
        crew = Crew(conf.count, start, llm.known)
        problem = replace(prepared.problem, elsewhere=crew)
        try:
            yield replace(prepared, problem=problem)
        except asyncio.CancelledError:
            await crew.end()  # whoever stops a run waits for nothing
            raise
        finally:
            await crew.close()


def _starting(conf: WorkersConf, given: Given) -> AbstractAsyncContextManager[Start]:
    if conf.where == "ray":
        return on_ray(given, conf.address)
    return of_this_machine(given)


def _held(value: Any, path: tuple[str, ...] = ()) -> str:
    """Return the key of a value that is no plain data; empty where there is none."""
    if isinstance(value, Mapping):
        pairs = [(str(key), one) for key, one in value.items()]
    elif isinstance(value, list | tuple):
        pairs = [(str(at), one) for at, one in enumerate(value)]
    else:
        plain = value is None or isinstance(value, str | int | float)
        return "" if plain else ".".join(path)
    return next(filter(None, (_held(one, (*path, key)) for key, one in pairs)), "")
