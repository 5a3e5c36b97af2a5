"""Where a graph with its parameters is taken from: a run directory or an exported folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sgdflow import __version__
from sgdflow.config.documents import read_lines, read_mapping
from sgdflow.config.paths import prompt_folders
from sgdflow.errors import ConfigError, looked_in, plural, shortly
from sgdflow.records.folder import FORMAT, READ
from sgdflow.records.texts import reading

EXPORT = "export.json"
"""File that makes a folder an exported one."""
DOCUMENTS = "documents"
"""Folder of what the nodes of an exported graph search."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is there."""

    path: Path
    config: Mapping[str, Any]
    """Resolved; that of an exported folder has only graph, llm and seed."""
    parameters: Mapping[str, Any]
    prompts: tuple[Path, ...]
    """Template folders."""
    code: Path | None = None
    """Folder of the Python modules that an exported graph brings along."""
    exported: bool = False
    """Whether it is an exported folder, with templates of its own."""
    whole: bool = True
    """Whether it is more than what a run has left that came to no result."""


def read_source(path: Path, working: Path) -> Source:
    """Return what a directory holds; raises ConfigError where it is neither of both."""
    if (path / EXPORT).is_file():
        about = read_mapping(path / EXPORT)
        check_format(about, path, what="The folder")
        config: Mapping[str, Any] = {
            "graph": read_mapping(path / "graph.yaml"),
            "llm": read_mapping(path / "llm.yaml"),
            "seed": about.get("seed", 0),
        }
        code = path / "code"
        return Source(
            path,
            config,
            read_mapping(path / "parameters.yaml"),
            (path / "prompts",),
            code if code.is_dir() else None,
            exported=True,
        )
    check_run(path)
    config = read_mapping(path / "config.yaml")
    parameters = read_mapping(path / "parameters.yaml")
    whole = (path / "result.json").is_file()
    return Source(path, config, parameters, prompt_folders(working), whole=whole)


def check_run(path: Path) -> None:
    """Raise ConfigError where a directory holds no run that can be read."""
    if not path.is_dir():
        raise ConfigError(f"There is no directory {path}.{looked_in(path)}")
    if not (path / "config.yaml").is_file():
        jobs = sorted(
            file.parent.name for file in path.glob("*/config.yaml") if not _hidden(file.parent)
        )
        if jobs:
            some = ", ".join(str(path / job) for job in jobs[:3])
            raise ConfigError(
                f"{path} holds a multirun of {plural(len(jobs), 'job')}: "
                f"name one of them, such as {some}."
            )
        raise ConfigError(f"{path} holds no run: it has no config.yaml.")
    if (path / "result.json").is_file():
        check_format(read_mapping(path / "result.json"), path)
    elif (first := _first_step(path / "steps.jsonl")) is not None:
        check_format(first, path)


def check_format(record: Mapping[str, Any], path: Path | str, what: str = "The run") -> None:
    """Raise ConfigError where a record was written in another format than this version's."""
    found = record.get("format")
    if found not in READ:
        by = str(record.get("version"))
        # What is told to be typed is nobody else's words.
        known = re.fullmatch(r"\d[\w.]{0,20}", by) is not None
        theirs = f"sgdflow {by}" if known else "another version"
        get = f"pip install sgdflow=={by}" if known else "that version"
        raise ConfigError(
            f"{what} {path} was written by {theirs} in format {shortly(repr(found))}; sgdflow "
            f"{__version__} reads formats {READ[0]} to {FORMAT}. Read it with {get}; its "
            "parameters.yaml is plain data that parameters=FILE takes in any version."
        )


def read_steps(file: Path) -> Sequence[Mapping[str, Any]]:
    """Return the steps of a run in order, all texts in their places.

    A line that a kill has cut off is left out. It reads the calls of steps, too.
    """
    steps = []
    try:
        with reading(file.parent) as texts:
            for number, step in enumerate(read_lines(file), start=1):
                where = f"{file}, line {number}"
                if not isinstance(step, dict):
                    raise ConfigError(f"{where}: it is no step but {type(step).__name__}.")
                steps.append(texts.of(step, where)(step))
    except FileNotFoundError:
        return []
    return steps


@contextmanager
def as_written(name: str) -> Iterator[None]:
    """Raise ConfigError where a record does not hold what sgdflow writes into it."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        what = shortly(f"{type(error).__name__}: {error}", 100)
        raise ConfigError(
            f"{name}: its records are not as sgdflow writes them ({what}): they were changed or "
            "damaged."
        ) from error


def _first_step(file: Path) -> Mapping[str, Any] | None:
    try:
        found = next(read_lines(file), None)
    except FileNotFoundError:
        return None
    return found if isinstance(found, dict) else None


def _hidden(folder: Path) -> bool:
    return folder.name.startswith(".")
