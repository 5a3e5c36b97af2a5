"""Finds what a user names: a directory, or a run that MLflow has recorded."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sgdflow.errors import ConfigError, listed

_ID = re.compile(r"[0-9a-f]{6,32}")
_LEFT_OUT = "(not logged)"
"""What earlier versions recorded in the place of a secret."""


@contextmanager
def directory_of(name: str, overrides: Sequence[str]) -> Iterator[tuple[Path, Sequence[str]]]:
    """Give the directory, and the overrides that are not about where runs are recorded.

    An MLflow run is copied into a directory for as long as the block lasts.
    """
    tracking = [word for word in overrides if word.split("=")[0].split(".")[0] == "tracking"]
    others = [word for word in overrides if word not in tracking]
    path = Path(name).expanduser()
    if path.is_dir():
        yield path, others
        return
    if not _ID.fullmatch(name):
        raise ConfigError(
            f"There is no directory {name}, and no id of an MLflow run looks like this. Name a "
            "run directory, an exported folder or a run id (`sgdflow ui` shows them)."
        )
    from sgdflow.config.compose import compose
    from sgdflow.config.prepare import validated
    from sgdflow.tracking import store_uri
    from sgdflow.tracking.reading import RunReader

    settings = validated(compose(tracking)).tracking
    with tempfile.TemporaryDirectory() as folder:
        RunReader(store_uri(settings.uri)).copy(name, Path(folder))
        yield Path(folder), others


def check_whole(config: Mapping[str, Any], name: str) -> None:
    """Raise ConfigError where something that models need was left out of a record."""
    if unknown := list(_left_out(config["llm"], "llm")):
        raise ConfigError(
            f"{name}: {listed(unknown)}: MLflow keeps nothing that could be a secret. Say it "
            f"with {unknown[0]}=VALUE, choose another llm, or name the run directory."
        )


def _left_out(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _left_out(inner, f"{path}.{key}")
    elif value == _LEFT_OUT:
        yield path
