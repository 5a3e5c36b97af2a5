"""A worker: scores examples of a run in a process of its own, wherever that is.

As a program it reads what it is given on its input and answers on its output, and ends when the
input does, whatever it is about: so does what it asks and pays for.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from traceback import extract_tb
from typing import IO, Any

from sgdflow.config.prepare import prepare
from sgdflow.config.project import check_reached, look_here
from sgdflow.data import Example
from sgdflow.errors import NoResult, SgdflowError
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.executor.outcomes import Outcome
from sgdflow.executor.progress import Unwatched
from sgdflow.llm.calling import Calling
from sgdflow.llm.known import Part
from sgdflow.prompting.templates import Prompts

SIZE = struct.Struct(">Q")
"""How many bytes of a message follow."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a worker is made of: the run, where it was started, and how it is shared out."""

    config: Mapping[str, Any]
    folders: tuple[Path, ...]
    """Of templates."""
    working: Path
    since: float
    account: str
    count: int
    """How many workers share the calls at once."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Examples to score."""

    parameters: Parameters
    examples: Sequence[Example]
    asked: Mapping[str, int]
    """How often the run has made each request whose replies are not meant to be alike."""
    apart: bool = False
    """Whether each example draws by itself."""


@dataclass(frozen=True, slots=True)
class Done:
    """What has become of them."""

    outcomes: Sequence[Outcome]
    part: Part
    error: SgdflowError | None = None


class Worker:
    """Scores chunks of examples with a client of its own, one after the other."""

    def __init__(self, given: Given) -> None:
        check_reached(given.working)
        os.chdir(given.working)
        look_here(given.working)
        ready = prepare(given.config, Prompts(given.folders), os.environ)
        self._problem = ready.problem
        self._runner = asyncio.Runner()
        calling = _shared_out(ready.calling, given.count)
        self._opened = calling.opened(given.working, os.environ, given.since, account=given.account)
        self._llm = self._runner.run(self._opened.__aenter__())

    def work(self, chunk: Chunk) -> Done:
        """Score a chunk."""
        known = self._llm.known
        known.resume(chunk.asked)
        problem = self._problem
        how = problem.graph, problem.score, self._llm, None, None, problem.at_once
        evaluate = Evaluator(*how)
        evaluate = evaluate.apart(1, Unwatched()) if chunk.apart else evaluate
        try:
            found = self._runner.run(evaluate(chunk.parameters, chunk.examples))
        except Exception as error:
            return Done((), known.part(), told(error))
        return Done([found.outcomes[one.id] for one in chunk.examples], known.part())

    def close(self) -> None:
        """Close the client and the store."""
        self._runner.run(self._opened.__aexit__(None, None, None))
        self._runner.close()


def _shared_out(calling: Calling, count: int) -> Calling:
    """Return who is called, by one of several workers: with its share of the calls at once."""
    limits = calling.limits
    roles = {
        role: replace(share, concurrency=share.concurrency and -(-share.concurrency // count))
        for role, share in limits.roles.items()
    }
    own = replace(limits, concurrency=-(-limits.concurrency // count), roles=roles)
    return replace(calling, limits=own, check=False)


def told(error: Exception) -> SgdflowError:
    """Return what to tell the run of an error; raise it where the worker has to end of it."""
    if isinstance(error, SgdflowError):
        return error
    if isinstance(error, MemoryError):
        raise error
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    at = "".join(
        f" ({one.filename}, line {one.lineno})" for one in extract_tb(error.__traceback__)[-1:]
    )
    return NoResult(f"a worker has failed with {said}{at}")


class _Asked:
    """What is asked on an input, read beside the work on what was asked before."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._messages: SimpleQueue[bytes] = SimpleQueue()
        self._at_work = False
        threading.Thread(target=self._read, name="sgdflow-asked", daemon=True).start()

    def __iter__(self) -> Iterator[bytes]:
        while text := self._messages.get():
            yield text

    def answered(self) -> None:
        """Note that nobody waits for an answer."""
        self._at_work = False

    def _read(self) -> None:
        while head := self._source.read(SIZE.size):
            [size] = SIZE.unpack(head)
            self._at_work = True
            text = self._source.read(size)
            if len(text) < size:
                break
            self._messages.put(text)
        if self._at_work:
            # Nobody wants the answer, which may be hundreds of calls away. What was answered is
            # in the store of replies.
            os._exit(1)
        self._messages.put(b"")


def _as_bytes(answer: Any) -> bytes:
    try:
        return pickle.dumps(answer)
    except Exception as error:
        why = (
            f"what nodes have returned cannot be handed from a worker to the run ({error}); have "
            "them return plain data, or set workers.count=0"
        )
        return pickle.dumps(NoResult(why))


def serve(source: IO[bytes], answers: IO[bytes]) -> None:
    """Answer as long as something is asked; the first message says what for."""
    worker: Worker | None = None
    asked = _Asked(source)
    try:
        for message in asked:
            answer: Any = None
            try:
                given = pickle.loads(message)
                if worker is None:
                    worker = Worker(given)
                else:
                    answer = worker.work(given)
            except Exception as error:
                answer = told(error)
            text = _as_bytes(answer)
            asked.answered()
            answers.write(SIZE.pack(len(text)) + text)
            answers.flush()
    finally:
        if worker is not None:
            worker.close()


def main() -> None:
    """Be a worker for the process at the other end of input and output."""
    # Whoever has started it ends it, and decides what a Ctrl-C means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = os.fdopen(os.dup(0), "rb")  # a thread still reads it when Python closes sys.stdin
    with os.fdopen(os.dup(1), "wb") as out, suppress(BrokenPipeError):
        os.dup2(2, 1)  # what functions of a user print is no answer
        serve(asked, out)
