"""What stands against shipped scores as they were declared, found before any output is scored."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sgdflow.homes import expanded
from sgdflow.library.scores import passes, passes_target, short


def lacking(call: Callable[..., Any], constants: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the constants of a shipped score that are of no use, each with the reason."""
    if call is short:
        yield from _whole("words", constants.get("words"))
    if call not in (passes, passes_target):
        return
    known = inspect.signature(call).parameters
    given = {name: constants.get(name, one.default) for name, one in known.items()}
    for name in ("seconds", "megabytes"):
        yield from _whole(name, given[name])
    for name in ("file", "tests"):
        if name in given:
            yield from _name(name, given[name])
    if given.get("tests") == given["file"]:
        yield "tests", f"'{given['file']}' is the file of the output, too; name another one"
    if call is passes:
        yield from _folder(constants.get("folder"))
    yield from _command(given["command"])


def _whole(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if type(value) is not int or value < 1:
        yield name, f"should be a whole number from 1 on (got {value!r})"


def _name(name: str, value: Any) -> Iterator[tuple[str, str]]:
    inside = isinstance(value, str) and value.strip()
    if not inside or Path(value).is_absolute() or ".." in Path(value).parts:
        yield name, f"should be the name of a file within the folder (got {value!r})"


def _folder(value: Any) -> Iterator[tuple[str, str]]:
    if value is None:
        yield "folder", "should be the folder with the tests, such as tests/double (it is not set)"
        return
    try:
        there = isinstance(value, str) and expanded(value).is_dir()
    except (OSError, ValueError) as error:
        yield "folder", f"'{value}': {error}"
        return
    if not there:
        yield (
            "folder",
            f"there is no folder {str(value)!r} with the tests. A relative path starts in "
            f"{Path.cwd()}",
        )


def _command(value: Any) -> Iterator[tuple[str, str]]:
    words = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    if not words or not all(isinstance(word, str) and word for word in words):
        yield (
            "command",
            f"should be a list of words, such as [python, -m, unittest] (got {value!r})",
        )
    # A path may lead to a file that is there once the tests are copied.
    elif words[0] != "python" and "/" not in words[0] and shutil.which(words[0]) is None:
        yield "command", f"there is no program '{words[0]}' (looked for on PATH)"
