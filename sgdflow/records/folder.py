"""The run directory, and the form of what is written there.

The formats are described in docs/files.md; `FORMAT` changes with them.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import yaml

from sgdflow.config.documents import read
from sgdflow.errors import ConfigError, NoResult, listed
from sgdflow.executor.graph import Parameters
from sgdflow.records.texts import TEXTS, Kept

log = logging.getLogger(__name__)

FORMAT = 2
READ = (1, FORMAT)
"""Formats that are read: in the first one every text stands in line."""
UNCONFIRMED = "unconfirmed.yaml"
_DEEPEST = 50
SPLITS = ("train", "validation", "test")


class RunFolder:
    """The run directory.

    At the start it has to be writable. What cannot be written later costs no run that was paid
    for: that is said once, and tried again with each further record and at the end.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[tuple[str, Callable[[], None]]] = []
        self._best = ""
        self._earlier: list[str] = []
        self._texts = Kept()
        with _needed(path):
            path.mkdir(parents=True, exist_ok=True)

    def began(self) -> float | None:
        """Return when the run that the directory holds began, in seconds since 1970."""
        file = self.path / "config.yaml"
        return file.stat().st_mtime if file.is_file() else None

    @property
    def known(self) -> int:
        """Return how many steps of an earlier start the run that begins had found here."""
        return len(self._earlier)

    def set_aside(self) -> None:
        """Keep the result of a run that goes further under a name with its steps."""
        if (result := read_json(self.path / "result.json")) is not None:
            with _needed(self.path):
                (self.path / "result.json").replace(
                    self.path / f"result_{int(result.get('steps', 0))}.json"
                )

    def begin(self, config: Mapping[str, Any], parameters: Parameters) -> None:
        """Write the configuration and the parameters the run starts from; raises ConfigError."""
        began, steps = self.began(), self.path / "steps.jsonl"
        with _needed(self.path):
            if steps.is_file():
                text = steps.read_text(encoding="utf-8", errors="replace")
                # Only "\n" ends a step, and what a kill left behind the last one is none.
                self._earlier = text.split("\n")[:-1]
            # What refers to texts goes before them.
            for name in ("result.json", UNCONFIRMED, "examples.jsonl"):
                (self.path / name).unlink(missing_ok=True)
            self._write("config.yaml", as_yaml(config))
            if began is not None:
                os.utime(self.path / "config.yaml", (began, began))
            for name in ("steps.jsonl", "calls.jsonl", TEXTS):
                self._write(name, "")
            self._texts = Kept()
            for name in ("initial.yaml", "parameters.yaml"):
                self._write(name, as_yaml(parameters))

    def append(self, step: Mapping[str, Any], calls: Mapping[str, Any]) -> bool:
        """Add a step and its calls; return whether an earlier start had taken the same one."""
        lines = [as_json(self._texts.referring(record)) for record in (step, calls)]
        # First the texts: a kill leaves no reference to what is not there.
        new = "".join(f"{as_json(text)}\n" for text in self._texts.new())
        self._keep(TEXTS, partial(self._append, TEXTS, new))
        for name, line in zip(("steps.jsonl", "calls.jsonl"), lines, strict=True):
            self._keep(name, partial(self._append, name, line + "\n"))
        return lines[0] in self._earlier

    def save(self, parameters: Parameters, confirmation: Mapping[str, Any] | None = None) -> None:
        """Write the best parameters so far, and those of a winner that was not confirmed.

        That one may be, on more examples.
        """
        self._best = as_yaml(parameters)
        self._keep("parameters.yaml", partial(self._write, "parameters.yaml", self._best))
        if confirmation and not confirmation["confirmed"]:
            text = as_yaml(confirmation["parameters"])
            self._keep(UNCONFIRMED, partial(self._write, UNCONFIRMED, text))

    def keep_examples(self, records: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
        """Write what became of each example, one after the other: nobody holds all."""

        def write() -> None:
            texts = self._texts.copy()  # what cannot be written is not known then
            with self._grown(TEXTS) as grown:
                lines = partial(_referring, records, texts, grown)
                self._write_lines("examples.jsonl", lines)
            self._texts = texts

        self._keep("examples.jsonl", write)

    def finish(self, result: Mapping[str, Any], name: str = "result.json") -> None:
        """Write the result."""
        self._keep(name, partial(self._write, name, as_json(result, indent=2) + "\n"))

    def check(self) -> None:
        """Raise NoResult where something is still missing after one more try; show the best."""
        error = self._catch_up()
        if error is None:
            return
        names = listed(dict.fromkeys(name for name, _ in self._waiting))
        if self._best and "parameters.yaml" in names:
            log.warning("The best parameters, which could not be written:\n%s", self._best)
        raise NoResult(f"{names} could not be written into {self.path} ({_reason(error)})")

    def _keep(self, name: str, write: Callable[[], None]) -> None:
        """Write, after what still waits; say it where that begins to fail."""
        before = bool(self._waiting)
        self._waiting.append((name, write))
        error = self._catch_up()
        if error is not None and not before:
            log.warning(
                "%s cannot be written (%s). The run goes on; what is missing is tried again with "
                "each further record and at the end.",
                self.path / name,
                _reason(error),
            )
        if error is None and before:
            log.warning("%s can be written again; nothing is missing.", self.path)

    def _catch_up(self) -> OSError | None:
        while self._waiting:
            try:
                self._waiting[0][1]()
            except OSError as error:
                return error
            del self._waiting[0]
        return None

    def _append(self, name: str, text: str) -> None:
        """Add to a file, all of the text or nothing."""
        with self._grown(name) as opened:
            opened.write(text)

    @contextmanager
    def _grown(self, name: str) -> Iterator[TextIO]:
        """Give a file to add to, which stays as it was where not all could be added."""
        file = self.path / name
        size = file.stat().st_size if file.exists() else 0
        try:
            with file.open("a", encoding="utf-8") as opened:
                yield opened
        except OSError:
            with suppress(OSError):
                os.truncate(file, size)
            raise

    def _write(self, name: str, text: str) -> None:
        self._write_lines(name, lambda: [text])

    def _write_lines(self, name: str, lines: Callable[[], Iterable[str]]) -> None:
        """Write a file; neither a reader nor a kill sees half of it."""
        new = self.path / f"{name}.new"
        with new.open("w", encoding="utf-8") as opened:
            opened.writelines(lines())
        new.replace(self.path / name)


def _referring(
    records: Callable[[], Iterable[Mapping[str, Any]]], texts: Kept, grown: TextIO
) -> Iterator[str]:
    """Yield the lines of records, after their texts: nobody holds all."""
    for record in records():
        line = as_json(texts.referring(record))
        grown.writelines(f"{as_json(text)}\n" for text in texts.new())
        yield f"{line}\n"
    grown.flush()


@contextmanager
def _needed(path: Path) -> Iterator[None]:
    """Turn what keeps a run from being recorded at its start into ConfigError."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({_reason(error)}): choose another directory with "
            "hydra.run.dir=DIR, for a multirun hydra.sweep.dir=DIR."
        ) from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def as_json(record: Any, indent: int | None = None) -> str:
    """Return a record as JSON, whatever is in it; half a character becomes its escape."""
    try:
        text = json.dumps(record, indent=indent, ensure_ascii=False, default=str)
    except Exception:  # the words of an object are code of its own
        text = json.dumps(_tame(record), indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def _tame(data: Any, depth: int = 0) -> Any:
    """Return what JSON can hold of a value of code: names of any kind, nothing endless."""
    if depth >= _DEEPEST:
        return "..."
    if isinstance(data, Mapping):
        return {_text(key): _tame(value, depth + 1) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_tame(value, depth + 1) for value in data]
    return data if data is None or isinstance(data, str | int | float) else _text(data)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"({type(value).__name__})"


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
