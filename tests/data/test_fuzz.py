"""A few of the inputs of `make fuzz`: each is read, or refused in words, quickly."""

from __future__ import annotations

from pathlib import Path
from random import Random

import fuzz
import fuzz_data
import pytest
from fuzz import Kind

from sgdflow.errors import DataError

SEED = 7
KINDS = {kind.name: kind for kind in fuzz_data.KINDS}


@pytest.mark.parametrize("name", KINDS)
def test_made_up_data_is_read_or_refused(name: str) -> None:
    tally = fuzz.tried(KINDS[name], range(100), SEED)
    assert tally.broken == []
    assert min(tally.read, tally.refused) >= 2
    assert tally.read + tally.refused == 100


def test_the_fuzz_tells_what_is_broken() -> None:
    def read(number: int) -> None:
        if number % 3 == 1:
            raise DataError("refused")
        if number % 3 == 2:
            raise KeyError(number)
        if number == 9:
            raise DataError("line\n" * 20)

    made = iter(range(10))
    tally = fuzz.tried(Kind("made", lambda random, folder: next(made), read), range(10))
    assert (tally.read, tally.refused, len(tally.broken)) == (3, 4, 4)
    assert tally.broken[0].startswith("made 2: ")
    assert "KeyError: 2" in tally.broken[0]
    assert tally.broken[-1].startswith("made 9: message: ")


def test_an_input_depends_on_its_number_and_the_seed(tmp_path: Path) -> None:
    make = KINDS["examples"].make
    assert repr(make(Random("a"), tmp_path)) == repr(make(Random("a"), tmp_path))
    assert repr(make(Random("a"), tmp_path)) != repr(make(Random("b"), tmp_path))
