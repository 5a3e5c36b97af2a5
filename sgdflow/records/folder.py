"""The run directory, and the form of what is written there.

The formats are described in docs/files.md; `FORMAT` changes with them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sgdflow.config.documents import read
from sgdflow.errors import ConfigError
from sgdflow.executor.graph import Parameters

FORMAT = 1
SPLITS = ("train", "validation", "test")


class RunFolder:
    """The run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def began(self) -> float | None:
        """Return when the run that the directory holds began, in seconds since 1970."""
        file = self.path / "config.yaml"
        return file.stat().st_mtime if file.is_file() else None

    def begin(self, config: Mapping[str, Any], parameters: Parameters) -> None:
        """Write the resolved configuration and the parameters the run starts from."""
        began = self.began()
        (self.path / "result.json").unlink(missing_ok=True)
        self._write("config.yaml", as_yaml(config))
        if began is not None:
            os.utime(self.path / "config.yaml", (began, began))
        self._write("steps.jsonl", "")
        self._write("calls.jsonl", "")
        self._write("initial.yaml", as_yaml(parameters))
        self.save(parameters)

    def append(self, step: Mapping[str, Any], calls: Mapping[str, Any]) -> None:
        """Add a step and the calls it learned from."""
        for name, record in (("steps.jsonl", step), ("calls.jsonl", calls)):
            with (self.path / name).open("a", encoding="utf-8") as file:
                file.write(_line(record))

    def save(self, parameters: Parameters) -> None:
        """Write the best parameters so far."""
        self._write("parameters.yaml", as_yaml(parameters))

    def keep_examples(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write what became of each example."""
        self._write("examples.jsonl", "".join(map(_line, records)))

    def finish(self, result: Mapping[str, Any], name: str = "result.json") -> None:
        """Write the result."""
        text = json.dumps(result, indent=2, ensure_ascii=False, default=str)
        self._write(name, text + "\n")

    def _write(self, name: str, text: str) -> None:
        """Write a file; neither a reader nor a kill sees half of it."""
        new = self.path / f"{name}.new"
        new.write_text(text, encoding="utf-8")
        new.replace(self.path / name)


def as_yaml(data: Mapping[str, Any]) -> str:
    """Return YAML that reads back as the same data, texts of several lines as blocks."""
    return yaml.dump(_plain(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def read_yaml(file: Path) -> Any:
    """Return the data of a file that as_yaml wrote."""
    return read(file)


def read_json(file: Path) -> Mapping[str, Any] | None:
    """Return the mapping in a file; None where there is none, or no whole one."""
    try:
        found = read(file)
    except ConfigError:
        return None
    return found if isinstance(found, dict) else None


_OTHER_LINE_ENDS = "\x85\u2028\u2029"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines in block style."""


def _write_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    if any(character in text for character in _OTHER_LINE_ENDS):
        style = '"'  # plain and block style would read them back as newlines
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _write_text)


def _plain(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _plain(value) for key, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, list | tuple) else data


def _line(record: Mapping[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, default=str) + "\n"
