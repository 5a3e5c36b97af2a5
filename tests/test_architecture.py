"""docs/architecture.md: its rooms, names, files, walks and questions are those of the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from forks import forked
from passed import named

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = {path.parent.name for path in (ROOT / "sgdflow").glob("*/__init__.py")}
_NAME = re.compile(rf"`((?:{'|'.join(sorted(ROOMS))})(?:\.\w+)+)`")
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#]+)(?:#[^)]*)?\)")
_CODE = re.compile(r"\b(?:(?:sgdflow|tests|benchmarks)/[\w/]+\.py|docs/\w+\.md)\b")
_SHIPPED = re.compile(
    r"\b(?:conf/[a-z_/]+\.yaml|prompts/[a-z_/]+\.jinja|experiments/[a-z_]+\.[a-z]+)\b"
)
_WRITTEN = re.compile(r"^```\w+\n(?:# @package _global_\n)?(?:# |\{# )(\S+\.\w+)", re.MULTILINE)
TEXTS = {
    page.relative_to(ROOT).as_posix(): page.read_text(encoding="utf-8")
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "experiments").glob("*.md")),
        *sorted((ROOT / "benchmarks").glob("*.md")),
        *sorted((ROOT / "sgdflow").rglob("*.py")),
        *sorted((ROOT / "tests").rglob("*.py")),
        *sorted((ROOT / "benchmarks").rglob("*.py")),
    ]
}


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def steps(title: str) -> list[str]:
    """Return the names that the numbered list of a section holds, in order."""
    numbered = re.split(r"\n(?=1\. )", section(title))[1]
    return _NAME.findall(numbered.split("\n\n")[0])


WALKS = {
    title: steps(title)
    for title in (
        "A question becomes an answer",
        "A wrong answer becomes a better prompt",
        "A kill and a restart",
    )
}
QUESTIONS = [
    line.strip("| ").split("|")
    for line in section("Ten questions, two files each").strip().splitlines()[2:]
]


def test_the_page_shows_and_describes_every_room() -> None:
    described = re.findall(r"^\| `(\w+)` \| .+\. \|$", PAGE, re.MULTILINE)
    drawn = set(re.findall(r"\w+", PAGE.split("```text")[1].split("```")[0]))
    assert sorted(described) == sorted(ROOMS)
    assert ROOMS <= drawn
    modules = {path.stem for path in (ROOT / "sgdflow").glob("*.py")} - {"__init__", "__main__"}
    said = re.search(r"At the root stand (.+?)\. Imports", PAGE, re.DOTALL)
    assert said is not None
    assert set(re.findall(r"`(\w+)`", said[1])) == modules


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/concepts.md", "CONTRIBUTING.md"])
def test_every_name_is_one_of_the_code(page: str) -> None:
    names = _NAME.findall(TEXTS[page])
    assert len(names) > 5
    for name in names:
        assert named(name) is not None, name


def test_every_file_that_is_named_exists() -> None:
    """Those that pages and docstrings name, and the targets of links."""
    missing = []
    for page, text in TEXTS.items():
        found = {ROOT / path for path in _CODE.findall(text)}
        if page.endswith(".md"):
            written = {*_WRITTEN.findall(text)}  # by a reader who follows the page
            found |= {ROOT / path for path in {*_SHIPPED.findall(text)} - written}
            found |= {(ROOT / page).parent / target for target in _LINK.findall(text)}
        missing += [f"{page}: {file}" for file in found if not file.exists()]
    assert missing == []


def test_ten_questions_are_answered_within_two_files() -> None:
    assert len(QUESTIONS) == 10
    for question, *answers in QUESTIONS:
        assert question.strip().endswith("?")
        given = [answer for answer in answers if answer.strip()]
        assert 1 <= len(given) <= 2
        for answer in given:
            [link], [name] = _LINK.findall(answer), _NAME.findall(answer)
            module, *inner = name.removeprefix(link).split(".")[1:]
            assert link == f"../sgdflow/{name.split('.')[0]}/{module}.py"
            assert re.search(
                rf"^\s*(?:class|def|async def) {inner[-1]}\b|^{inner[-1]}\b.* = ",
                (ROOT / "docs" / link).read_text(encoding="utf-8"),
                re.MULTILINE,
            )


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return which functions were passed by a run, by one that is killed, and by its restart."""
    names = sorted({name for walk in WALKS.values() for name in walk})
    place = tmp_path_factory.mktemp("walks")
    return {
        "whole": _run(place / "one", names, ""),
        "killed": _run(place / "two", names, "records.folder.RunFolder.append"),
        "restarted": _run(place / "two", names, ""),
        "kept": [
            (place / run / "run" / file).read_text(encoding="utf-8")
            for run in ("one", "two")
            for file in ("steps.jsonl", "parameters.yaml")
        ],
    }


def _run(place: Path, names: list[str], killed_at: str) -> list[str]:
    place.mkdir(exist_ok=True)
    words = "optimize experiments=quickstart task.splits.train=8 task.splits.validation=4"
    words += " task.splits.test=4 method.stop.steps=3 llm.store.mode=use tracking=none"
    words += " hydra.run.dir=run"
    done = forked(place, json.dumps(names), killed_at, *words.split(), program="passed")
    assert done.returncode == (9 if killed_at else 0), done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("title", list(WALKS)[:2])
def test_a_run_walks_as_the_page_says(title: str, passed: dict[str, list[str]]) -> None:
    assert _not_passed(WALKS[title], passed["whole"]) == []


def test_a_restart_walks_as_the_page_says(passed: dict[str, list[str]]) -> None:
    """What was answered is found, the rest is asked, and nothing differs in the end."""
    assert _not_passed(WALKS["A kill and a restart"], passed["restarted"]) == []
    asked = {run: names.count("llm.caller.Caller.reply") for run, names in passed.items()}
    assert 0 < asked["restarted"] < asked["killed"]
    assert asked["killed"] + asked["restarted"] == asked["whole"]
    assert passed["kept"][:2] == passed["kept"][2:]


def _not_passed(walk: list[str], found: list[str]) -> list[str]:
    """Return the rest of a walk from the first name on that does not come after those before it."""
    assert len(walk) > 8
    left: Iterator[str] = iter(found)
    for i, name in enumerate(walk):
        if name not in left:
            return walk[i:]
    return []


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, in which the contract is kept."""
    place = tmp_path_factory.mktemp("kept")
    shutil.copytree(ROOT / "sgdflow", place / "sgdflow", ignore=shutil.ignore_patterns("_*_"))
    shutil.copy(ROOT / "pyproject.toml", place)
    assert _lint(place).returncode == 0
    return place


@pytest.mark.parametrize(
    ("file", "line", "told"),
    [
        ("errors.py", "def later():\n    import sgdflow.cli.main", "sgdflow.errors -> sgdflow.cli"),
        ("llm/models.py", "from sgdflow.executor import walk", "llm.models -> sgdflow.executor"),
        ("report/page.py", "from sgdflow import tracking", "report.page -> sgdflow.tracking"),
        ("executor/walk.py", "import mlflow", "sgdflow.executor.walk -> mlflow"),
        ("attic/__init__.py", "", "- sgdflow.attic"),
    ],
)
def test_the_contract_refuses(file: str, line: str, told: str, kept: Path, tmp_path: Path) -> None:
    """An import upward, also a lazy one, one to the side, a stranger, a room without a place."""
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    (tmp_path / "sgdflow" / file).parent.mkdir(exist_ok=True)
    with (tmp_path / "sgdflow" / file).open("a", encoding="utf-8") as module:
        module.write(f"\n\n{line}\n")
    refused = _lint(tmp_path)
    assert refused.returncode == 1
    assert told in refused.stdout


def _lint(place: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=place, capture_output=True, text=True)
