"""Ctrl-C and SIGTERM: the first stops the work in good order, the second ends the process."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sgdflow.records.owner import Owner

log = logging.getLogger(__name__)

T = TypeVar("T")

_STOPPING = b"\nStopping. Once more ends it at once.\n"
_ENDED = b"\nEnded at once.\n"
_SHOW_CURSOR = b"\x1b[?25h"


class Stopper:
    """Handles the signals that ask for an end.

    The second one ends the process where it stands: an exception raised there could be lost in a
    callback, or leave an event loop half stopped. What was answered is in the store by then.
    """

    def __init__(self) -> None:
        self._asked = False
        self._cancel: Callable[[], object] | None = None

    def listen(self) -> None:
        """Handle SIGTERM, and Ctrl-C unless the shell keeps it from us, from now on."""
        signal.signal(signal.SIGTERM, self._stop)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._stop)

    @contextmanager
    def cancelling(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Let the first signal cancel, where raising an exception would break the event loop."""
        self._cancel = cancel
        try:
            yield
        finally:
            self._cancel = None

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            _write(_ENDED)
            os._exit(128 + number)
        self._asked = True
        if self._cancel is None:
            raise KeyboardInterrupt
        _write(_STOPPING)
        self._cancel()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the work in a new event loop; raises KeyboardInterrupt when it was asked to stop."""
    try:
        return asyncio.run(_stoppable(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def give_way(owner: Owner) -> None:
    """Stop this process in good order: another one works in its directory now."""
    log.error("%s has taken the directory over, so this run stops.", owner.words())
    os.kill(os.getpid(), signal.SIGTERM)


async def _stoppable(work: Coroutine[Any, Any, T]) -> T:
    handler = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if not isinstance(handler, Stopper) or task is None:
        return await work
    with handler.cancelling(lambda: loop.call_soon_threadsafe(task.cancel)):
        return await work


def _write(text: bytes) -> None:
    # Past Python's buffers: the signal may have come while one of them was written.
    try:
        os.write(2, text + (_SHOW_CURSOR if os.isatty(2) else b""))
    except OSError:
        return
