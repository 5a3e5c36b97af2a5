"""Means with their failed examples, and differences over common examples alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from compare_runs import run

from sgdflow.comparison import Comparison, as_text, compare, parse
from sgdflow.comparison.files import cells_csv, differences_csv, runs_csv
from sgdflow.data import Example
from sgdflow.descent import Scores
from sgdflow.executor.forward import ForwardPass
from sgdflow.executor.outcomes import Evaluation, Outcome
from sgdflow.records import as_json, scores_record
from sgdflow.records.words import change_words
from sgdflow.tracking.client import client, prepare, start_run
from sgdflow.tracking.reading import Group, RecordedRun, RunReader, Selection

Examples = Mapping[str, float]


def ended(examples: Examples, of: int, seed: int = 0, **params: str) -> RecordedRun:
    """Make a run that scored these examples of so many."""
    made = run(fmean(examples.values()), seed, **params)
    counts = {"total/examples_test": float(len(examples))}
    counts["total/failed_test"] = float(of - len(examples))
    return replace(made, metrics={**made.metrics, **counts})


def table(runs: Sequence[tuple[RecordedRun, Examples | None]], *words: str) -> Comparison:
    known = {one.id: examples for one, examples in runs}
    group = Group("Made up", tuple(one for one, _ in runs))
    return compare(group, parse(words), None, lambda one: known[one.id])


# Where the second method answered, it was no better: it lost the examples that are hard.
HARD = {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.0}
EASY = {"a": 1.0, "b": 1.0}
WHOLE = {"a": 1.0, "b": 0.0, "c": 0.0, "d": 1.0}


def test_a_method_that_fails_on_hard_examples_is_not_better_for_it() -> None:
    found = table(
        [
            (ended(HARD, 4), HARD),
            (ended(EASY, 4, method="copro"), EASY),
            (ended(HARD, 4, seed=1), HARD),
            (ended(WHOLE, 4, seed=1, method="copro"), WHOLE),
        ],
        "against=semantic",
    )
    (row,) = found.paired
    assert row.difference is not None
    # 1.0 - 1.0 on a and b; 0.5 - 0.5 on all four.
    assert (row.difference.estimate.mean, row.difference.estimate.n) == (0.0, 2)
    assert (row.fewer, row.apart, row.unpaired) == (1, 0, 0)
    printed = " ".join(as_text(found).split())
    assert "copro 0.750 (0.00 to 1.00) n=2, 2 failed" in printed
    assert "semantic 0.500 (all equal) n=2 " in printed
    assert (
        "Failed: examples of these runs without a score; a run's mean is over the others, so that "
        "these means are over different examples." in printed
    )
    assert (
        "1 pair is compared over the examples that both runs scored, which are fewer than their "
        "own." in printed
    )


def test_runs_that_share_no_known_example_are_not_compared() -> None:
    found = table(
        [
            (ended(EASY, 4), EASY),
            (ended({"c": 0.0}, 4, method="copro"), {"c": 0.0}),
            (ended(EASY, 4, seed=1), EASY),
            (ended(HARD, 4, seed=1, method="copro"), None),
        ],
        "against=semantic",
    )
    (row,) = found.paired
    assert (row.difference, row.apart) == (None, 2)
    assert "2 pairs are not compared: no example is known to have been scored by both runs." in (
        " ".join(as_text(found).split())
    )
    (line,) = csv.DictReader(io.StringIO(differences_csv(found)))
    assert (line["difference"], line["pairs"], line["nothing_common"]) == ("", "0", "2")


def test_runs_that_drew_other_examples_are_compared_over_those_they_share() -> None:
    other = {"a": 0.0, "x": 1.0, "y": 1.0}
    found = table(
        [(ended(EASY, 2), EASY), (ended(other, 3, seed=1), other)], "rows=seed", "against=0"
    )
    (row,) = found.paired
    assert row.difference is not None
    assert (row.difference.estimate.mean, row.fewer) == (-1.0, 1)


def test_where_nothing_failed_no_example_is_looked_at() -> None:
    def read(one: RecordedRun) -> Examples:
        raise AssertionError("a run's examples were fetched")

    runs = (ended(HARD, 4), ended(WHOLE, 4, method="copro"))
    found = compare(Group("Made up", runs), parse(["against=semantic"]), None, read)
    assert found.paired[0].difference is not None
    assert found.paired[0].difference.estimate.mean == 0.0


def test_files_hold_the_counts() -> None:
    found = table([(ended(HARD, 4), HARD), (ended(EASY, 4, method="copro"), EASY)])
    cells = list(csv.DictReader(io.StringIO(cells_csv(found))))
    assert [(one["n"], one["failed"]) for one in cells] == [("1", "0"), ("1", "2")]
    runs = list(csv.DictReader(io.StringIO(runs_csv(found))))
    assert [(one["examples"], one["failed"]) for one in runs] == [("4", "0"), ("2", "2")]


def test_examples_are_read_from_the_store(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'runs.db'}"
    experiment = prepare(uri, "e")
    lines = [
        {"split": "test", "example": "t/1", "final": 0.5, "said": "a\u2028b\x85"},
        {"split": "test", "example": "t/2", "final": None},
        {"split": "train", "example": "t/3", "final": 1.0},
    ]
    made = [start_run(uri, experiment, name, {}) for name in ("kept", "bare")]
    made[0].log_text("".join(f"{as_json(line)}\n" for line in lines), "examples.jsonl")
    for one in made:
        client(uri).set_terminated(one.id)
    reader = RunReader(uri)
    kept, bare = reader.group(Selection(experiment="e")).runs
    assert reader.examples(kept, "test") == {"t/1": 0.5}
    assert reader.examples(bare, "test") is None


def scored(**examples: float | None) -> Evaluation:
    return Evaluation(
        {
            name: Outcome(
                ForwardPass(Example(name, {}, None).id, {}, {}, {}),
                score,
                None if score is not None else "down",
            )
            for name, score in examples.items()
        }
    )


def test_before_and_after_are_told_over_the_same_examples_where_they_differ() -> None:
    nothing = Evaluation({})

    def record(before: Evaluation, after: Evaluation) -> Mapping[str, object]:
        both = [
            Scores({"train": one, "validation": nothing, "test": nothing})
            for one in (before, after)
        ]
        found: Mapping[str, object] = scores_record(*both)["train"]
        return found

    moved = record(scored(a=0.0, b=0.0, c=1.0), scored(a=1.0, b=None, c=1.0))
    assert moved["common"] == {"n": 2, "initial": 0.5, "final": 1.0}
    assert change_words(moved) == (
        "0.333 (0.06 to 0.79, 3 examples)  ->  1.000 (0.34 to 1.00, 2 examples, 1 failed); "
        "on the 2 examples scored both times 0.500 -> 1.000"
    )
    apart = record(scored(a=0.0, b=None), scored(a=None, b=1.0))
    assert apart["common"] == {"n": 0}
    assert change_words(apart).endswith("1 failed); no example was scored both times")
    assert "common" not in record(scored(a=0.0, b=1.0), scored(a=1.0, b=1.0))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_split_that_was_not_scored_has_nothing_in_common(split: str) -> None:
    empty = Scores({name: Evaluation({}) for name in ("train", "validation", "test")})
    assert scores_record(empty, empty)[split] == {"initial": None, "final": None}
