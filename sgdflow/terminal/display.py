"""How far a run has come: a line at the bottom of the terminal, or one a minute in the log."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from io import TextIOBase
from typing import TYPE_CHECKING, TextIO

from sgdflow.executor.progress import Advance, Progress, Unwatched
from sgdflow.llm import Spent
from sgdflow.terminal.state import State
from sgdflow.terminal.text import console_on

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

log = logging.getLogger(__name__)

_PAUSE = 0.25
_MINUTE = 60.0
Bill = Callable[[], Mapping[str, Spent]]


class Watch(Progress):
    """A progress that can be kept up to date while an event loop runs."""

    @asynccontextmanager
    async def following(self, bill: Bill) -> AsyncIterator[None]:
        """Look at the bill, and at the clock, again and again."""
        yield


class _Nobody(Unwatched, Watch):
    """Watches nothing."""


class Following(Watch):
    """Tells again and again how far the run has come."""

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._state = State(time.monotonic())

    def tell(self, now: float) -> None:
        """Tell it once."""
        raise NotImplementedError

    def step(self, number: int, most: int) -> None:
        """See that a step begins."""
        self._state.begin_step(number, most, time.monotonic())

    def expect(self, work: str, total: int) -> Advance:
        """See that so many are to be done."""
        self._state.begin_work(work, total, time.monotonic())
        return self._state.advance

    @asynccontextmanager
    async def following(self, bill: Bill) -> AsyncIterator[None]:
        """Tell it until the block ends."""
        ticking = asyncio.create_task(self._tick(bill))
        try:
            yield
        finally:
            ticking.cancel()

    async def _tick(self, bill: Bill) -> None:
        while True:
            now = time.monotonic()
            self._state.spend(bill(), now)
            self.tell(now)
            await asyncio.sleep(self._pause)


class _Line(Following):
    """Draws a line."""

    def __init__(self, live: Live) -> None:
        super().__init__(_PAUSE)
        self._live = live

    def tell(self, now: float) -> None:
        from rich.text import Text

        line = Text(self._state.line(now), no_wrap=True, overflow="ellipsis")
        self._live.update(line, refresh=True)


class _Lines(Following):
    """Writes a line into the log now and then."""

    def tell(self, now: float) -> None:
        if now - self._state.began >= self._pause:
            log.info("... %s", self._state.sentence(now))


@contextmanager
def watching(
    file: TextIO,
    *others: TextIO,
    wanted: bool = True,
    alone: bool = True,
    pause: float = _MINUTE,
) -> Iterator[Watch]:
    """Show a line on `file` as long as the block lasts, where all files are terminals.

    What is logged meanwhile appears above it. Elsewhere, and where the run is not `alone`, the
    log has a line after every `pause`, in seconds.
    """
    if not wanted:
        yield _Nobody()
        return
    if not (alone and all(shows_motion(one) for one in (file, *others))):
        yield _Lines(pause)
        return
    from rich.live import Live

    console = console_on(file)
    with (
        Live(console=console, auto_refresh=False, transient=True) as live,
        _logged_above(console),
    ):
        yield _Line(live)


def shows_motion(file: TextIO) -> bool:
    """Say whether a line can be drawn again and again there."""
    return file.isatty() and os.environ.get("TERM") != "dumb"


class _Above(TextIOBase):
    """A file that writes above the line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        from rich.text import Text

        self._console.print(Text(text), end="", soft_wrap=True)
        return len(text)


@contextmanager
def _logged_above(console: Console) -> Iterator[None]:
    """Lead the log lines that go to the terminal past the line; rich sees to other output."""
    plain = (sys.__stdout__, sys.__stderr__)
    loggers = (logging.getLogger(), logging.getLogger("sgdflow"))
    handlers = [
        handler
        for handler in (one for logger in loggers for one in logger.handlers)
        if isinstance(handler, logging.StreamHandler) and handler.stream in plain
    ]
    before = [handler.stream for handler in handlers]
    for handler in handlers:
        handler.setStream(_Above(console))
    try:
        yield
    finally:
        for handler, stream in zip(handlers, before, strict=True):
            handler.setStream(stream)
