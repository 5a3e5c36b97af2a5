"""Documents as passages: what stands between blank lines, or one JSON object a line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from sgdflow.data.embedding import Embeddings, Nearness
from sgdflow.data.files import existing, few, folder_of, lines
from sgdflow.data.ranking import Ranking
from sgdflow.data.rows import json_lines
from sgdflow.errors import DataError, listed

ENDINGS = (".md", ".txt", ".jsonl")
_EXPECTED = f"a file in UTF-8 ({listed(ENDINGS)}), or a folder of such files"
_BLANK = re.compile(r"\n\s*\n")
_HEADING = re.compile(r"#{1,6} .+")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that is found as a whole."""

    document: str
    """Name of the file, with its path below the folder."""
    text: str


@dataclass(frozen=True)
class Documents:
    """Passages that can be searched."""

    passages: tuple[Passage, ...]
    embeddings: Embeddings | None = None
    """What they are ranked by; None: the words they share with a query."""

    def best(self, query: str, count: int) -> Sequence[Mapping[str, str]]:
        """Return at most so many passages with something of a query, the best first."""
        return [asdict(self.passages[place]) for place in self._ranking.best(query, count)]

    def longest(self, count: int) -> Sequence[Mapping[str, str]]:
        """Return the longest passages there are."""
        found = sorted(self.passages, key=lambda one: -len(one.text))
        return [asdict(one) for one in found[:count]]

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of all passages."""
        held = json.dumps([[one.document, one.text] for one in self.passages])
        return sha256(held.encode()).hexdigest()

    @property
    def model(self) -> str | None:
        """Return the SHA-256 of the embedding model; None without one."""
        return None if self.embeddings is None else self.embeddings.digest

    def check(self, key: str) -> None:
        """Raise ConfigError where they cannot be ranked; `key` is that of the model."""
        if self.embeddings is not None:
            self.embeddings.check(key)

    @cached_property
    def _ranking(self) -> Ranking | Nearness:
        texts = [one.text for one in self.passages]
        return Ranking(texts) if self.embeddings is None else Nearness(texts, self.embeddings)


def passages(path: Path, key: str) -> tuple[Passage, ...]:
    """Return all passages of a file or a folder, in order; raises DataError."""
    folder = existing(path, key, _EXPECTED, folder=folder_of(path) is not None)
    if folder.is_dir():
        files = [file for file in sorted(folder.rglob("*")) if _counts(file, folder)]
        names = {file: file.relative_to(folder).as_posix() for file in files}
    elif folder.suffix in ENDINGS:
        names = {folder: folder.name}
    else:
        raise DataError(
            f"{key}: {folder}: '{folder.suffix}' is no ending of a text. Expected: {_EXPECTED}."
        )
    found = tuple(one for file, name in names.items() for one in _passages(file, name))
    if not found:
        held = "" if names else f" It holds: {few(sorted(one.name for one in folder.iterdir()))}."
        raise DataError(f"{key}: {folder} holds no text. Expected: {_EXPECTED}.{held}")
    return found


def _counts(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return file.suffix in ENDINGS and file.is_file() and not hidden


def _passages(file: Path, name: str) -> Iterator[Passage]:
    if file.suffix == ".jsonl":
        yield from _rows(file, name)
        return
    text = "".join(lines(file)).replace("\r\n", "\n").replace("\r", "\n")
    heading = ""
    for block in filter(None, map(str.strip, _BLANK.split(text))):
        first, _, rest = block.partition("\n")
        if file.suffix == ".md" and _HEADING.fullmatch(first):
            # What stands below a heading is rarely found without its words.
            heading, block = first, rest.strip()
        if block:
            yield Passage(name, f"{heading}\n\n{block}" if heading else block)


def _rows(file: Path, name: str) -> Iterator[Passage]:
    for row in json_lines(file):
        if text := row.text("text").strip():
            yield Passage(str(row.values.get("document", name)), text)
