"""Makes the Python modules that a folder brings along importable: their sources, nothing else."""

from __future__ import annotations

import sys
from importlib.abc import PathEntryFinder
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path


class _FromSource(SourceFileLoader):
    """Neither reads nor writes compiled files, which could hold something else than the source."""

    def path_stats(self, path: object) -> dict[str, int]:
        """Have the source compiled: there is nothing to compare a compiled file with."""
        raise OSError


def make_importable(code: Path) -> None:
    """Let modules of the folder be found, before others of their names."""
    root = str(code.resolve())
    if root in sys.path:
        return
    finder = FileFinder.path_hook(
        (ExtensionFileLoader, EXTENSION_SUFFIXES), (_FromSource, SOURCE_SUFFIXES)
    )

    def below(path: str) -> PathEntryFinder:
        if not Path(path).is_relative_to(root):
            raise ImportError
        return finder(path)

    sys.path_hooks.insert(0, below)
    sys.path.insert(0, root)
