"""What the paired gate and the confirmation promise, on short versions of the benchmarks.

The whole tables are those of benchmarks/gate_null.py and gate_noise.py.
"""

from __future__ import annotations

import gate_noise
import gate_null
import pytest
from gate_worlds import World, descend

from sgdflow.descent.confirm import Confirm
from sgdflow.update import Gate


def test_nothing_is_accepted_where_there_is_nothing_to_find() -> None:
    accepts, other, gain, examples = gate_null.row(Gate("paired"), None, 20)
    assert accepts <= 1
    assert other <= accepts
    assert abs(gain) < 0.01
    assert examples <= gate_null.TRAIN / 2
    means_alone, *_ = gate_null.row(Gate("strict"), None, 20)
    assert means_alone > 10


def test_a_step_that_asks_the_gate_five_times_has_no_more_of_the_level() -> None:
    accepts, _, gain, _ = gate_null.row(Gate("paired"), None, 12, 3)
    assert accepts <= 1
    assert abs(gain) < 0.01
    means_alone, *_ = gate_null.row(Gate("strict"), None, 3, 3)
    assert means_alone >= 2


def test_a_winner_by_luck_is_not_returned() -> None:
    accepts, other, _, _ = gate_null.row(Gate("strict"), Confirm(), 20)
    assert accepts > 10
    assert other <= 1


def test_noise_leads_no_run_below_its_start() -> None:
    found = gate_noise.row(Gate("paired", repeats=2), None, 60, 0.3, 12)
    assert (found.below, found.wrong) == (0, 0)
    assert found.gain > 0.1
    assert found.examples <= 30


def test_a_confirmation_says_what_it_compared() -> None:
    run = descend(World(1, moves=0.3), "accuracy 0.3 0", Gate(), 60, 6, Confirm(), 40)
    found = run.result.confirmation
    assert found is not None
    assert (found.examples, found.smallest, found.confirmed) == (40, 5 / 40, found.p <= 0.05)
    assert run.result.selected_on == ("train",)
    assert found.before == pytest.approx(0.3, abs=0.2)
