"""The figures that pages tell of a real model are those of its counts."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from math import comb
from pathlib import Path

import optimise
import pytest

ROOT = Path(__file__).parents[1]
P = r"\d+(?:\.\d+)?(?:e-\d+)?"


def sign_test(up: int, down: int) -> Fraction:
    """Return the share of fair tosses that are at least as far from even."""
    n = up + down
    far = sum(comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(up - down))
    return Fraction(far, 2**n)


def rows(page: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a page's tables, by the first words of their headers."""
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        head, _, *body = [
            [cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()
        ]
        names = [re.sub("^p, .*", "p", name) for name in head]
        yield from (dict(zip(names, row, strict=False)) for row in body)


def told(page: str) -> Iterator[tuple[int, int, str]]:
    """Yield ups, downs and p of the tables that have all of them, and of sentences."""
    for row in rows(page):
        counts = row.get("up, down") or f"{row.get('up')}, {row.get('down')}"
        if re.fullmatch(r"\d+, \d+", counts) and re.fullmatch(P, row.get("p", "")):
            up, down = counts.split(", ")
            yield int(up), int(down), row["p"]
    for up, down, p in re.findall(rf"(\d+) up, (\d+) down, p ({P})", page):
        yield int(up), int(down), p


@pytest.mark.parametrize(("name", "least"), [("README.md", 11), ("experiments/real.md", 30)])
def test_each_p_is_that_of_its_counts(name: str, least: int) -> None:
    found = list(told((ROOT / name).read_text(encoding="utf-8")))
    assert len(found) >= least
    for up, down, p in found:
        digits = min(int(Decimal(p).as_tuple().exponent), -2)  # "1" is not 0.6
        assert abs(sign_test(up, down) - Fraction(p)) <= Fraction(10) ** digits / 2, (up, down, p)


def test_all_methods_are_given_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.dumps({"examples": [{"input": str(n), "target": "Yes"} for n in range(133)]})
    (tmp_path / "navigate.json").write_text(data, encoding="utf-8")
    given: list[set[str]] = []

    def run(words: Sequence[str]) -> None:
        found = dict(word.split("=", 1) for word in words[1:])
        folder = Path(found.pop("hydra.run.dir"))
        folder.mkdir(parents=True)
        (folder / "examples.jsonl").touch()
        given.append({f"{key}={value}" for key, value in found.items() if key != "method"})

    monkeypatch.setattr(optimise, "run", run)
    for more in ([], ["--calls", "50", "--failures", "6"]):
        words = ["optimise.py", "--url", "http://x/v1", "--data", str(tmp_path), *more]
        words += ["--out", str(tmp_path / f"runs-{len(more)}"), "--tasks", "navigate"]
        monkeypatch.setattr(sys, "argv", words)
        optimise.main()
    plain, limited = given[0], given[3]
    assert given == [plain] * 3 + [limited] * 3
    assert {"method.sample.count=8", "method.confirm={level: 0.05}"} <= plain
    assert not [word for word in plain if word.startswith("method.stop.budget")]
    assert {"method.sample.count=6", "method.stop.budget.calls=50"} <= limited
