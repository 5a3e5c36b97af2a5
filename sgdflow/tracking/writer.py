"""Writes to a store without making the run wait for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore

from sgdflow.tracking.client import reason_of

log = logging.getLogger(__name__)

_WAITING = 64
"""How many writes may wait; a run that is further ahead of its store waits for it."""


class Writer:
    """A thread that writes one thing after the other, in the order given.

    It goes on when the store fails: the replies that records hold were paid for.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "tracking")
        self._room = BoundedSemaphore(_WAITING)

    def put(self, what: str, write: Callable[[], object]) -> None:
        """Write it soon; `what` says to the user what is missing where that fails."""
        self._room.acquire()
        self._thread.submit(self._do, what, write)

    def close(self) -> None:
        """Wait until everything is written."""
        self._thread.shutdown()

    def _do(self, what: str, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:
            log.warning(
                "MLflow has not recorded %s (%s); the run directory has it.", what, reason_of(error)
            )
        finally:
            self._room.release()
