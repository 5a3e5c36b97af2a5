"""Writes to a store without making the run wait for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

from sgdflow.errors import listed
from sgdflow.tracking.client import reason_of

log = logging.getLogger(__name__)

_WAITING = 64
"""How many writes may wait; a run that is further ahead of its store waits for it."""
_PAUSE = 30.0
"""Seconds for which a store that failed is left alone, and which it gets at the end."""
_SOON = 0.5
"""Seconds that what waits has left when someone wants an end."""

Write = tuple[str, Callable[[], object]]
"""What is written, in words, and how."""


class Writer:
    """A thread that writes one thing after the other, in the order given.

    It goes on when the store fails, as the replies that records hold were paid for: it says so
    once, leaves the store alone for a while, and tries what is missing again at the end.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "tracking")
        self._room = BoundedSemaphore(_WAITING)
        self._missing: list[Write] = []
        self._again = 0.0
        self._next = self._first = 0
        self._late = 0.0

    def put(self, what: str, write: Callable[[], object]) -> None:
        """Write it soon; `what` says to the user what is missing where that fails."""
        self._room.acquire()
        self._thread.submit(self._do, self._next, (what, write))
        self._next += 1

    def hurry(self) -> None:
        """Write of what waits only what can be written soon: someone wants an end."""
        self._late, self._first, self._missing = time.monotonic() + _SOON, self._next, []

    def close(self) -> None:
        """Wait until everything is written."""
        self._thread.submit(self._catch_up)
        self._thread.shutdown()

    def _do(self, number: int, what: Write) -> None:
        try:
            if number < self._first and time.monotonic() > self._late:
                return
            if time.monotonic() < self._again:
                self._missing.append(what)
            elif error := _failure(what):
                if not self._missing:
                    log.warning(
                        "MLflow has not recorded %s (%s). The run goes on, its directory has "
                        "everything; what is missing is tried again at the end.",
                        what[0],
                        reason_of(error),
                    )
                self._missing.append(what)
                self._again = time.monotonic() + _PAUSE
        finally:
            self._room.release()

    def _catch_up(self) -> None:
        """Try again what is missing, and say what became of it."""
        if not self._missing:
            return
        end = time.monotonic() + _PAUSE
        lost = [what for what in self._missing if time.monotonic() > end or _failure(what)]
        if lost:
            names = listed(what for what, _ in lost)
            log.warning("MLflow has not recorded: %s. The run directory has it.", names)
        else:
            log.warning("MLflow has recorded what was missing.")


def _failure(what: Write) -> Exception | None:
    """Write; return what the store raised."""
    try:
        what[1]()
    except Exception as error:
        return error
    return None
