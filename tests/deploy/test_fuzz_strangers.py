"""A few of the inputs of `make fuzz` that strangers could bring: read, or refused, nothing run."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import fuzz
import fuzz_strangers
import pytest

KINDS = {kind.name: kind for kind in fuzz_strangers.KINDS}
SEED = 7


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the fuzz have a list of what was made, and log lines, of its own."""
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", KINDS)
def test_what_strangers_bring_is_read_or_refused(name: str) -> None:
    tally = fuzz.tried(KINDS[name], range(60), SEED)
    assert tally.broken == []
    assert tally.read >= 5
    assert tally.read + tally.refused == 60
