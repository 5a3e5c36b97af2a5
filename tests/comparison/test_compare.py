"""Tables of recorded runs, from made-up runs: plain data in, plain data out."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from compare_runs import TWO, run, scores, table

from sgdflow.comparison import Goal, as_text
from sgdflow.comparison.files import differences_csv
from sgdflow.comparison.outcomes import calls_to_reach
from sgdflow.errors import ConfigError


def test_the_printed_table_word_for_word() -> None:
    history = {"score/train": ((0, 0.2), (2, 0.95)), "spent_calls/forward": ((1, 40.0), (2, 70.0))}
    goal = Goal(0.9, "train", {one.id: history for one in TWO[:4]})
    failed = run(None, 7, status="FAILED")
    printed = as_text(table([*TWO, failed], "against=no_gradient", goal=goal))
    expected = """\
Made up: 6 of 7 runs

Scores and spending
method.name  test score                forward calls  optimizer calls  tokens  cost     seconds  calls to 0.9
-----------  ------------------------  -------------  ---------------  ------  -------  -------  --------------
semantic     0.900 (0.65 to 1.00) n=3  101            3                1,500   $0.0100  2.5      70
no_gradient  0.500 (0.25 to 0.75) n=3  101            3                1,500   $0.0100  2.5      never (2 of 3)
  Scores: mean over seeds, 95 % interval, n seeds. The rest: means per run.
  Calls to 0.9: calls of all roles in the steps (without the scoring before the first) until the
  train score first reached it; the median over runs, where never is later than any number.

Against no_gradient, paired
method.name  difference               pairs  unpaired  p       p (Holm)
-----------  -----------------------  -----  --------  ------  --------
semantic     +0.400 (-0.10 to +0.90)  3      0         0.2500  0.2500
  Mean of row minus no_gradient over pairs with the same seed; 95 % interval; two-sided sign-flip
  permutation test, corrected for the number of rows (Holm).
  3 pairs cannot give a p below 0.25, however large the difference: more seeds are needed.

1 run is not counted
  semantic-tariff-7 ({id}) failed
"""  # noqa: E501
    assert [line.rstrip() for line in printed.splitlines()] == [
        line.rstrip() for line in expected.replace("{id}", failed.id[:8]).splitlines()
    ]


def test_runs_that_did_not_end_are_named_and_not_averaged() -> None:
    stopped = run(0.0, 8, status="KILLED")
    running = run(0.0, 9, status="RUNNING")
    unscored = run(None, 10)
    found = table([*TWO, stopped, running, unscored])
    assert scores(found) == {"semantic": (0.9, 3), "no_gradient": (0.5, 3)}
    assert [one.why for one in found.left_out] == [
        "killed",
        "running",
        "finished without a final test score",
    ]


def test_what_else_varies_is_said() -> None:
    runs = [
        run(score, seed, method__sample__count=count, llm=model, method=method)
        for method, model in (("semantic", "openai"), ("copro", "ollama"))
        for seed in (0, 1)
        for count, score in (("2", 0.4), ("8", 0.8 + seed / 10))
    ]
    found = table(runs)
    assert found.notes == (
        "Runs are averaged over method.sample.count (2, 8).",
        "Rows or columns differ not only in method.name, but also in llm.name (openai, ollama).",
    )
    # Within a seed first, then over seeds: 0.6 and 0.65.
    assert scores(found) == {"semantic": (0.625, 2), "copro": (0.625, 2)}
    assert table(runs, "rows=method,method.sample.count").notes == (
        "Rows or columns differ not only in method.name, method.sample.count, but also in "
        "llm.name (openai, ollama).",
    )
    assert table(runs, "rows=method", "cols=llm,method.sample.count").notes == ()


def test_rows_and_columns_that_nobody_chose() -> None:
    by_task = [*TWO, run(0.3, task="other", task__splits__train="5")]
    assert (table(by_task).row_keys, table(by_task).column_keys) == (
        ("method.name",),
        ("task.name",),
    )
    swept = [run(0.3, method__sample__count=count) for count in ("16", "2", "8")]
    assert table(swept).row_keys == ("method.sample.count",)
    assert table(swept).rows == (("2",), ("8",), ("16",))
    assert table([run(0.3, 0), run(0.4, 1)]).row_keys == ("method.name",)
    assert table([*TWO, run(0.3, task="other")], "rows=task").column_keys == ()


def test_a_seed_without_all_its_runs_does_not_count() -> None:
    runs = [run(0.2, seed, graph=g) for seed in (0, 1) for g in ("a", "b")]
    runs += [run(0.9, 2, graph="a"), run(0.4, 1, graph="b")]
    found = table(runs, "rows=method")
    assert scores(found) == {"semantic": (0.225, 2)}
    assert found.notes == (
        "Runs are averaged over graph.name (a, b).",
        "semantic: seed 2 does not count, it has no finished run for b.",
        "semantic: 1 run repeats the configuration and seed of another; "
        "they are averaged and count once.",
    )
    alone = table([run(0.2, 0, graph="a"), run(0.4, 1, graph="b")], "rows=method")
    assert scores(alone) == {"semantic": (0.3, 2)}
    assert "every run counts as one" in alone.notes[1]


def test_pairs_share_everything_but_the_row() -> None:
    runs = [
        run(base + gain, seed, task=task, method=method)
        for method, gain in (("frozen", 0.0), ("semantic", 0.2))
        for task, base in (("easy", 0.7), ("hard", 0.1))
        for seed in (0, 1)
    ]
    # More seeds of one row, and a lucky repeat: neither pairs twice.
    runs += [run(1.0, 5, task="easy"), run(0.5, 0, task="hard")]
    found = table(runs, "against=frozen")
    assert found.pair_keys == ("task.name", "seed")
    (one,) = found.paired
    assert one.difference is not None
    assert (one.difference.estimate.n, one.unpaired) == (4, 1)
    assert one.difference.estimate.mean == pytest.approx((0.2 + 0.2 + 0.3 + 0.2) / 4)
    assert one.difference.p == pytest.approx(2 / 16)
    lines = list(csv.DictReader(io.StringIO(differences_csv(found))))
    assert (lines[0]["against"], lines[0]["pairs"], lines[0]["exact"]) == ("frozen", "4", "True")


def test_rows_without_pairs_or_differences() -> None:
    runs = [*TWO, run(0.7, 40, method="other"), run(0.5, 0, method="once")]
    runs += [run(s, i, method="same") for i, s in enumerate((0.9, 0.8, 1.0))]
    words = as_text(table(runs, "against=semantic"))
    assert "other        no pairs                 0      4         -       -" in words
    assert "once         -0.400                   1      2         -       -" in words
    assert "same         +0.000 (all equal)       3      0         1.0000  1.0000" in words


def test_seeds_as_rows_are_paired_by_the_rest() -> None:
    # Another seed may have drawn other examples: only what both scored is compared.
    words = ("rows=seed", "cols=method", "against=0")
    found = table(TWO, *words, read=lambda one: {"x": one.metrics["score_final/test"]})
    assert (found.rows, found.pair_keys) == ((("0",), ("1",), ("2",)), ("method.name",))
    means = [one.difference.estimate.mean for one in found.paired if one.difference]
    assert means == [pytest.approx(0.0), pytest.approx(0.0)]


def test_corrected_for_the_rows_that_were_tested() -> None:
    runs = [
        run(0.1 * level + seed / 100, seed, method=name)
        for level, name in enumerate(("a", "b", "c"))
        for seed in range(6)
    ]
    found = table(runs, "against=a").paired
    assert [one.difference.p for one in found if one.difference] == [0.03125, 0.03125]
    assert [one.corrected for one in found] == [0.0625, 0.0625]


def test_calls_until_a_score_is_first_reached() -> None:
    history = {
        "score/train": ((0, 0.1), (1, 0.5), (3, 0.9), (4, 0.7)),
        "spent_calls/forward": ((1, 60.0), (2, 90.0), (3, 120.0), (4, 180.0)),
        "spent_calls/backward": ((1, 2.0), (2, 4.0), (4, 8.0)),
    }
    assert calls_to_reach(Goal(0.9), history) == 124
    assert calls_to_reach(Goal(0.1), history) == 0
    assert calls_to_reach(Goal(0.95), history) is None
    assert calls_to_reach(Goal(0.5, "validation"), history) is None
    assert calls_to_reach(Goal(0.5), {}) is None


def test_unknown_costs_stay_unknown() -> None:
    unpriced = run(0.5, 1)
    metrics = {key: value for key, value in unpriced.metrics.items() if key != "total/cost"}
    free = replace(unpriced, metrics=metrics)
    assert "$0.0100 (1 of 2 known)" in as_text(table([run(0.5, 0), free]))
    assert "unknown" in as_text(table([free]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rows=methd"], "rows=methd: no run has such a key. Did you mean 'method'?"),
        (["rows=method.nam"], "Did you mean 'method.name'? Those that vary: method.name."),
        (["cols=method", "rows=method"], "method.name cannot be both"),
        (["against=no_gradeint"], "Did you mean 'no_gradient'? Rows: semantic, no_gradient."),
        (["groups=bbh"], "none of the 6 finished runs has such a task"),
        (["groups=bbh", "cols=task"], "both choose the columns"),
        (["groups=bhb"], "groups=bhb is not known. Did you mean 'bbh'?"),
        (["row=method"], "does not know 'row=method'. Did you mean 'rows'?"),
        (["-m"], "It takes KEY=VALUE"),
        (["rows="], "rows= says nothing"),
        (["reach=much"], "reach=much is not a score"),
        (["reach=nan"], "reach=nan is not a score"),
        (["on=test"], "Known: train, validation."),
        (["score=validation"], "No run ended with a final validation score: semantic-tariff-0"),
    ],
)
def test_mistakes_are_explained(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table(TWO, *words)
    assert said in str(caught.value)
