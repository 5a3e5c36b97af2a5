"""How far a run has come, for whoever started it from Python: on a terminal or in a notebook."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from sgdflow.errors import spelt_out
from sgdflow.terminal.display import Following, Watch, watching
from sgdflow.terminal.text import Spelt

_PAUSE = 0.5


@contextmanager
def watching_python(*, wanted: bool = True) -> Iterator[Watch]:
    """Show the progress of a run, and what it says, as long as the block lasts."""
    display = _notebook() if wanted else None
    with _heard(sys.stdout, wanted=wanted and display is None) as file:
        if display is None:
            with watching(file, wanted=wanted) as watch:
                yield watch
            return
        shown = _Cell(display)
        with _heard(shown, wanted=True):
            yield shown
        shown.rest()


class _Cell(Following):
    """Draws what was said, and a line below it, in the output of a notebook's cell."""

    def __init__(self, display: Callable[..., Any]) -> None:
        super().__init__(_PAUSE)
        self._said: list[str] = []
        self._line = ""
        self._handle = display({"text/plain": ""}, raw=True, display_id=True)

    def tell(self, now: float) -> None:
        self._line = self._state.line(now)
        self._draw()

    def write(self, text: str) -> int:
        """Take what is said."""
        self._said.append(text.rstrip("\n"))
        self._draw()
        return len(text)

    def flush(self) -> None:
        """Keep nothing back."""

    def rest(self) -> None:
        """Leave what was said."""
        self._line = ""
        self._draw()

    def _draw(self) -> None:
        text = "\n".join([*self._said, *([self._line] if self._line else [])])
        self._handle.update({"text/plain": spelt_out(text)}, raw=True)


def _notebook() -> Callable[..., Any] | None:
    """Return what displays in the notebook that this runs in; None elsewhere.

    A notebook has IPython loaded, so that nothing is imported for others.
    """
    loaded = sys.modules.get("IPython")
    shell = loaded.get_ipython() if loaded is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    found: Callable[..., Any] = display
    return found


@contextmanager
def _heard(file: Any, *, wanted: bool) -> Iterator[TextIO]:
    """Let what sgdflow logs be read, unless the program that runs it reads it already."""
    log = logging.getLogger("sgdflow")
    if not wanted or log.isEnabledFor(logging.INFO):
        yield file
        return
    handler, before = logging.StreamHandler(file), log.level
    handler.setFormatter(Spelt())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    propagates, log.propagate = log.propagate, False
    try:
        yield file
    finally:
        log.removeHandler(handler)
        log.setLevel(before)
        log.propagate = propagates
