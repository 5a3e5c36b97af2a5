"""Rows that nobody can read: each gets an error of its own, and the others their answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sgdflow
from sgdflow.errors import DataError
from sgdflow.records import RunFolder

OWN = "def shout(text):\n    return {'said': text.upper()}\n"
HOSTILE: list[tuple[bytes, str]] = [
    (
        b'{"q": "\\ud83d"}',
        "has under 'q' half a character (U+D83D, a lone surrogate) at position 1.",
    ),
    (b'{"q": "\xff"}', "is not UTF-8."),
    (b'{"q": "' + "Grüße".encode("latin-1") + b'"}', "is not UTF-8."),
    (b'{"q": ' + b"[" * 100_000, "cannot be read: its brackets are nested more than 100 deep."),
    (
        b'{"q": ' + b"9" * 5_000 + b"}",
        "cannot be read: a number of 5,000 digits is too long; write it in quotes, as text.",
    ),
    (
        b'{"q": 1e999}',
        "cannot be read: the number 1e999 is too large; write it in quotes, as text.",
    ),
    (b'{"q": 1, "q": 2}', "cannot be read: 'q' stands in one object twice."),
    (b'{"q": null}', "has null for 'q', and a model would be asked about that."),
    (
        b'{"q": "See data:image/png;base64,' + b"iVBOR" * 2000 + b'"}',
        "has under 'q' a file as text (image/png, 10,026 letters); show an image as one "
        "(graph.nodes.NODE.forward.images), and leave out other files, or describe them in words.",
    ),
    (b'{"q": NaN}', "has NaN for 'q', and a model would be asked about that."),
    (b'{"q": 1, "\\ud83d": 2}', "has \ud83d, which is no input. Inputs: q."),
    (b'{"text": 1}', "has no q. It has: text."),
    (b"\x00", "is no JSON (Expecting value, column 1)."),
    (b'"' * 1_000_001, "is no JSON (Extra data, column 3)."),
]


def test_a_line_that_nobody_can_read_gets_an_error_of_its_own(tmp_path: Path) -> None:
    node = {"predecessors": ["q"], "forward": {"_target_": "own_tools.shout"}}
    graph = {"name": "root", "inputs": ["q"], "nodes": {"a": node}, "output": "a"}
    (tmp_path / "own_tools.py").write_text(OWN)
    RunFolder(tmp_path / "run").begin({**sgdflow.load("tracking=none").config, "graph": graph}, {})
    good = json.dumps({"q": "Grüße \u2028 \x00 \x1b[31m"}, ensure_ascii=False).encode()
    rows = b"\xef\xbb\xbf" + b"\n".join([good, *(line for line, _ in HOSTILE), good])
    ended = subprocess.run(
        [sys.executable, "-m", "sgdflow", "predict", "run", "--trust"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": ""},
        input=rows,
        capture_output=True,
        timeout=60,
    )
    said = [json.loads(line) for line in ended.stdout.decode().strip("\n").split("\n")]
    assert said[0] == said[-1] == {"output": {"said": "GRÜSSE \u2028 \x00 \x1b[31M"}}
    assert [one["error"] for one in said[1:-1]] == [f"The row {told}" for _, told in HOSTILE]
    assert ended.stderr.decode().splitlines()[1:] == [
        f"{len(HOSTILE)} of {len(said)} rows have no output; each says why."
    ]
    assert ended.returncode == 3


def test_python_is_told_what_cannot_be_sent(tmp_path: Path) -> None:
    told = (
        r"The input has under 'order' half a character \(U\+DE00, a lone surrogate\) at position 2"
    )
    with pytest.raises(DataError, match=told):
        sgdflow.load("tracking=none", working=tmp_path).predict({"order": "a\ude00"})
