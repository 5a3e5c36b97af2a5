"""The house rules on length: a file is read in one go, a function at one glance."""

from __future__ import annotations

import ast
from pathlib import Path

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
