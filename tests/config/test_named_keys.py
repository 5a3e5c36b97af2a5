"""Keys that messages name are keys that exist: whoever follows advice is not sent astray."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config import declared_keys
from sgdflow.config.declared_keys import ANY

ROOT = Path(__file__).resolve().parents[2] / "sgdflow"
ROOTS = "graph|llm|method|probe|task|tracking|workers"
FILLED = "FILLED"
"""Stands for what a message fills in, and for names in capitals, such as NODE."""
KEY = re.compile(rf"(?<![\w./-])(?:{ROOTS})(?:\.[A-Za-z_]\w*)+(?![\w/])(?!\.[a-z])")
END = re.compile(rf"{FILLED}((?:\.[a-z_]+)+)=")
FILES = ("json", "jinja", "md", "py", "txt", "yaml")
"""Ends of names that are a file's: graph.yaml."""


def texts(file: Path) -> Iterator[str]:
    """Yield all texts of a module except docstrings; what is filled in is FILLED."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            passed.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
            said = [str(one.value) if isinstance(one, ast.Constant) else FILLED
                    for one in node.values]  # fmt: skip
            yield "".join(said)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in passed:
                yield re.sub(r"\{[^{}\s]*\}", FILLED, node.value)


def stands(parts: Sequence[str], tree: Any, *, free: bool = True) -> bool:
    """Say whether a key may stand there; what is filled in is any of the keys that may.

    Right behind it no name that a user chooses counts, or whatever follows would be one of them.
    """
    if not parts:
        return True
    if not isinstance(tree, Mapping):
        return False
    first, *rest = parts
    if first == FILLED or first.isupper():
        return any(stands(rest, below, free=False) for below in tree.values())
    if first in tree:
        return stands(rest, tree[first])
    return free and ANY in tree and stands(rest, tree[ANY])


@cache
def known() -> Mapping[str, Any]:
    return declared_keys.declared()


@cache
def places() -> Sequence[Mapping[str, Any]]:
    """Return the tree of keys and all that is in it."""
    found = [known()]
    for tree in found:
        found += [one for one in tree.values() if isinstance(one, Mapping)]
    return found


def wrong(text: str) -> list[str]:
    """Return the keys that a text names and that nothing declares."""
    whole = [found[0] for found in KEY.finditer(text) if found[0].rpartition(".")[2] not in FILES]
    ends = [found[1].split(".")[1:] for found in END.finditer(text)]
    return [key for key in whole if not stands(key.split("."), known())] + [
        ".".join((FILLED, *end))
        for end in ends
        if not any(stands(end, place, free=False) for place in places())
    ]


def test_every_key_that_a_message_names_exists() -> None:
    said = {file: [*texts(file)] for file in sorted(ROOT.rglob("*.py"))}
    assert sum(len(KEY.findall(text)) for all_texts in said.values() for text in all_texts) > 400
    found = {
        f"{file.relative_to(ROOT)}: {key}"
        for file, all_texts in said.items()
        for text in all_texts
        for key in wrong(text)
    }
    assert found == set()


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        ("Set method.stop.steps=4 or +llm.models.judge=openai/x.", []),
        ("Raise method.stop.step.", ["method.stop.step"]),
        ("Set graph.nodes.NODE.forward.rply.tag.", ["graph.nodes.NODE.forward.rply.tag"]),
        ("{where}.reply.form=text", [f"{FILLED}.reply.form"]),
        ("llm.models.{role}.parameters.max_tokens=9", []),
        ("llm.models.{role}.max_tokens=9", [f"llm.models.{FILLED}.max_tokens"]),
        ("llm.limits.{name} of {node}.reply.format=text", []),
        ("method.{name}.steps=2", []),
        ("method.{name}.stepps=2", [f"method.{FILLED}.stepps", f"{FILLED}.stepps"]),
        ("It is in llm.yaml, or in ./graph.yaml.", []),
    ],
)  # fmt: skip
def test_a_key_that_nothing_declares_is_found(text: str, missing: list[str]) -> None:
    assert wrong(re.sub(r"\{[^{}\s]*\}", FILLED, text)) == missing
