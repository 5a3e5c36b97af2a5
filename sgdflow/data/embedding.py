"""Texts ranked by the nearness of their embeddings to a query's; the only place of model2vec."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sgdflow.data.files import folder_of
from sgdflow.errors import ConfigError, shortly
from sgdflow.homes import at_home

EMBEDS = "model2vec"
"""The package."""
_PARTS = ("model.safetensors", "tokenizer.json", "config.json")
FILES = (
    *_PARTS,
    "config_sentence_transformers.json",
    *(f"0_StaticEmbedding/{part}" for part in _PARTS[:2]),
)
"""All that a model may be made of."""


def embeds() -> bool:
    """Return whether the library is installed."""
    return find_spec(EMBEDS) is not None


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder that make a model, relative to it, and no others."""
    return (Path(name) for name in sorted(FILES) if (folder / name).is_file())


@dataclass(frozen=True)
class Embeddings:
    """A static embedding model, which is read from this machine and never fetched."""

    declared: str
    """A folder, or a model of the Hugging Face hub: NAME, or NAME@REVISION."""

    def vectors(self, texts: Sequence[str]) -> Any:
        """Return a row for each text; zeros where the model knows nothing of it."""
        # A passage is searched as a whole: no more than its beginning is read otherwise.
        rows = self._model.encode(list(texts), max_length=None, use_multiprocessing=False)
        return rows.astype("float64")

    def check(self, key: str) -> None:
        """Raise ConfigError where there is no such model on this machine, or no such thing."""
        at_home(self.declared, key)
        name, _, revision = self.declared.partition("@")
        if self._folder is None:
            raise ConfigError(
                f"{key}: there is no folder '{self.declared}', and no model of this name that was "
                "fetched from the Hugging Face hub; a run fetches none. If it is on the hub, fetch "
                f"it once: hf download {name}{f' --revision {revision}' if revision else ''}"
            )
        try:
            _ = self._model
        except Exception as error:  # its libraries have errors of many kinds
            raise ConfigError(
                f"{key}: '{self.declared}' cannot be read as a model of model2vec: "
                f"{shortly(str(error), 200).rstrip('.')}. Expected: a folder with "
                "model.safetensors, tokenizer.json and config.json."
            ) from error

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of all that the model is made of."""
        found = sha256()
        folder = self._folder
        if folder is not None:
            for file in files_of(folder):
                found.update(f"\n{file.as_posix()}\n".encode())
                found.update((folder / file).read_bytes())
        return found.hexdigest()

    @property
    def pinned(self) -> str | None:
        """Return a model of the hub with the revision that is here; None for any other."""
        if folder_of(self.declared) is not None or self._folder is None:
            return None
        return f"{self.declared.partition('@')[0]}@{self._folder.name}"

    @cached_property
    def _folder(self) -> Path | None:
        if (folder := folder_of(self.declared)) is not None:
            return folder
        from huggingface_hub import snapshot_download

        name, _, revision = self.declared.partition("@")
        try:
            found = snapshot_download(name, revision=revision or None, local_files_only=True)
            return Path(found)
        except (OSError, ValueError):  # not there, or no name
            return None

    @cached_property
    def _model(self) -> Any:
        from model2vec import StaticModel

        return StaticModel.from_pretrained(str(self._folder), force_download=False)


@dataclass(frozen=True)
class Nearness:
    """Texts, and how near each is to a query."""

    texts: Sequence[str]
    embeddings: Embeddings

    def best(self, query: str, count: int) -> Sequence[int]:
        """Return the places of at most so many texts with something of the query, nearest first.

        Nearness is the cosine of two embeddings. Of equals the earlier one comes first.
        """
        asked = self.embeddings.vectors([query])[0]
        # Row by row: a product of matrices may tell equal rows apart by a rounding.
        scores = (self._units * asked).sum(axis=1).tolist()
        order = sorted(range(len(scores)), key=lambda place: -scores[place])
        return [place for place in order[:count] if scores[place] > 0]

    @cached_property
    def _units(self) -> Any:
        rows = self.embeddings.vectors(self.texts)
        lengths = (rows**2).sum(axis=1, keepdims=True) ** 0.5
        return rows / (lengths + (lengths == 0))
