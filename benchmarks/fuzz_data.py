"""Made-up and broken data for fuzz.py: files, rows, targets and outputs."""
# ruff: noqa: E501

from __future__ import annotations

import datetime
import importlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from fuzz import Kind

from sgdflow.data import Example, Pools, scoring, table
from sgdflow.data.checks import Columns, Missing, checked
from sgdflow.data.reading import read as read_answer
from sgdflow.deploy.predict import read_row
from sgdflow.errors import DataError

PIECES = (
    "", " ", "q", "a", "18", "-2.5", "1,200.5", "02134", "1e999", "9" * 5_000, "NaN", "Infinity", "null",
    "true", "False", "yes", "(B)", "**B**", "Option B", "B) Paris", "A. Lincoln", "2021-05-01", "31/02/2021",
    "05/01/2021", "May 1st, 2021", "1 of May 2021", "Paris", "New York, NY", "#### 7", "The answer is", "\\boxed{7}", "= 3/4",
    '"', '""', "'", ",", ";", "\t", "|", "\n", "\r\n", "\r", "\x00", "\x1b[31m", "\ufeff", "\u2028", "\x85",
    "\u202e", "é", "汉字", "😀", "\\ud83d", "\\u0000", "{{ 7*7 }}", "${x}", "</variable>", "[", "]", "{", "}",
    "[" * 200, "{" * 200, '{"q":' * 50, "0" * 300, "((((((((((", "1+" * 500, "- " * 500, "**" * 300, "$" * 100,
)  # fmt: skip
BYTES = (
    b"\xff",
    b"\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\xbd",
    b"\x80",
    b"\x00",
    b"\n",
    b'"',
    b",",
    b"PAR1",
)
VALUES: Sequence[Any] = (
    None, True, False, 0, 1, -1, 10**400, 42.0, 0.1 + 0.2, float("nan"), float("inf"), -0.0, Decimal("45.00"),
    Decimal("NaN"), Decimal("sNaN"), Decimal("1E+999999"), datetime.date(2021, 5, 1), datetime.datetime(2021, 5, 1),
    datetime.datetime(2021, 5, 1, 1), b"bytes", (), [], {}, ["a", "b"], [["a"]], {"a": None}, "\ud83d", ["x\udc00"], object,
)  # fmt: skip
TYPES = ("string", "int64", "float64", "bool_", "binary", "date32", "large_string")


def text(random: Random, most: int = 6) -> str:
    """Return some pieces in a row."""
    return "".join(random.choices(PIECES, k=random.randint(0, most)))


def value(random: Random, depth: int = 0) -> Any:
    """Return any value that an example may hold."""
    kind = random.random()
    if kind < 0.6 or depth > 3:
        return text(random)
    if kind < 0.9:
        return random.choice(VALUES)
    inner = [value(random, depth + 1) for _ in range(random.randint(0, 4))]
    return inner if kind < 0.95 else {str(at): one for at, one in enumerate(inner)}


def _written(random: Random, folder: Path, content: bytes, *endings: str) -> Path:
    """Write a file, half of the time with broken bytes in it."""
    for _ in range(random.choice((0, 0, 0, 1, 2, 8))):
        at = random.randrange(len(content) + 1)
        match random.randrange(4):
            case 0:
                content = content[:at] + random.choice(BYTES) + content[at:]
            case 1:
                content = content[:at]
            case 2:
                content = content[:at] + content[at + random.randint(1, 20) :]
            case _:
                content = content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]
    file = folder / f"t{random.choice(endings)}"
    file.write_bytes(content)
    return file


def _delimited(random: Random, folder: Path) -> tuple[Path, Mapping[str, Any]]:
    mark = random.choice((*",,,,,,,", "\t", ";", "|"))
    end = random.choice(("\n", "\n", "\r\n", "\r", "\n\n"))
    rows = [["q", "a", *["extra"] * random.choice((0, 0, 1))]]
    rows += [[text(random) for _ in rows[0]] for _ in range(random.randint(0, 8))]
    quoted = random.random() < 0.85
    if quoted:
        rows = [['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows]
    if random.random() < 0.1:
        random.choice(rows).append("one more")
    encoding = random.choice(("utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"))
    content = end.join(mark.join(row) for row in rows).encode(encoding, "replace")
    how = {
        "quoting": random.random() < 0.8,
        "delimiter": random.choice((None, mark, mark, mark, "semicolon", "tab")),
    }
    return _written(random, folder, content, ".csv", ".tsv"), how


def _json(random: Random, folder: Path) -> tuple[Path, Mapping[str, Any]]:
    rows = []
    for _ in range(random.randint(0, 6)):
        row = {"q": value(random), "a": value(random)}
        try:
            rows.append(json.dumps(row, default=str, ensure_ascii=random.random() < 0.5))
        except ValueError:  # a number of very many digits
            rows.append('{"q": ' + "9" * 5_000 + "}")
    if random.random() < 0.2:
        rows.append(text(random))
    if random.random() < 0.05:
        rows.append('{"q":' + "[" * random.choice((50, 500, 50_000)))
    lines = random.random() < 0.6
    joined = "\n".join(rows) if lines else f"[{', '.join(rows)}]"
    endings = (".jsonl",) if lines == (random.random() < 0.9) else (".json",)
    return _written(random, folder, joined.encode("utf-8", "surrogatepass"), *endings), {}


def _parquet(random: Random, folder: Path) -> tuple[Path, Mapping[str, Any]]:
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    count = random.choice((0, 1, 5, 200))
    columns = {}
    for name in ("q", "a", *random.choices(("extra", "q.x"), k=random.randint(0, 1))):
        kind = getattr(arrow, random.choice(TYPES))()
        cells = [random.choice((None, "x", "18", "é")) for _ in range(count)]
        array = arrow.array(cells).cast(arrow.string())
        if arrow.types.is_binary(kind):
            array = array.cast(arrow.binary())
        elif not (arrow.types.is_string(kind) or arrow.types.is_large_string(kind)):
            array = arrow.array([None if cell is None else 1 for cell in cells], arrow.int32())
            array = array.cast(arrow.bool_() if kind == arrow.bool_() else kind)
        # Lists are slow: their size is asked for in a process of its own.
        columns[name] = arrow.array([[c] for c in cells]) if random.random() < 0.01 else array
    made = folder / "made.parquet"
    packed = random.choice(("none", "snappy", "zstd", "gzip"))
    parquet.write_table(arrow.table(columns), made, compression=packed)
    how = {"megabytes": random.choice((300, 1))}
    return _written(random, folder, made.read_bytes(), ".parquet"), how


def _path(random: Random, folder: Path) -> tuple[Any, Mapping[str, Any]]:
    (folder / "x.csv").write_text("q,a\n1,2\n")
    odd = [
        5,
        1.5,
        True,
        None,
        [],
        ["x.csv"],
        {},
        {"train": 3},
        {"valid": "x"},
        folder,
        "",
        "\x00",
        "~nobody/x",
    ]
    odd += [
        "x" * 300,
        "/dev/zero",
        "/dev/null",
        "/proc/self/mem",
        str(folder / "x.csv"),
        text(random),
    ]
    odd += [{"train": str(folder / "x.csv"), "test": str(folder / "x.csv")}]
    return random.choice(odd), {}


def read_table(case: tuple[Any, Mapping[str, Any]]) -> None:
    """Read a file, and look at its rows and targets as a run does."""
    path, how = case
    path = str(path) if isinstance(path, Path) else path
    usable(table(path, inputs=["q"], target="a", **how))


def usable(pools: Pools) -> None:
    """Look at rows and targets as a run does, and score the targets against themselves."""
    kept: Sequence[Missing] = ("drop", "keep", "refuse")
    for missing in kept:
        left, _ = checked(pools, Columns({"q": "q"}, "a"), missing)
        examples = [*left.shared, *left.train]
        targets = [example.target for example in examples]
        for scorer in (scoring.like_target, scoring.any_of):
            taken = scorer.take(targets)
            unusable = scoring.tried(taken.score, targets)
            for at, example in enumerate(examples):
                if at not in unusable:
                    assert 0 <= taken.score(example.inputs["q"], example.target) <= 1
                    read_answer(taken.score, example.inputs["q"], example.target)


def _examples(random: Random, folder: Path) -> Pools:
    return Pools(
        shared=tuple(
            Example(f"e{at}", {"q": value(random)}, value(random))
            for at in range(random.randint(1, 8))
        )
    )


def _scored(random: Random, folder: Path) -> tuple[str, Any, Any]:
    return random.choice([*scoring.SCORERS]), value(random), value(random)


def score(case: tuple[str, Any, Any]) -> None:
    """Score any output against any target; a target that cannot be used is refused."""
    name, output, target = case
    try:
        assert scoring.SCORERS[name](output, target) in (0, 1)
    except ValueError as error:
        raise DataError(str(error)) from error


def _row(random: Random, folder: Path) -> str:
    file, _ = _json(random, folder)
    lines = file.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    return random.choice(lines)


KINDS = (
    Kind("delimited", _delimited, read_table),
    Kind("json", _json, read_table),
    Kind("parquet", _parquet, read_table),
    Kind("path", _path, read_table),
    Kind("examples", _examples, usable),
    Kind("scorer", _scored, score),
    Kind("row", _row, lambda line: read_row(line, ["q", "a"])),
)
