"""Runs a graph on a stream of inputs: in order, many at once, never all in memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Any

from sgdflow.data.checks import absent, unsendable
from sgdflow.data.files import few
from sgdflow.data.jsontext import parse
from sgdflow.errors import DataError, NodeFailed, did_you_mean, listed, plural, spelt_out
from sgdflow.executor.walk import task_group

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a graph makes of one row."""

    output: Any = None
    error: str | None = None
    """Why there is no output."""

    def as_json(self) -> str:
        """Return one line."""
        told = {"output": self.output} if self.error is None else {"error": self.error}
        line = json.dumps(told, ensure_ascii=False, default=str)
        # What no encoder takes, or a terminal obeys, is written as an escape: the same data.
        escapes = not _encodable(line) or spelt_out(line) != line
        return json.dumps(told, default=str) if escapes else line


Answer = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""Gives the output for a row of inputs; raises NodeFailed."""


def check_inputs(
    given: object, wanted: Sequence[str], images: Collection[str] = ()
) -> Mapping[str, Any]:
    """Return the inputs of one row; raises DataError where they are not those of the graph.

    Also where they hold text that can be neither sent nor stored; `images` are no text.
    """
    if not isinstance(given, Mapping):
        raise DataError(f"is {_kind(given)}, not an object with {listed(wanted)}.")
    missing = [name for name in wanted if name not in given]
    extra = [str(name) for name in given if name not in wanted]
    if missing:
        for one in extra:
            if meant := did_you_mean(one, missing):
                lacking = listed(f"'{name}'" for name in missing)
                raise DataError(f"has '{one}', and no {lacking}.{meant}")
        raise DataError(f"has no {listed(missing)}. It has: {few([*map(str, given)])}.")
    if extra:
        raise DataError(f"has {few(extra)}, which is no input. Inputs: {listed(wanted)}.")
    for name in wanted:
        if found := unsendable(given[name], image=name in images):
            raise DataError(f"has under '{name}' {found}.")
    return {name: given[name] for name in wanted}


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which also stands for a byte that is none
        return False
    return True


def read_row(line: str, wanted: Sequence[str], images: Collection[str] = ()) -> Mapping[str, Any]:
    """Return the inputs that a line of JSON holds; raises DataError."""
    if not _encodable(line):
        raise DataError("is not UTF-8.")
    try:
        given = parse(line.strip())
    except DataError as error:
        cause = error.__cause__
        if isinstance(cause, json.JSONDecodeError):
            raise DataError(f"is no JSON ({cause.msg}, column {cause.colno}).") from error
        raise DataError(f"cannot be read: {error}.") from error
    fitting = check_inputs(given, wanted, images)
    for name, value in fitting.items():
        if found := absent(value):
            raise DataError(f"has {found} for '{name}', and a model would be asked about that.")
    return fitting


def check_rows(
    lines: Iterable[str], wanted: Sequence[str], name: str, images: Collection[str] = ()
) -> int:
    """Return the number of rows; raises DataError that names the lines which do not fit."""
    wrong, rows = [], 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        rows += 1
        try:
            read_row(line, wanted, images)
        except DataError as error:
            wrong.append(f"{name}, line {number}: {error}")
    if len(wrong) > _SHOWN:
        wrong[_SHOWN:] = [f"and {plural(len(wrong) - _SHOWN, 'more line')}"]
    if wrong:
        raise DataError("\n".join(wrong))
    return rows


async def predict(
    lines: Iterable[str],
    wanted: Sequence[str],
    answer: Answer,
    write: Callable[[Prediction], None],
    at_once: int,
    images: Collection[str] = (),
) -> None:
    """Write one prediction for each line that is not blank, in their order.

    A row that fails is written as such and the others go on; what no row can be answered
    without (a key, a stored reply) is raised. At most about `at_once` rows are in memory.
    """
    waiting: asyncio.Queue[asyncio.Task[Prediction] | None] = asyncio.Queue(at_once)

    async def one(line: str) -> Prediction:
        try:
            return Prediction(await answer(read_row(line, wanted, images)))
        except DataError as error:
            return Prediction(error=f"The row {error}")
        except NodeFailed as error:
            return Prediction(error=str(error))

    async with task_group() as group:

        async def read() -> None:
            async for line in _arriving(lines, at_once):
                if line.strip():
                    await waiting.put(group.create_task(one(line)))
            await waiting.put(None)

        group.create_task(read())
        while task := await waiting.get():
            write(await task)


async def _arriving(lines: Iterable[str], ahead: int) -> AsyncIterator[str]:
    """Yield lines as they come, without holding the event loop up while none comes.

    The thread is a daemon: an interrupted program does not wait for a line that never comes.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
    room = threading.Semaphore(ahead)

    def pump() -> None:
        try:
            for item in _ending(lines):
                room.acquire()
                loop.call_soon_threadsafe(arrived.put_nowait, item)
        except RuntimeError:  # the loop was closed: nobody listens any more
            return

    threading.Thread(target=pump, daemon=True, name="rows").start()
    while (item := await arrived.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item
        room.release()


def _ending(lines: Iterable[str]) -> Iterator[str | BaseException | None]:
    """Yield the lines, and then how they ended."""
    try:
        yield from lines
    except (OSError, UnicodeDecodeError) as error:
        yield DataError(f"The input cannot be read: {error}.")
    yield None


def _kind(value: object) -> str:
    names = {list: "a list", str: "a text", bool: "true or false", int: "a number"}
    return names.get(type(value), "null" if value is None else "a number")
