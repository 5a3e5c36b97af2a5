"""Paths as users write them: ~ stands for a home folder."""

from __future__ import annotations

import shlex
from pathlib import Path

from sgdflow.errors import ConfigError


def expanded(path: str | Path) -> Path:
    """Return a path with the folder that ~ stands for; raises ValueError where it is nobody's."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ValueError(
            f"nobody has the home {Path(path).parts[0]}; write the whole path"
        ) from None


def at_home(path: str | Path, where: str) -> Path:
    """Return the same; raises ConfigError that says where the path was named."""
    try:
        return expanded(path)
    except ValueError as error:
        raise ConfigError(f"{where}: '{path}': {error}.") from None


def untold(path: str | Path) -> str:
    """Say what to write in place of ~ where that means nothing."""
    try:
        return f"~ means nothing here. Write the whole path: {shlex.quote(str(expanded(path)))}"
    except ValueError as error:
        return f"~ means nothing here, and {error}."
