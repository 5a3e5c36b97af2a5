"""How workers are reached: in processes of this machine, or on a Ray cluster."""

from __future__ import annotations

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from typing import Any, Protocol

from sgdflow.config.workers import unanswered
from sgdflow.errors import ConfigError, SgdflowError
from sgdflow.runs.worker import SIZE, Chunk, Done, Given, Worker, told

_PATIENCE = 20.0  # seconds for a worker to end by itself
_NOBODY = (
    "workers.address={address}: no Ray cluster answers there ({why}). `ray start --head` on the "
    "first machine prints the address; where that one asks for a token, set RAY_AUTH_MODE=token "
    "and have its ~/.ray/auth_token here, too. null is a Ray that begins and ends with the run."
)
_NONE = (
    "workers.where=ray: no Ray begins on this machine ({why}). Set workers.where=here for "
    "processes of this machine, or workers.address=HOST:PORT for a cluster that is there."
)
_ANOTHER = (
    "workers.address={address}: this process has another Ray already, at {there}. Set "
    "workers.address=null to have the workers there, or call ray.shutdown() before."
)


class Hand(Protocol):
    """A worker, seen from here."""

    async def work(self, chunk: Chunk) -> Done:
        """Have a chunk scored; raises Ended where the worker is no more."""

    async def close(self) -> None:
        """Let the worker, which is about nothing, end."""

    async def end(self) -> None:
        """End the worker at once, whatever it is about."""


Start = Callable[[], Awaitable[Hand]]


class Ended(SgdflowError):
    """Report that a worker is no more."""


class OfThisMachine:
    """A worker in a process of its own."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def started(cls, given: Given) -> OfThisMachine:
        """Return a worker that is ready."""
        # Not with -m: what is pickled has to know its module's name.
        words = [sys.executable, "-c", "from sgdflow.runs.worker import main; main()"]
        hand = cls(await asyncio.create_subprocess_exec(*words, stdin=PIPE, stdout=PIPE))
        try:
            await hand._answered(given)
        except BaseException:
            await hand.end()
            raise
        return hand

    async def work(self, chunk: Chunk) -> Done:
        """Have a chunk scored."""
        done = await self._answered(chunk)
        assert isinstance(done, Done)
        return done

    async def close(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), _PATIENCE)
        finally:
            await self.end()

    async def end(self) -> None:
        """End the process at once, whatever it is about."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def _answered(self, message: object) -> object:
        asked, answers = self._process.stdin, self._process.stdout
        assert asked is not None
        assert answers is not None
        text = pickle.dumps(message)
        try:
            asked.write(SIZE.pack(len(text)) + text)
            await asked.drain()
            answer = await answers.readexactly(*SIZE.unpack(await answers.readexactly(SIZE.size)))
        except (OSError, asyncio.IncompleteReadError):
            raise Ended(f"process {self._process.pid}") from None
        found: object = pickle.loads(answer)
        if isinstance(found, SgdflowError):
            raise found
        return found


class _Actor:
    """What is run on Ray; it is there before it can fail."""

    def begin(self, given: Given) -> None:
        self._worker = Worker(given)

    def work(self, chunk: Chunk) -> Done:
        return self._worker.work(chunk)

    def close(self) -> None:
        self._worker.close()


class OnRay:
    """A worker that is an actor of Ray's."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def work(self, chunk: Chunk) -> Done:
        """Have a chunk scored."""
        done = await self._told(self._actor.work.remote(chunk))
        assert isinstance(done, Done)
        return done

    async def begin(self, given: Given) -> None:
        """Get the worker ready."""
        await self._told(self._actor.begin.remote(given))

    async def _told(self, answer: Awaitable[object]) -> object:
        import ray

        try:
            return await answer
        except ray.exceptions.RayTaskError as error:
            raise told(error.cause) from None
        except ray.exceptions.RayError as error:
            raise Ended(f"on Ray: {str(error).partition(chr(10))[0]}") from None

    async def close(self) -> None:
        """Let the actor end."""
        import ray

        try:
            with suppress(ray.exceptions.RayError, TimeoutError):
                await asyncio.wait_for(self._actor.close.remote(), _PATIENCE)
        finally:
            await self.end()

    async def end(self) -> None:
        """End the actor at once, whatever it is about."""
        import ray

        ray.kill(self._actor)


def of_this_machine(given: Given) -> AbstractAsyncContextManager[Start]:
    """Yield what starts a worker here."""
    return nullcontext(lambda: OfThisMachine.started(given))


@asynccontextmanager
async def on_ray(given: Given, address: str | None) -> AsyncIterator[Start]:
    """Yield what starts a worker on a cluster; what begins for it here ends here."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ConfigError("workers.where=ray needs Ray: pip install 'sgdflow[ray]'.") from error
    of_others = ray.is_initialized()
    if address is not None:
        if of_others and (there := ray.get_runtime_context().gcs_address) != address:
            raise ConfigError(_ANOTHER.format(address=address, there=there))
        if not of_others and (why := unanswered(address)):
            raise ConfigError(_NOBODY.format(address=address, why=why))

    turn = asyncio.Lock()  # Ray begins once, and workers all at the same time

    async def start() -> OnRay:
        async with turn:
            if not ray.is_initialized():
                await asyncio.to_thread(_connect, address, given.count)
        hand = OnRay(ray.remote(num_cpus=1)(_Actor).remote())
        try:
            await hand.begin(given)
        except BaseException:
            await hand.end()
            raise
        return hand

    try:
        yield start
    finally:
        if not of_others and ray.is_initialized():
            await asyncio.to_thread(ray.shutdown)


def _connect(address: str | None, count: int) -> None:
    import ray

    own = {} if address else {"include_dashboard": False, "num_cpus": count}
    try:
        ray.init(address=address, log_to_driver=True, logging_level="ERROR", **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        said = _NOBODY if address else _NONE
        raise ConfigError(said.format(address=address, why=error)) from error
