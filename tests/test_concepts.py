"""docs/concepts.md: the numbers worked out by hand are those of the executor, and of calculus."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Start
from followed import follow

PAGE = Path(__file__).resolve().parents[1] / "docs" / "concepts.md"
A, X, T = 2.0, 3.0, 40.0


def loss(a: float = A, p: float | None = None, q: float | None = None) -> float:
    """Return the loss where the variables that are given are held."""
    p = a * X if p is None else p
    q = p + 1 if q is None else q
    return (p * q - T) ** 2 / 2


def slope(name: str, at: float, **held: float) -> float:
    small = 1e-5
    return (loss(**held, **{name: at + small}) - loss(**held, **{name: at - small})) / (2 * small)


@pytest.mark.timeout(300)
def test_the_example_is_computed_as_it_is_by_hand(tmp_path: Path, at: Start) -> None:
    followed = follow(PAGE, tmp_path, at)
    [step] = map(json.loads, (followed.here / "run/steps.jsonl").read_text().splitlines())
    said = {
        (name, one["source"]): one["value"]
        for name, arrived in step["sampled"][0]["gradients"].items()
        for one in arrived
    }
    assert said["q", "y"] == pytest.approx(slope("q", 7.0, p=6.0))
    assert said["p", "y"] == pytest.approx(slope("p", 6.0, q=7.0))
    assert said["p", "y"] + said["p", "q"] == pytest.approx(slope("p", 6.0))
    assert said["p.a", "p"] == pytest.approx(slope("a", A))
    assert step["proposal"] == {"p.a": pytest.approx(A - 0.0005 * slope("a", A))}


def test_the_table_by_hand_holds_the_same_numbers() -> None:
    rows = re.findall(r"^\| `([^`]+)` \| `[^`]+` \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    found = {name: float(number) for name, number in rows}
    assert found == {
        "h_{y→q}": pytest.approx(slope("q", 7.0, p=6.0)),
        "h_{y→p}": pytest.approx(slope("p", 6.0, q=7.0)),
        "h_{q→p}": pytest.approx(slope("p", 6.0) - slope("p", 6.0, q=7.0)),
        "∇_p": pytest.approx(slope("p", 6.0)),
        "∇_a": pytest.approx(slope("a", A)),
    }
