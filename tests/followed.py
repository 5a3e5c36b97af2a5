"""Follows a page of the documentation word for word: writes its files, gives its commands."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Start

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"\A(?:# @package _global_\n)?(?:# |\{# )(\S+\.(?:jinja|py|yaml))(?: #\})?\n")


OTHERS = ("py", "yml")
"""What belongs to another program, and is only shown."""


@dataclass
class Followed:
    """Where a reader stands who has come to the end of a page."""

    here: Path
    said: str = ""
    """By the last command."""
    commands: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)
    """Those that the page's Python has made."""


def blocks(page: Path) -> Sequence[tuple[str, str]]:
    """Return the kind and the text of each block."""
    return _BLOCK.findall(page.read_text(encoding="utf-8"))


def follow(page: Path, folder: Path, at: Start) -> Followed:
    """Do what a page says: a comment at the top names a file, `text` is what a command says."""
    now = Followed(folder)
    for kind, text in blocks(page):
        named = _NAMED.match(text)
        if kind == "text":
            assert all(line in now.said for line in text.splitlines()), (text, now.said)
        elif kind == "sh":
            for line in text.splitlines():
                _give(line, now, at)
        elif kind in OTHERS:
            assert named is None, text
        elif named is not None:
            _write(named[1], text, now)
        else:
            assert kind == "python", text
            _run(text, now)
    return now


def _write(name: str, text: str, now: Followed) -> None:
    (now.here / name).parent.mkdir(parents=True, exist_ok=True)
    (now.here / name).write_text(text, encoding="utf-8")
    now.files.append(name)


def _give(line: str, now: Followed, at: Start) -> None:
    words = shlex.split(line)
    if words[0] == "cd":
        now.here /= words[1]
    elif words[0] == "sgdflow":
        code, out, err = at(now.here, *words[1:])
        assert code == 0, (line, err)
        now.said = f"{out}{err}"
        now.commands.append(words[1])
    else:
        line = line.replace("python ", f"{shlex.quote(sys.executable)} ")
        subprocess.run(["sh", "-c", line], cwd=now.here, check=True, timeout=120)


def _run(source: str, now: Followed) -> None:
    """Run a cell, in which `await` may stand."""
    code = compile(source, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(now.here)
        patched.setattr(sys, "path", [*sys.path])
        value = eval(code, now.names)
        if inspect.isawaitable(value):
            asyncio.run(_awaited(value))


async def _awaited(value: Any) -> None:
    await value
