"""The home of a user's project: the folder whose files and modules come first."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path

from sgdflow.config.paths import conf_folder, own_conf, own_experiments, prompt_folders
from sgdflow.errors import ConfigError, listed
from sgdflow.homes import at_home

OPTION, VARIABLE = "--project", "SGDFLOW_PROJECT"


def parted(words: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the words of a command line without --project DIR, and DIR."""
    left, others, folder = list(words), [], None
    while left:
        word = left.pop(0)
        if word == OPTION:
            if not left or left[0].startswith("-"):
                raise ConfigError(f"{OPTION}: needs a folder after it.")
            folder = left.pop(0)
        elif word.startswith(f"{OPTION}="):
            folder = word.partition("=")[2]
        else:
            others.append(word)
    return others, folder


def home(environ: MutableMapping[str, str], said: str | None = None) -> Path:
    """Return the folder that is said, or that the environment says, else the working directory."""
    name = said if said is not None else environ.get(VARIABLE)
    if not name:
        return Path.cwd()
    where = VARIABLE if said is None else OPTION
    folder = at_home(name, where)
    if not folder.is_dir():
        raise ConfigError(
            f"{where}: there is no folder {folder.absolute()}. `sgdflow init DIR` makes a project."
        )
    return folder.resolve()


def folder_of(working: str | Path | None, environ: MutableMapping[str, str]) -> Path:
    """Return the folder that Python names, else that of `home`; raises ConfigError."""
    if working is None:
        return home(environ)
    folder = at_home(working, "working").resolve()
    if not folder.is_dir():
        raise ConfigError(f"working: there is no folder {folder}.")
    return folder


def enter(environ: MutableMapping[str, str], said: str | None) -> None:
    """Work in the project that is said, as if the command had been given there."""
    if said is None and not environ.get(VARIABLE):
        return
    folder = home(environ, said)
    os.chdir(folder)
    environ[VARIABLE] = str(folder)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder for as long as the block lasts."""
    here = folder.is_dir() and folder.resolve() == Path.cwd().resolve()
    with nullcontext() if here or not folder.is_dir() else chdir(folder):
        yield


def check_reached(folder: Path) -> None:
    """Raise ConfigError where the folder in which a command was given is not on this machine.

    A job would go on with shipped templates and files in the place of the user's own.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"The command was given in {folder}, which is not there on {socket.gethostname()}, "
            "where this job runs. Jobs need the project's files and the sweep's directory: put "
            "both where all machines reach them by the same path (docs/scale.md)."
        )


def look_here(folder: Path) -> None:
    """Find the modules that a user's configuration names in his own folder."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def hiding(folder: Path) -> str:
    """Say which files of a project are taken instead of shipped ones; empty where none are."""
    own, shipped = own_conf(folder), conf_folder()
    pairs = [("conf", own, shipped, "*/**/*.yaml")] if own else []
    if experiments := own_experiments(folder):
        pairs.append(("experiments", experiments, shipped / "experiments", "*.yaml"))
    *prompts, last = prompt_folders(folder)
    pairs += [("prompts", one, last, "**/*.jinja") for one in prompts]
    found = [
        f"{name}/{file.relative_to(mine).as_posix()}"
        for name, mine, theirs, pattern in pairs
        for file in sorted(mine.glob(pattern))
        if (theirs / file.relative_to(mine)).is_file()
    ]
    if not found:
        return ""
    return (
        f"Own files hide sgdflow's: {listed(found)}. What they hide is still there with sgdflow/ "
        "before its name (docs/configuration.md)."
    )
