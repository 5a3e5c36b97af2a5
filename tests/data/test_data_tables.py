"""Tables of one's own, in every format, whole and broken."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sgdflow.data import Example, Pools, table
from sgdflow.errors import DataError


def error(function: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


QUESTIONS = [
    {"q": "What is 007?", "code": "007", "a": "NA"},
    {"q": 'He said "no",\r\nthen left', "code": "1e3", "a": " yes "},
    {"q": "Ünïcode \u2028 {{ 7*7 }}", "code": "", "a": "null"},
]


def written(folder: Path, ending: str, bom: bool = False) -> str:
    file = folder / f"questions{ending}"
    match ending:
        case ".jsonl":
            lines = [json.dumps(row, ensure_ascii=False) for row in QUESTIONS]
            text = "\n\n".join(lines) + "\n"
        case ".json":
            text = json.dumps(QUESTIONS)
        case ".parquet":
            arrow = pytest.importorskip("pyarrow")
            parquet = pytest.importorskip("pyarrow.parquet")
            parquet.write_table(arrow.Table.from_pylist(QUESTIONS), file)
            return str(file)
        case _:
            mark = "," if ending == ".csv" else "\t"
            quoted = [['"' + v.replace('"', '""') + '"' for v in r.values()] for r in QUESTIONS]
            text = "\r\n".join(mark.join(row) for row in [["q", "code", "a"], *quoted])
    file.write_text(text, encoding="utf-8-sig" if bom else "utf-8", newline="")
    return str(file)


@pytest.mark.parametrize("bom", [False, True])
@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_table_keeps_every_value_as_it_stands(tmp_path: Path, ending: str, bom: bool) -> None:
    path = written(tmp_path, ending, bom)
    pools = table(path, inputs={"question": "q", "code": "code"}, target="a")
    assert pools == Pools(
        shared=tuple(
            Example(f"questions/{n}", {"question": row["q"], "code": row["code"]}, row["a"])
            for n, row in enumerate(QUESTIONS)
        )
    )


def test_table_inputs_may_be_a_list_and_ids_a_column(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("question,answer,key\nwhy,so,k1\nhow,thus,2\n")
    pools = table(str(file), inputs=["question"], target="answer", id="key")
    assert pools.shared == (
        Example("k1", {"question": "why"}, "so"),
        Example("2", {"question": "how"}, "thus"),
    )


def test_table_keeps_json_types(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text('{"q": [1, 2.5, null], "a": true}\n')
    (example,) = table(str(file), inputs=["q"], target="a").shared
    assert (example.inputs, example.target) == ({"q": [1, 2.5, None]}, True)


def test_table_reads_one_file_for_each_split(tmp_path: Path) -> None:
    for name, ending in (("a", "csv"), ("b", "tsv")):
        mark = "," if ending == "csv" else "\t"
        (tmp_path / f"{name}.{ending}").write_text(f"q{mark}a\n{name}0{mark}x\n{name}1{mark}y\n")
    path = {"train": str(tmp_path / "a.csv"), "validation": None, "test": str(tmp_path / "b.tsv")}
    pools = table(path, inputs=["q"], target="a")
    assert pools == Pools(
        train=(Example("train/0", {"q": "a0"}, "x"), Example("train/1", {"q": "a1"}, "y")),
        test=(Example("test/0", {"q": "b0"}, "x"), Example("test/1", {"q": "b1"}, "y")),
    )


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_quotes_are_characters_where_quoting_is_off(tmp_path: Path, ending: str) -> None:
    file = tmp_path / f"t{ending}"
    mark = "," if ending == ".csv" else "\t"
    lines = [f"q{mark}a", f'"Stop{mark}1', f'He said "no"{mark}2', f'"a" b{mark}3']
    file.write_text("\n".join(lines))
    pools = table(str(file), inputs=["q"], target="a", quoting=False)
    assert [(e.inputs["q"], e.target) for e in pools.shared] == [
        ('"Stop', "1"),
        ('He said "no"', "2"),
        ('"a" b', "3"),
    ]
    advice = ' If a " is a character like any other in this file, set task.data.quoting=false.'
    assert error(table, str(file), inputs=["q"], target="a").endswith(advice)


BAD_TABLES = [
    ("t.jsonl", '{"q": 1, "a": 2}\n\n{"q": 1,\n', "line 3: not JSON: {json} (column 9)."),
    ("t.jsonl", '{"q": 1, "a": 2}\n[1]\n', "line 2: expected a JSON object, found a list."),
    (
        "t.jsonl",
        '{"a": 1, "b": 2}\n{"qq": 1}\n',
        "line 1: no column 'q'. Columns: a, b.",
    ),
    ("t.jsonl", "\n\n", "the file holds no rows."),
    ("t.json", '{"q": 1}', "expected a JSON list of objects, found an object."),
    ("t.json", '[{"q": 1, "a": 2}, null]', "row 2: expected a JSON object, found null."),
    ("t.json", '[\n{"q" 1}]', "not JSON: Expecting ':' delimiter (line 2, column 6)."),
    ("t.json", "[]", "the file holds no rows."),
    ("t.csv", "", "the file holds no rows."),
    ("t.csv", "q,a\n", "the file holds no rows."),
    (
        "t.csv",
        "question,answer\nwhy,so\n",
        "line 1: no column 'q'. Columns: question, answer.",
    ),
    ("t.csv", "q,aa\nwhy,so\n", "line 1: no column 'a'. Did you mean 'aa'? Columns: q, aa."),
    (
        "t.csv",
        "q,a,a\n1,2,3\n",
        "line 1: two columns are named 'a'. Rename one, or take it out.",
    ),
    (
        "t.csv",
        "q,a,,\n1,2,,\n",
        "line 1: two columns have no name. Name them, or take them out.",
    ),
    (
        "t.csv",
        "q,a\n1,2\n\n1,2,3\n",
        "line 4: 3 fields, expected 2 (q, a). A field that holds ',' has to stand in quotes.",
    ),
    ("t.csv", "q,a\n1\n", "line 2: 1 field, expected 2 (q, a)."),
    ("t.csv", 'q,a\n1,2 "or" 3,4\n', "line 2: 3 fields, expected 2 (q, a).{quoting}"),
    ("t.csv", 'q,a\n"1,2\n3,4",5,6\n', "line 2: 3 fields, expected 2 (q, a).{quoting}"),
    ("t.csv", 'q,a\n1,"2\n', "line 2: a quote is opened and never closed.{quoting}"),
    ("t.csv", 'q,a\n"1"x,2\n', "line 2: ',' expected after '\"'.{quoting}"),
    ("t.xlsx", "", "cannot read '.xlsx' files. Known: .jsonl, .json, .csv, .tsv, .parquet."),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_TABLES)
def test_table_says_what_is_wrong_and_where(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    said = error(table, str(file), inputs=["q"], target="a")
    quoting = ' If a " is a character like any other in this file, set task.data.quoting=false.'
    wanted = "Expecting property name enclosed in double quotes"
    message = message.replace("{quoting}", quoting).replace("{json}", wanted)
    assert said == f"{file}{', ' if message.startswith(('line', 'row')) else ': '}{message}"


def test_a_missing_parquet_column_and_an_empty_id_are_named(tmp_path: Path) -> None:
    path = written(tmp_path, ".parquet")
    assert error(table, path, inputs=["q"], target="answer") == (
        f"{path}: no column 'answer'. Columns: q, code, a."
    )
    assert error(table, path, inputs=["q"], target="a", id="code") == (
        f"{path}, row 3: column 'code' (task.id) is empty."
    )


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("q,a\nGrüße,1\n".encode("latin-1"))
    assert error(table, str(file), inputs=["q"], target="a") == (
        f"{file}, line 2: not UTF-8 (invalid start byte). Save it as UTF-8."
    )


def test_broken_parquet_and_parquet_without_pyarrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, ".parquet")
    Path(path).write_text("no parquet")
    assert error(table, path, inputs=["q"], target="a").startswith(
        f"{path}: not readable as Parquet: "
    )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert error(table, path, inputs=["q"], target="a") == (
        f"{path}: reading Parquet needs the pyarrow package: pip install pyarrow."
    )


def test_table_paths_and_columns_are_checked_first(tmp_path: Path) -> None:
    known = ".jsonl, .json, .csv, .tsv, .parquet"
    file = tmp_path / "t.csv"
    file.write_text("q,a\n1,2\n")

    def said(path: Any, inputs: Any = ("q",)) -> str:
        return error(table, path, inputs=inputs, target="a")

    assert said(None) == f"task.path is null; expected a {known} file."
    assert said(f"{file}x") == (f"task.path: there is no file '{file}x'. Expected: a {known} file.")
    assert said(str(tmp_path)) == (
        f"task.path: '{tmp_path}' is not a file. Expected: a {known} file."
    )
    assert said({"train": str(file), "test": "absent.csv"}) == (
        f"task.path.test: there is no file 'absent.csv'. Expected: a {known} file. "
        f"Looked in: {Path.cwd()}."
    )
    assert said({"train": str(file), "valid": str(file)}) == (
        "task.path has no split 'valid'. Did you mean 'validation'? Known: train, validation, test."
    )
    assert said({"test": str(file)}) == (
        "task.path.train is missing; name the file with the training examples."
    )
    assert said({"train": str(file), "test": f"{tmp_path}/./t.csv"}) == (
        f"task.path.train and task.path.test are the same file '{file}'; "
        "splits must be disjoint. To divide one file, set task.path=FILE."
    )
    assert said(str(file), "q") == (
        "task.inputs is 'q'; expected a list of columns ([question]) or the column of each "
        "graph input ({question: COLUMN})."
    )
    assert said(str(file), []) == "task.inputs is empty; name at least one column."
