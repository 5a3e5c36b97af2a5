"""`sgdflow check` tries a scorer of one's own with right answers, on a few rows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from conftest import Start

STRINGS = (
    "import re\n\ndef near(output, target):\n"
    "    return float(re.findall(r'\\d+', output)[-1:] == [target])\n"
)
"""A scorer that compares strings."""


def _project(home: Path, scorer: str, *, numbers: bool = False, alone: bool = False) -> None:
    """Put a scorer into the starter of hints; with numbers for targets, or without a judge."""
    parts = (home / "tools.py").read_text().partition("def near")[0]
    (home / "tools.py").write_text(f"{parts}\n{scorer}")
    data, task = home / "data/orders.jsonl", home / "conf/task/orders.yaml"
    if numbers:
        data.write_text(re.sub(r'"answer": "(\d+)"', r'"answer": \1', data.read_text()))
    if alone:
        score = "score: {_target_: tools.near}\nsplits:"
        task.write_text(re.sub(r"(?s)score:\n.*splits:", score, task.read_text()))


@pytest.fixture
def home(tmp_path: Path, at: Start) -> Path:
    assert at(tmp_path, "init", "mine", "--from", "hints")[0] == 0
    return tmp_path / "mine"


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return output['price']", "tools.near raised TypeError: string indices must be"),
        ("return 'good'", "tools.near returned 'good'; a score is a number in [0, 1]."),
        ("return 7", "tools.near returned 7; a score is a number in [0, 1]."),
    ],
)
def test_what_would_end_the_run_is_told_in_its_words(
    body: str, told: str, alone: bool, home: Path, at: Start
) -> None:
    _project(home, f"def near(output, target):\n    {body}\n", alone=alone)
    code, out, err = at(home, "check")
    assert (code, "Nothing is wrong" in out) == (1, False)
    assert re.match(r"task\.score: data/orders\.jsonl, line \d+: ", err), err
    assert told in err
    assert "Mend the scorer or the example" in err
    # The same of another line is what the run says.
    words = ["evaluate", "tracking=none", "llm.limits.first=1", "hydra.run.dir=runs/first"]
    failed, _, said = at(home, *words)
    assert failed == 1
    assert re.sub(r"line \d+", "line N", err.strip()) in re.sub(r"line \d+", "line N", said)


def test_a_scorer_that_calls_no_answer_right_is_shown_with_types(home: Path, at: Start) -> None:
    _project(home, STRINGS, numbers=True)
    code, out, err = at(home, "check")
    assert (code, err) == (0, "")
    found = re.search(
        r"Look at this: task\.score\.objectives\.near\.score: tools\.near gives less than 1 on "
        r"each of the 3 rows that were tried where the output is the expected answer itself: 0 "
        r"\(data/orders\.jsonl, line (\d+): output '(\d+)' of type str, target (\d+) of type "
        r"int\)\. See whether it compares like with like\.",
        out,
    )
    assert found is not None, out
    line, output, target = found.groups()
    row = json.loads((home / "data/orders.jsonl").read_text().splitlines()[int(line) - 1])
    assert row["answer"] == int(target) == int(output)


@pytest.mark.parametrize("numbers", [True, False])
def test_the_starters_own_scorer_takes_both_forms(numbers: bool, home: Path, at: Start) -> None:
    own = (home / "tools.py").read_text().partition("def near")
    _project(home, own[1] + own[2], numbers=numbers)
    code, out, err = at(home, "check")
    assert (code, err, out.splitlines()[-1]) == (0, "", "Nothing is wrong.")


@pytest.mark.parametrize(
    "scorer",
    [
        # One right answer of the tried ones is enough.
        "seen = []\ndef near(output, target):\n    seen.append(1)\n    return len(seen) == 3\n",
        # What looks at nodes is not run, and what compares with nothing may be strict.
        "def near(output, target, values):\n    raise KeyError('answer')\n",
        "def near(output):\n    return 0.5\n",
    ],
)
def test_what_may_be_right_is_left_alone(scorer: str, home: Path, at: Start) -> None:
    _project(home, scorer)
    code, out, err = at(home, "check")
    assert (code, err, out.splitlines()[-1]) == (0, "", "Nothing is wrong.")


def test_what_counts_as_0_is_to_be_looked_at(home: Path, at: Start) -> None:
    _project(home, "def near(output, target):\n    return output['price']\n")
    code, out, err = at(home, "check", "task.errors=zero")
    assert (code, err) == (0, "")
    assert "Look at this: task.score: data/orders.jsonl, line " in out
    assert "near: tools.near raised TypeError" in out
