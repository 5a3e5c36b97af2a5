"""The house rules: a file is read in one go, a function at one glance, and checks are the same."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import yaml

from sgdflow import __version__

ROOT = Path(__file__).resolve().parents[1] / "sgdflow"
FILE, FUNCTION = 300, 45


def test_no_file_is_longer_than_300_lines() -> None:
    files = [file for kind in ("py", "js", "css", "html") for file in ROOT.rglob(f"*.{kind}")]
    lengths = {
        str(file.relative_to(ROOT)): len(file.read_text(encoding="utf-8").splitlines())
        for file in files
    }
    assert len(lengths) > 100
    assert {name: n for name, n in lengths.items() if n > FILE} == {}


def test_no_function_is_longer_than_45_lines() -> None:
    lengths = {
        f"{file.relative_to(ROOT)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert len(lengths) > 500
    assert {name: n for name, n in lengths.items() if n > FUNCTION} == {}


def test_pre_commit_checks_what_make_lint_checks() -> None:
    makefile = (ROOT.parent / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.+\n)+)", makefile, re.MULTILINE)
    assert recipe is not None
    linted = recipe[1].replace("$(BIN)", ".venv/bin").split("\n\t")
    [local] = yaml.safe_load((ROOT.parent / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local"
    assert [hook["entry"] for hook in local["hooks"]] == [line.strip() for line in linted]


def test_the_version_is_said_alike() -> None:
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["version"] == __version__


PLURALS = "attempts|calls|examples|gradients|jobs|nodes|replies|rows|runs|steps|tokens"


def test_what_is_counted_is_said_in_the_singular_where_it_is_one() -> None:
    """`plural(n, "example")` says "1 example"; a number before a plural says "1 examples"."""
    found = {
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in ROOT.rglob("*.py")
        for match in re.finditer(
            rf"\{{(?!plural)[^{{}}\n]+\}} (?:{PLURALS})\b", file.read_text(encoding="utf-8")
        )
    }
    always_several = {
        "cli/app.py: {len(failed)} jobs",
        "terminal/state.py: {_short(self.tokens)} tokens",
        "comparison/page.py: {len(comparison.outcomes)} runs",
        "comparison/table.py: {len(runs)} runs",
        "comparison/text.py: {role} calls",
        "executor/evaluation.py: {n} examples",
        "tracking/reading.py: {len(found)} runs",
    }
    assert found - always_several == set()
