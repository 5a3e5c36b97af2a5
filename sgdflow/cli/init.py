"""`sgdflow init`: a small project of one's own, which runs at once."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from sgdflow.cli.arguments import Arguments, path_of
from sgdflow.config.paths import starters
from sgdflow.data.ranking import available
from sgdflow.errors import ConfigError, did_you_mean, listed

_SEARCHING = ("rag",)
"""Starters that look things up in documents."""
_ENDING, _HIDDEN = ".txt", "gitignore.txt"
"""Of files that are code once they are a project's own, and of the one that begins with a dot."""


def init(words: Sequence[str]) -> int:
    """Make a project: graph, task, prompts, data, code, an experiment and a test."""
    known = sorted(path.name for path in starters().iterdir() if path.is_dir())
    parser = Arguments("sgdflow init", description=init.__doc__)
    parser.add_argument("directory", type=path_of, metavar="DIR", help="where it is made")
    parser.add_argument(
        "--from", dest="starter", default="triage", metavar="NAME",
        help=f"what it starts as: {listed(known)} (default: triage)",
    )  # fmt: skip
    asked = parser.parse_intermixed_args(words)
    if asked.starter not in known:
        raise ConfigError(
            f"--from: there is no starter '{asked.starter}'.{did_you_mean(asked.starter, known)} "
            f"There are: {listed(known)}."
        )
    made = write_project(starters() / asked.starter, asked.directory, "sgdflow init DIR")
    sys.stdout.write("".join(f"{path}\n" for path in made))
    there = shlex.quote(str(asked.directory))
    begins = "It runs at once, with simulated models:\n"
    if asked.starter in _SEARCHING and not available():
        begins = (
            "It searches documents, which takes bm25s. Once that is installed it runs with "
            "simulated models:\n  pip install 'sgdflow[retrieval]'\n"
        )
    sys.stdout.write(
        f"{begins}  cd {there}\n  sgdflow check\n  sgdflow optimize hydra.run.dir=runs/first\n"
    )
    return 0


def write_project(starter: Path, folder: Path, again: str) -> list[Path]:
    """Write the files of a project and return them; nothing that is there is written over.

    `again` is the command with which another folder is chosen.
    """
    files = {_name(file.relative_to(starter)): file for file in sorted(starter.rglob("*.*"))}
    files = {name: file for name, file in files.items() if file.is_file()}
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is no folder. Choose another one: {again}")
    if there := [str(folder / name) for name in files if (folder / name).exists()]:
        raise ConfigError(
            f"{folder} has {listed(there[:5])} already, and nothing is written over. Choose "
            f"another folder: {again}"
        )
    try:
        for name, file in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be written: {error.strerror}.") from error
    return [folder / name for name in sorted(files)]


def _name(path: Path) -> Path:
    """Return what a file is called in a project."""
    if path.name == _HIDDEN:
        return path.with_name(".gitignore")
    return path.with_suffix("") if path.suffix == _ENDING else path
