"""BIG-Bench Hard, LIAR, and what is written to a folder."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from compare_runs import TWO, run, scores, table

from sgdflow.comparison import as_markdown, as_text, write_folder
from sgdflow.comparison.files import cells_csv
from sgdflow.comparison.paper import ALGORITHMIC, NLP, files_of
from sgdflow.errors import ConfigError
from sgdflow.tracking.reading import RecordedRun, Texts


def test_big_bench_hard_by_halves() -> None:
    tasks = [file for task in (*NLP, *ALGORITHMIC) for file in files_of(task)]
    assert (len(NLP), len(ALGORITHMIC), len(tasks)) == (12, 11, 27)
    # Three files of one puzzle are one task: 0.9, 0.6 and 0.0 count as one 0.5.
    puzzle = {
        f"logical_deduction_{n}_objects": s
        for n, s in (("three", 0.9), ("five", 0.6), ("seven", 0.0))
    }
    whole = [run(puzzle.get(t, 1.0), s, task=t, task__path=t) for t in tasks for s in (0, 1)]
    found = table(whole, "groups=bbh")
    all_tasks = (round(1 - 0.5 / 23, 6), 2)
    assert scores(found) == {
        "semantic NLP": (1.0, 2),
        "semantic algorithmic": (round(1 - 0.5 / 11, 6), 2),
        "semantic all": all_tasks,
    }
    assert len(found.notes) == 1
    some = [one for one in whole if one.params["task.name"] not in ("snarks", tasks[-1])]
    some = [one for one in some if not one.params["task.name"].startswith("tracking")]
    some.append(run(0.5, task="tracking_shuffled_objects_five_objects"))
    noted = table([*some, run(0.1, task="gsm8k")], "groups=bbh")
    assert noted.notes[-2:] == (
        "semantic, NLP: 11 of 12 tasks; missing snarks.",
        "semantic, algorithmic: 10 of 11 tasks; missing "
        "tracking_shuffled_objects_three_objects, tracking_shuffled_objects_seven_objects, "
        "word_sorting.",
    )
    assert [one.why for one in noted.left_out] == ["no task of BIG-Bench Hard"]


def test_the_papers_ablation_beside_ours() -> None:
    runs = [run(0.7, s, graph="liar", task="liar") for s in (0, 1)]
    alone = '["judge.instruction"]'
    runs += [run(0.6, graph="liar", task="liar", method__update__parameters=alone)]
    runs += [run(0.5, graph="liar", task="liar", method="no_gate")]
    runs += [run(0.4, graph="liar", task="liar", method__backward="null")]
    runs += [run(0.3, graph="liar", task="liar", method="textgrad")]
    shown = {one.variant: one for one in table(runs).ablations}
    ours = {name: one.cell.score.mean for name, one in shown.items() if one.cell}
    assert ours == {"full method": 0.7, "only judge": 0.6, "no gate": 0.5, "no gradient": 0.4}
    published = {name: one.published for name, one in shown.items() if one.published}
    assert published == {"full method": 0.712}
    words = as_text(table(runs))
    assert "only party      not available to us  not run" in words
    assert table(TWO).ablations == ()


def test_what_is_written_to_a_folder(tmp_path: Path) -> None:
    odd = run(0.5, 3, method="a|b $x$ <i>*c*\n{{ 7*7 }}")
    found = table([*TWO, odd], "against=semantic", "cols=task")
    progress = {odd.id: {"score/train": ((0, 0.1), (1, 0.5)), "spent_calls/forward": ((1, 9.0),)}}
    paths = write_folder(found, tmp_path / "new" / "folder", progress, "train")
    names = [path.name for path in paths]
    assert names[:3] == ["compare.md", "cells.csv", "runs.csv"]
    assert names[3:] == ["differences.csv", "compare.svg", "compare.html"]
    page = paths[-1].read_text(encoding="utf-8")
    assert "<td>a|b $x$ &lt;i&gt;*c* {{ 7*7 }}</td>" in page
    assert page.count('class="dot row-2"') == 2
    assert "<i>*c*" not in page
    assert "a\\|b \\$x\\$ &lt;i>\\*c\\* {{ 7\\*7 }}" in as_markdown(found)
    lines = list(csv.DictReader(io.StringIO(cells_csv(found))))
    assert lines[0]["test_score"] == "0.9"
    assert (lines[2]["method.name"], lines[2]["low"]) == ("a|b $x$ <i>*c*\n{{ 7*7 }}", "")
    svg = (tmp_path / "new" / "folder" / "compare.svg").read_text(encoding="utf-8")
    drawn = "".join(ElementTree.fromstring(svg).itertext())
    assert "a|b $x$ <i>*c* {{ 7*7 }}" in drawn
    write_folder(found, tmp_path / "again", {}, "train")
    assert (tmp_path / "again" / "compare.svg").read_text(encoding="utf-8") == svg
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_folder(found, tmp_path / "file", {}, "train")


def test_the_page_begins_with_what_the_best_run_changed(tmp_path: Path) -> None:
    best = run(0.95, 1, method="no_gate")
    found = table([*TWO[:2], best], "rows=method.name")
    asked: list[str] = []

    def texts(one: RecordedRun) -> Texts:
        asked.append(one.id)
        before = {"a.instruction": "Add <b> it up.", "b.instruction": "As it was."}
        return Texts(before, {**before, "a.instruction": "Add it all up."})

    progress = {best.id: {"score/train": ((0, 0.1), (1, 0.5))}}
    page = write_folder(found, tmp_path, progress, "train", texts)[-1].read_text(encoding="utf-8")
    assert asked == [best.id]
    first, _, rest = page.partition("</section>")
    assert "What the best run changed" in first
    assert f"{best.name}: final test score 0.950, the highest of 3 runs. It was chosen by" in first
    deleted, inserted = (re.findall(f"<{tag}>([^<]*)</{tag}>", first) for tag in ("del", "ins"))
    assert ["".join(found).split() for found in (deleted, inserted)] == [["&lt;b&gt;"], ["all"]]
    assert re.findall(r"<td[^>]*>([^<]*)</td>", first) == ["a.instruction", "4", "4", "1", "1"]
    assert "As at the start: b.instruction." in first
    assert "<li>method.name:</li>" in rest
    silent = write_folder(found, tmp_path, {}, "train")[-1].read_text(encoding="utf-8")
    assert "The store keeps no texts of this run." in silent


def test_many_columns_stand_below_each_other() -> None:
    tasks = [f"task_{i}" for i in range(6)]
    runs = [run(i / 10, s, task=task) for i, task in enumerate(tasks) for s in (0, 1)]
    words = as_text(table([*runs, run(0.9, task="task_0", method="other")]))
    assert words.splitlines()[2:7] == [
        "Final test score by method.name",
        "task.name  semantic               other",
        "---------  ---------------------  ---------",
        "task_0     0.000 (all equal) n=2  0.900 n=1",
        "task_1     0.100 (all equal) n=2  -",
    ]
    assert "Final test score by task.name" in as_text(table(runs[:10]))


def test_scores_of_simulated_models_are_called_that() -> None:
    some = [run(0.5, 0, llm="simulated"), run(0.6, 1, llm="simulated")]
    said = "asked simulated models: the scores say nothing about any language model."
    assert table(some, "rows=method").notes == (f"All runs {said}",)
    assert f"2 of 3 runs {said}" in table([*some, run(0.7, 2)], "rows=method").notes
