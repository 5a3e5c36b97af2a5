"""`sgdflow init` makes projects that hold all pieces, run at once and learn."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import Start

from sgdflow.config.paths import starters
from sgdflow.llm import Message
from sgdflow.simulation.worlds import reply

NAMES = sorted(path.name for path in starters().iterdir())


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_a_new_project_is_right_and_learns(name: str, tmp_path: Path, at: Start) -> None:
    code, out, _ = at(tmp_path, "init", "mine", "--from", name)
    home = tmp_path / "mine"
    written = sorted(str(path.relative_to(tmp_path)) for path in home.rglob("*") if path.is_file())
    assert code == 0
    assert out.split("It runs at once")[0].splitlines() == written
    assert {"mine/.gitignore", "mine/README.md", "mine/tools.py"} <= set(written)
    code, out, err = at(home, "check")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "Nothing is wrong."
    assert "largest prompt of optimizer: about" in out
    code, out, err = at(home, "optimize", "tracking=none", "hydra.run.dir=runs/first")
    assert code == 0, err
    scores = json.loads((home / "runs/first/result.json").read_text())["scores"]["test"]
    assert scores["initial"]["mean"] < 0.3
    assert scores["final"]["mean"] > 0.9
    words = ["evaluate", "parameters=runs/first", "tracking=none", "hydra.run.dir=runs/second"]
    assert at(home, *words)[0] == 0
    again = json.loads((home / "runs/second/evaluation.json").read_text())
    assert again["score"]["mean"] == scores["final"]["mean"]
    _judges(home, again["score"]["mean"], at)
    # Its sweep is one, and its own tests pass.
    assert at(home, "graph", "experiments=examples", "method.sample.count=2")[0] == 0
    swept = yaml.safe_load((home / "experiments/examples.yaml").read_text())["hydra"]["sweeper"]
    assert swept["params"] == {"method.sample.count": "2,8", "seed": "0,1"}
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=home,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert tested.returncode == 0, tested.stdout
    # What is there stays as it is.
    before = (home / "README.md").read_text()
    code, _, err = at(tmp_path, "init", "mine", "--from", name)
    assert code == 1
    assert "nothing is written over. Choose another folder: sgdflow init DIR" in err
    assert (home / "README.md").read_text() == before


JUDGES = {
    "hints": ("task.score.objectives.said.score.rubric", "score", 1 / 4),
    "judge": ("task.score.objectives.kind.score.rubric", "score", 1 / 1.25),
    "rag": ("task.score.objectives.read.score.rubric", "score", 1 / 4),
    "triage": ("graph.nodes.judge.parameters.rubric.value", "judge", 1 / 5),
}
"""Of each starter: where its rubric stands, the node of the judge's calls, and its share of 1."""
PIECES = (
    ".gitignore", "README.md", "conf/config.yaml", "conf/graph/*.yaml", "conf/task/*.yaml",
    "data/*.jsonl", "experiments/*.yaml", "prompts/**/*.jinja", "tests/test_*.py", "tools.py",
)  # fmt: skip


def _judges(home: Path, mean: float, at: Start) -> None:
    """Ask for what no output says: exactly the judge's share of the score is lost."""
    name = {"orders": "hints", "letters": "judge", "rag": "rag", "helpdesk": "triage"}
    rubric, node, share = JUDGES[name[next((home / "conf/graph").iterdir()).stem]]
    words = ["evaluate", "parameters=runs/first", "tracking=none", "hydra.run.dir=runs/strict"]
    asked = 'Grade it. It says "zebra".'
    frozen = rubric.startswith("graph")
    if frozen:
        file = home / "runs/first/parameters.yaml"
        texts = yaml.safe_load(file.read_text())
        (home / "strict.yaml").write_text(yaml.safe_dump({**texts, "judge.rubric": asked}))
        words[1] = "parameters=strict.yaml"
    code, _, err = at(home, *words, *([] if frozen else [f"{rubric}={asked!r}"]))
    assert code == 0, err
    found = json.loads((home / "runs/strict/evaluation.json").read_text())
    made = [nodes[node]["calls"] for nodes in found["nodes"].values() if node in nodes]
    assert made == [found["score"]["n"]]
    assert found["score"]["mean"] == pytest.approx(mean - share, abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_holds_all_pieces(name: str, tmp_path: Path, at: Start) -> None:
    """Graph, templates, data, a node and a scorer that are code, a judge, a sweep and a test."""
    assert at(tmp_path, "init", "mine", "--from", name)[0] == 0
    home = tmp_path / "mine"
    assert [piece for piece in PIECES if not [*home.glob(piece)]] == []
    (graph,), (task,) = (
        [yaml.safe_load(file.read_text()) for file in (home / "conf" / group).iterdir()]
        for group in ("graph", "task")
    )
    by_code = [
        node["forward"]["_target_"]
        for node in graph["nodes"].values()
        if "_target_" in node.get("forward", {})
    ]
    scores = [one["score"] for one in task["score"].get("objectives", {}).values()]
    scored = [one["_target_"] for one in (*scores, task["score"]) if "_target_" in one]
    code = (home / "tools.py").read_text()
    for target in (*by_code, *scored):
        assert f"def {target.removeprefix('tools.')}(" in code
        assert re.search(rf"\b{target.removeprefix('tools.')}\b", _tests(home))
    assert (len(by_code), len(scored)) == (1, 1)
    judged = [one["rubric"] for one in scores if "rubric" in one]
    judged += [one["parameters"]["rubric"] for n, one in graph["nodes"].items() if n == "judge"]
    assert len(judged) == 1
    # Its README names every file that a user is going to change.
    told = (home / "README.md").read_text()
    for file in (*home.glob("conf/**/*.yaml"), *home.glob("data/*.jsonl"), home / "tools.py"):
        assert f"`{file.relative_to(home)}`" in told


def _tests(home: Path) -> str:
    return next((home / "tests").glob("test_*.py")).read_text()


@pytest.mark.parametrize(
    ("output", "expected", "said", "score"),
    [
        ("23", "23", "It lacks nothing.", "0.5"),
        ("The price is 23.", "23", "It lacks nothing.", "0.5"),
        ("123", "23", "The expected answer is: 23", "0.1"),
        ("Ticket: care dry=D5.", "Ticket: care dry=D5.", "It lacks nothing.", "0.5"),
        ("Ticket: care dry=?.", "Ticket: care dry=D5.", "The expected answer is:", "0.1"),
    ],
)
def test_without_words_in_quotes_the_simulated_judge_looks_for_what_was_expected(
    output: str, expected: str, said: str, score: str
) -> None:
    prompt = (
        f"<rubric>\nIt is right.\n</rubric>\n<output>\n{output}\n</output>\n"
        f"<expected>\n{expected}\n</expected>\n"
        "the score is a number from 0.1 (nothing of it) to 0.5 (all of it)\n# How to reply\n"
        '<verdict name="feedback">...</verdict>\n<verdict name="score">...</verdict>\n'
    )
    told = reply([Message("user", prompt)], 0)
    assert f'<verdict name="score">{score}</verdict>' in told
    assert f'<verdict name="feedback">{said}' in told
