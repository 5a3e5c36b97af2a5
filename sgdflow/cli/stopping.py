"""Ctrl-C and SIGTERM: the first stops the work in good order, the second ends the process.

So does time: whatever the first one waits for, it does not wait long.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from sgdflow.records.owner import Owner

log = logging.getLogger(__name__)

T = TypeVar("T")

_STOPPING = b"\nStopping. Once more ends it at once.\n"
_ENDED = b"\nEnded at once.\n"
_WAITED = b"\nEnded without waiting any longer.\n"
INTERRUPTED = 130
_PATIENCE = 1.2
"""Seconds from the first signal until the process ends, ready or not."""
_SHOW_CURSOR = b"\x1b[?25h"


class Stopper:
    """Handles the signals that ask for an end.

    The second one, or time, ends the process where it stands: an exception raised there could be
    lost in a callback, or leave an event loop half stopped, and a store or a program of somebody
    else's need not return at all. What was answered is in the store of replies by then.
    """

    def __init__(self, patience: float | None = _PATIENCE) -> None:
        """Declare how long the first signal may take; None: as long as it takes."""
        self._patience = patience
        self._asked = False
        self._code: int | None = None
        self._cancel: Callable[[], object] | None = None
        self._farewell = ""

    def listen(self) -> None:
        """Handle SIGTERM, and Ctrl-C unless the shell keeps it from us, from now on."""
        signal.signal(signal.SIGTERM, self._stop)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._stop)
        if self._patience is not None:
            # Registered first, called last: what others do at the end is done by then, and to
            # take all modules apart takes seconds.
            atexit.register(self._leave)
            self._watch(self._patience)

    @contextmanager
    def cancelling(self, cancel: Callable[[], object], farewell: str = "") -> Iterator[None]:
        """Let the first signal cancel, where raising an exception would break the event loop.

        `farewell` is said where the process has to be ended, then or later.
        """
        self._cancel, self._farewell = cancel, farewell
        try:
            yield
        finally:
            self._cancel = None

    @property
    def asked(self) -> bool:
        """Say whether somebody wants an end."""
        return self._asked

    def leaving(self, code: int) -> int:
        """Note how the program ends; return the same exit code."""
        self._code = code
        return code

    def _leave(self) -> None:
        if self._asked and self._code is not None:
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError, ValueError):
                    stream.flush()
            os._exit(self._code)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            _write(_ENDED)
            os._exit(128 + number)
        self._asked = True
        if self._cancel is None:
            raise KeyboardInterrupt
        _write(_STOPPING)
        self._cancel()

    def _watch(self, patience: float) -> None:
        """Learn of signals in a thread of its own.

        Python calls handlers in the main thread alone, and only when what that does, in a store
        of somebody else's say, has returned.
        """
        if os.name == "nt":  # where one cannot wait for a pipe
            return
        read, write = os.pipe()
        os.set_blocking(write, False)
        before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        if before != -1:  # a command within a program that watches already
            signal.set_wakeup_fd(before)
            os.close(read)
            os.close(write)
            return
        # Signals of a child are the child's.
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
        threading.Thread(target=self._wait, args=(read, patience), daemon=True).start()

    def _wait(self, read: int, patience: float) -> None:
        """End the process when it was asked to twice, or has not ended in time."""
        number = _asking(read, None)
        deadline = time.monotonic() + patience
        again = _asking(read, deadline)
        if again:
            _write(_ENDED)
        else:
            _write(_WAITED + self._farewell.encode() + b"\n" * bool(self._farewell))
        os._exit(128 + (again or number))


def _asking(read: int, deadline: float | None) -> int:
    """Return the next signal that asks for an end; 0 where none comes in time."""
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([read], [], [], left)[0]:
            return 0
        if (number := os.read(read, 1)[0]) in (signal.SIGINT, signal.SIGTERM):
            return number


def run(work: Coroutine[Any, Any, T], farewell: str = "") -> T:
    """Run the work in a new event loop; raises KeyboardInterrupt when it was asked to stop.

    `farewell` is said where it could not be stopped in good order.
    """
    try:
        return asyncio.run(_stoppable(work, farewell))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def give_way(owner: Owner) -> None:
    """Stop this process in good order: another one works in its directory now."""
    log.error("%s has taken the directory over, so this run stops.", owner.words())
    os.kill(os.getpid(), signal.SIGTERM)


def asked_to_stop() -> bool:
    """Say whether somebody wants this program to end."""
    handler = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return isinstance(handler, Stopper) and handler.asked


async def _stoppable(work: Coroutine[Any, Any, T], farewell: str) -> T:
    handler = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if not isinstance(handler, Stopper) or task is None:
        return await work
    with handler.cancelling(lambda: loop.call_soon_threadsafe(task.cancel), farewell):
        return await work


def _write(text: bytes) -> None:
    # Past Python's buffers: the signal may have come while one of them was written.
    try:
        os.write(2, text + (_SHOW_CURSOR if os.isatty(2) else b""))
    except OSError:
        return
