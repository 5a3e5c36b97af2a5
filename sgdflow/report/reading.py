"""A run directory, read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sgdflow.errors import ConfigError
from sgdflow.records import FORMAT

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """What the files of a run directory hold (docs/files.md)."""

    folder: Path
    config: Record
    parameters: Record
    steps: tuple[Record, ...]
    calls: tuple[Record, ...]
    examples: tuple[Record, ...]
    result: Record | None
    """None: the run has not ended."""
    missing: tuple[str, ...]
    """Files that are not there, or end in the middle of a line."""


def read(folder: Path) -> Run:
    """Read a run directory, also of a run that was stopped; raises ConfigError."""
    if not (folder / "config.yaml").is_file():
        raise ConfigError(
            f"{folder} is not a run directory: it has no config.yaml. Give the directory that "
            "sgdflow optimize printed as its last line."
        )
    missing: list[str] = []
    config = _yaml(folder / "config.yaml", missing)
    parameters = _yaml(folder / "parameters.yaml", missing)
    steps = _lines(folder / "steps.jsonl", missing)
    calls = _lines(folder / "calls.jsonl", missing)
    examples = _lines(folder / "examples.jsonl", missing)
    result = _result(folder / "result.json")
    return Run(folder, config, parameters, steps, calls, examples, result, tuple(missing))


def _yaml(file: Path, missing: list[str]) -> Record:
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing.append(file.name)
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}


def _lines(file: Path, missing: list[str]) -> tuple[Record, ...]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        missing.append(file.name)
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found.append(_checked(json.loads(line), f"{file}, line {number}"))
        except ValueError as error:
            if number < len(lines):
                raise ConfigError(f"{file}, line {number} is not JSON: {error}.") from error
            missing.append(f"the last line of {file.name}")  # its writing was interrupted
    return tuple(found)


def _result(file: Path) -> Record | None:
    try:
        return _checked(json.loads(file.read_text(encoding="utf-8")), str(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from error


def _checked(record: Any, where: str) -> Record:
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        found = record.get("format") if isinstance(record, dict) else None
        raise ConfigError(
            f"{where}: its format is {found}, this version of sgdflow reads {FORMAT}. "
            "Use the version that wrote it (result.json names it)."
        )
    return record
