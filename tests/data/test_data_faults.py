"""Files as other programs write them, broken ones and hostile ones: read, or one true message."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import os
import resource
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sgdflow.data import Example, bbh, gsm8k, liar, table
from sgdflow.errors import DataError


def error(function: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(DataError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def read(file: Path, **how: Any) -> list[tuple[Any, Any]]:
    pools = table(str(file), inputs=["q"], target="a", **how)
    return [(example.inputs["q"], example.target) for example in pools.shared]


def told(file: Path, **how: Any) -> str:
    """Return what is said of a file, without its name."""
    said = error(table, str(file), inputs=["q"], target="a", **how)
    assert said.startswith(str(file))
    assert len(said) < 600
    return said.removeprefix(str(file)).lstrip(",: ")


@pytest.fixture
def quick() -> Iterator[None]:
    began = time.process_time()
    yield
    assert time.process_time() - began < 20


DIVIDED = [
    ("t.csv", ";", "semicolon", "','"),
    ("t.csv", "\t", "tab", "','"),
    ("t.csv", "|", "pipe", "','"),
    ("t.tsv", ",", "comma", r"'\t'"),
    ("t.tsv", ";", "semicolon", r"'\t'"),
]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize(("name", "mark", "called", "usual"), DIVIDED)
def test_another_delimiter_is_told_and_may_be_declared(
    tmp_path: Path, name: str, mark: str, called: str, usual: str, quote: str
) -> None:
    file = tmp_path / name
    rows = [["n", "q", "a"], ["1", "2,5 or 3?", "2,5"], ["2", "x", "y"]]
    cells = [[f'"{cell}"' if quote or mark in cell else cell for cell in row] for row in rows]
    file.write_text("\r\n".join(mark.join(row) for row in cells), encoding="utf-8-sig")
    assert told(file) == (
        f"line 1: the columns are divided by {mark!r}, not by {usual}. "
        f"Set task.data.delimiter={called}."
    )
    wanted = [("2,5 or 3?", "2,5"), ("x", "y")]
    assert read(file, delimiter=called) == read(file, delimiter=mark) == wanted


def test_a_spreadsheets_own_first_line_is_told(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("sep=;\nq;a\n1;2\n")
    assert told(file) == (
        "line 1: 'sep=;' is no line of column names. Remove the line, and set "
        "task.data.delimiter=semicolon."
    )


@pytest.mark.parametrize("wrong", ["semikolon", "", '"', "\n", ";;", 5, True, [";"]])
def test_a_delimiter_that_is_none_is_told(tmp_path: Path, wrong: Any) -> None:
    file = tmp_path / "t.csv"
    file.write_text("q,a\n1,2\n")
    said = error(table, str(file), inputs=["q"], target="a", delimiter=wrong)
    meant = " Did you mean 'semicolon'?" if wrong == "semikolon" else ""
    assert said == (
        f"task.data.delimiter is {wrong!r}; expected one character, or comma, semicolon, tab, "
        f"pipe, or null.{meant}"
    )


def test_a_field_may_hold_a_document(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    document = 'He said "no",\nthen left. ' * 50_000
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([["q", "a"], [document, "1"]])
    before = csv.field_size_limit()
    assert read(file) == [(document, "1")]
    assert csv.field_size_limit() == before


def test_a_table_may_have_very_many_columns(tmp_path: Path, quick: None) -> None:
    names = [f"c{number}" for number in range(30_000)] + ["q", "a"]
    row = ["x"] * 30_000 + ["why", "so"]
    comma = tmp_path / "t.csv"
    comma.write_text("\n".join(",".join(cells) for cells in [names, *[row] * 50]))
    lines = tmp_path / "t.jsonl"
    lines.write_text("\n".join([json.dumps(dict(zip(names, row, strict=True)))] * 50))
    assert read(comma) == read(lines) == [("why", "so")] * 50
    said = error(table, str(comma), inputs=["q"], target="b")
    assert said == (
        f"{comma}, line 1: no column 'b'. Columns: {', '.join(names[:20])} and 29,982 more."
    )
    comma.write_text("\n".join([",".join(names), ",".join(row[1:])]))
    assert told(comma).startswith("line 2: 30,001 fields, expected 30,002 (c0, c1, c2, ")


def test_a_row_of_several_lines_is_named_by_its_first(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('q,a\n"one\ntwo\nthree",1\n"four\nfive",2\n"six\nseven\n')
    assert told(file).startswith("line 7: a quote is opened and never closed.")
    file.write_text('q,a\n"one\ntwo\nthree",1\n"four\nfive",2\n')
    pools = table(str(file), inputs=["q"], target="a")
    assert [e.where for e in pools.shared] == [f"{file}, line 2", f"{file}, line 5"]


JSON_LINES = [
    ('{"q": ' + "[" * 100_000, "its brackets are nested more than 100 deep."),
    ('{"q": ' + "[" * 101 + "]" * 101 + ', "a": 1}', "its brackets are nested more than 100 deep."),
    (
        '{"q": 1, "a": ' + "9" * 5_000 + "}",
        "a number of 5,000 digits is too long; write it in quotes, as text.",
    ),
    ('{"q": 1, "a": 1e999}', "the number 1e999 is too large; write it in quotes, as text."),
    ('{"q": 1, "a": 2, "q": 3}', "'q' stands in one object twice."),
    ('{"q": {"x": 1, "x": 2}, "a": 2}', "'x' stands in one object twice."),
    ('{"q": "\\ud83d" "a": 1}', "not JSON: Expecting ',' delimiter (column 16)."),
    ('"q"', "expected a JSON object, found a string."),
    ("\x00", "not JSON: Expecting value (column 1)."),
]


@pytest.mark.parametrize(("line", "message"), JSON_LINES)
def test_a_line_of_json_says_what_is_wrong_with_it(
    tmp_path: Path, line: str, message: str, quick: None
) -> None:
    file = tmp_path / "t.jsonl"
    file.write_text(f'{{"q": 1, "a": 1}}\n{line}\n')
    assert told(file) == f"line 2: {message}"
    file = tmp_path / "t.json"
    file.write_text(f"[{line}]")
    assert len(told(file)) < 200


def test_depth_and_digits_that_can_be_read_are(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    nested = json.loads("[" * 90 + "]" * 90)
    file.write_text(json.dumps({"q": nested, "a": 10**4000}) + "\n" + '{"q": "[[[[", "a": 1e300}')
    assert read(file) == [(nested, 10**4000), ("[[[[", 1e300)]


def test_json_lines_in_a_json_file_are_told(tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text('{"q": 1, "a": 2}\n{"q": 3, "a": 4}\n')
    assert told(file) == (
        "not JSON: Extra data (line 2, column 1). If every line is an object of its own, name "
        "the file .jsonl."
    )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "json"])
def test_other_encodings_are_told(tmp_path: Path, ending: str, encoding: str) -> None:
    file = tmp_path / f"t.{ending}"
    for text in ("q,a\nGrüße,1\n", "q,a\nx,1\n"):
        file.write_bytes(text.encode(encoding))
        if text.isascii() and encoding == "latin-1":
            continue
        said = told(file)
        assert "Save it as UTF-8." in said
        assert ("UTF-16" in said) == (encoding == "utf-16" or text.isascii())


PATHS: list[tuple[Any, str]] = [
    (5, "task.path is 5, no path of a file."),
    (True, "task.path is True, no path of a file."),
    (["a.csv", "b.csv"], "task.path is ['a.csv', 'b.csv'], no path of a file."),
    ("a\x00b.csv", "task.path: there is no file 'a\x00b.csv'."),
    ("x\x00" * 5_000, "task.path: there is no file '" + "x\x00" * 150 + "...'."),
    ("x" * 5_000, f"task.path: '{'x' * 60}...' cannot be looked at: File name too long."),
    ("folder.csv", "task.path: 'folder.csv' is not a file."),
    ("pipe.csv", "task.path: 'pipe.csv' is not a file."),
    ("zeros.csv", "task.path: 'zeros.csv' is not a file."),
    ({"train": 7}, "task.path.train is 7, no path of a file."),
]


@pytest.mark.parametrize("path", ["https://example.org/a.jsonl", "s3://bucket/a.csv"])
def test_an_address_is_no_path(path: str) -> None:
    told = f"task.path: '{path}' is an address. Fetch the "
    assert error(table, path, inputs=["q"], target="a") == f"{told}file first, and name it here."
    assert error(gsm8k, path) == f"{told}folder first, and name it here."


def test_an_empty_path_is_told() -> None:
    assert error(table, "", inputs=["q"], target="a").startswith("task.path is empty. Expected: a")


@pytest.mark.parametrize(("path", "message"), PATHS, ids=range(len(PATHS)))
def test_a_path_that_is_none_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder.csv").mkdir()
    os.mkfifo("pipe.csv")
    Path("zeros.csv").symlink_to("/dev/zero")
    known = " Expected: a .jsonl, .json, .csv, .tsv, .parquet file."
    looked = f" Looked in: {tmp_path}." if "there is no file" in message else ""
    assert error(table, path, inputs=["q"], target="a") == message + known + looked
    if isinstance(path, int | list):
        for reader in (gsm8k, liar, lambda path: bbh("navigate", path)):
            assert error(reader, path).startswith(f"task.path is {path!r}, no path of a folder.")


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"inputs": [3]}, "task.inputs.3 is 3; expected the name of a column, a text."),
        ({"inputs": {"q": None}}, "task.inputs.q is None; expected the name of a column, a text."),
        (
            {"target": 4},
            "task.target is 4; expected the column of the expected answer, columns of one with "
            "several fields ([department, urgency]), or null.",
        ),
        ({"target": ["a", 4]}, "task.target.4 is 4; expected the name of a column, a text."),
        ({"id": 4}, "task.id is 4; expected the column of unique ids, or null, a text."),
    ],
)
def test_columns_that_are_no_names_are_told(
    tmp_path: Path, what: dict[str, Any], message: str
) -> None:
    file = tmp_path / "t.csv"
    file.write_text("q,a\n1,2\n")
    assert error(table, str(file), **{"inputs": ["q"], "target": "a", **what}) == message


@pytest.mark.parametrize("ending", ["gz", "zip", "bz2", "xz", "zst", "7z"])
def test_a_packed_file_is_not_unpacked(tmp_path: Path, ending: str, quick: None) -> None:
    file = tmp_path / f"t.csv.{ending}"
    file.write_bytes(gzip.compress(b"q,a\n" + b"0" * 50_000_000))
    assert told(file) == (
        f"cannot read '.{ending}' files. Unpack it first. Known: .jsonl, .json, .csv, .tsv, "
        ".parquet."
    )
    file.rename(tmp_path / "t.csv")
    assert told(tmp_path / "t.csv") == "is packed (gzip). Unpack it first."


@pytest.mark.parametrize(
    ("begins", "message"),
    [
        (b"PK\x03\x04\x14\0\xff", "is a zip archive or a workbook. Unpack it first. Export the "
         "rows as a text file or as Parquet."),
        (b"\xd0\xcf\x11\xe0", "is a workbook. Export the rows as a text file or as Parquet."),
        (b"PAR1\x15\x04\xff", "is a Parquet file. Give its name the ending .parquet."),
        ("q,a\n1,2\n".encode("utf-32"), "is in UTF-32. Save it as UTF-8."),
        ("q,a\n1,2\n".encode("utf-32-be"), "is in UTF-32. Save it as UTF-8."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_file_that_is_no_text_is_called_what_it_is(
    tmp_path: Path, begins: bytes, message: str, ending: str
) -> None:
    file = tmp_path / f"t.{ending}"
    file.write_bytes(begins)
    assert told(file) == message


# Parquet.

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def stored(folder: Path, columns: dict[str, Any], **how: Any) -> Path:
    file = folder / "t.parquet"
    parquet.write_table(arrow.table(columns), file, **how)
    return file


def test_values_of_a_database_come_as_their_text(tmp_path: Path) -> None:
    moment = datetime.datetime(2021, 5, 1, 12, 30)
    utc = datetime.UTC
    rows = [
        (Decimal("45.00"), "45.00"),
        (Decimal("-0.000001"), "-0.000001"),
        (moment.date(), "2021-05-01"),
        (moment, "2021-05-01 12:30:00"),
        (moment.replace(tzinfo=utc), "2021-05-01 12:30:00+00:00"),
        (moment.time(), "12:30:00"),
        (datetime.timedelta(hours=30), "1 day, 6:00:00"),
        ("Grüße".encode(), "Grüße"),
        (7, 7),
        (2.5, 2.5),
        (True, True),
        (None, None),
        (["x", None, "x"], ["x", None, "x"]),
        ({"price": Decimal("1.50"), "tags": ["a"]}, {"price": "1.50", "tags": ["a"]}),
    ]
    for value, wanted in rows:
        file = stored(tmp_path, {"q": [value, value], "a": ["x", "y"]})
        assert read(file) == [(wanted, "x"), (wanted, "y")], value


def test_shared_and_nested_texts_are_those_that_were_written(tmp_path: Path) -> None:
    """What a file holds once is one text in memory; nobody may notice."""
    texts = [None if n % 7 == 0 else f"text {n % 5} ü" for n in range(3_000)]
    lists = [None if n % 11 == 0 else texts[n % 5 : n % 5 + n % 4] for n in range(3_000)]
    for groups in (100, 3_000):
        file = stored(tmp_path, {"q": texts, "a": lists}, row_group_size=groups)
        assert read(file) == list(zip(texts, lists, strict=True))


def test_texts_within_other_values_are_shared_too(tmp_path: Path) -> None:
    texts, count = arrow.array(["x", None, "ü", "x"] * 6), 24
    kinds = {
        "struct": arrow.StructArray.from_arrays([texts, arrow.array(range(count))], ["t", "n"]),
        "fixed": arrow.FixedSizeListArray.from_arrays(texts, 2),
        "map": arrow.MapArray.from_arrays(
            arrow.array(range(0, count + 1, 4)), arrow.array([f"k{n}" for n in range(count)]), texts
        ),
        "lists": arrow.ListArray.from_arrays(
            arrow.array([0, 2, None, 3], arrow.int32()),
            arrow.ListArray.from_arrays(arrow.array([0, 4, 4, 24]), texts),
        ),
        "large": arrow.array([["x"], None, []], arrow.large_list(arrow.string())),
        "nothing": arrow.nulls(3),
        "struct or none": arrow.array([{"t": "x"}, None, {"t": None}]),
    }
    for name, array in kinds.items():
        file = stored(tmp_path, {"q": array, "a": range(len(array))}, row_group_size=5)
        wanted = json.loads(json.dumps(array.to_pylist()))
        wanted = [dict(pairs) for pairs in wanted] if name == "map" else wanted
        assert [q for q, _ in read(file)] == wanted, name


def test_columns_are_found_by_their_whole_names(tmp_path: Path) -> None:
    file = stored(tmp_path, {"q.x": ["1"], "q": [{"x": "2"}], "a": ["3"]})
    pools = table(str(file), inputs={"one": "q", "two": "q.x"}, target="a")
    assert pools.shared[0] == Example("t/0", {"one": {"x": "2"}, "two": "1"}, "3")


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    file = stored(tmp_path, {"q": [b"x", b"\xff"], "a": ["x", "y"]})
    assert told(file) == "row 2: column 'q' holds bytes that are no UTF-8 text."


def test_a_parquet_bomb_takes_neither_time_nor_memory(tmp_path: Path, quick: None) -> None:
    """Each file is small; unpacked they would be 20 GB five times, 1 GB of rows, and 12 MB."""
    million = "x" * 1_000_000
    zeros = arrow.array([0] * 20_000)
    texts = arrow.array([million]).dictionary_encode().take(zeros)
    same = stored(tmp_path, {"q": texts, "a": zeros})
    assert same.stat().st_size < 100_000
    rows = read(same)
    assert len(rows) == 20_000
    assert rows[0] == rows[-1] == (million, 0)
    every = arrow.array(range(0, 20_001, 100))
    lists = arrow.ListArray.from_arrays(every, texts)
    assert [len(q) for q, _ in read(stored(tmp_path, {"q": lists, "a": zeros[:200]}))] == [
        100
    ] * 200
    struct = arrow.StructArray.from_arrays([texts], ["t"])
    assert read(stored(tmp_path, {"q": struct, "a": zeros}))[-1] == ({"t": million}, 0)
    fixed = arrow.FixedSizeListArray.from_arrays(texts, 100)
    assert len(read(stored(tmp_path, {"q": fixed, "a": zeros[:200]}))[-1][0]) == 100
    octets = arrow.array([million.encode()]).dictionary_encode().take(zeros)
    assert read(stored(tmp_path, {"q": octets, "a": zeros}))[-1] == (million, 0)
    nothing = arrow.nulls(2_000_000, arrow.int8())
    many = stored(tmp_path, {"q": nothing, "a": nothing})
    assert told(many) == (
        "its rows would take about 1,065 MB once they are unpacked, and task.data.megabytes "
        "allows 300. Use fewer rows, or set task.data.megabytes=1065 if the machine has room "
        "for several times as much."
    )
    large = stored(tmp_path, {"q": [million * 12], "a": [1]}, compression="zstd")
    assert large.stat().st_size < 10_000
    assert told(large, megabytes=10).startswith("its rows would take about 13 MB once they are")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_500_000


def test_half_a_parquet_file_is_told(tmp_path: Path) -> None:
    whole = stored(tmp_path, {"q": ["x"] * 100, "a": ["y"] * 100}).read_bytes()
    file = tmp_path / "t.parquet"
    for end in (0, 1, 4, 100, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:end])
        assert told(file).startswith("not readable as Parquet: ")
