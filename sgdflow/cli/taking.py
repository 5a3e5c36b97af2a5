"""What `parameters=RUN` brings along: the run's own graph, task and models."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sgdflow.config.job import chosen
from sgdflow.config.searchpath import RUN, TAKEN
from sgdflow.config.words import quoted, said_of
from sgdflow.errors import ConfigError, listed
from sgdflow.records.source import EXPORT, read_source
from sgdflow.records.trust import Made, doubted, trusting

_BROUGHT = ("graph", "task", "llm")


def taking(words: Sequence[str]) -> list[str]:
    """Return the words with what the run brings along that they name, unless they say otherwise.

    Raises ConfigError where somebody else's run would bring code or addresses, without --trust.
    """
    trust, words = "--trust" in words, trusting(words)
    said = said_of(words)
    brought = _brought(said)
    # What is chosen from a run is no word of the user's own about it.
    own = [key for key, value in said.items() if not str(value).startswith(f"{RUN}/")]
    for group in TAKEN:
        value = brought.get(group, said.get(group))
        if isinstance(value, str) and value.startswith(f"{RUN}/") and not trust:
            _check(value.removeprefix(f"{RUN}/"), group, own)
    seed = [f"seed={brought['seed']}"] if "seed" in brought else []
    return [*words, *(quoted(key, brought[key]) for key in TAKEN if key in brought), *seed]


def taken_words() -> str:
    """Say what a job has taken from runs; empty where that is nothing."""
    found: dict[str, list[str]] = {}
    for group in TAKEN:
        choice = chosen().get(group, "")
        if choice.startswith(f"{RUN}/"):
            found.setdefault(choice.removeprefix(f"{RUN}/"), []).append(group)
    return " ".join(
        f"Taken from {run}: {listed(groups)}. Another is chosen with {groups[0]}=NAME."
        for run, groups in found.items()
    )


def _brought(said: Mapping[str, object]) -> Mapping[str, str]:
    """Return the settings that the run in `parameters` stands for."""
    value = said.get("parameters")
    groups = [group for group in _BROUGHT if group not in said]
    if "experiments" in said or not groups:
        return {}
    if isinstance(value, list) and any(_is_run(str(one)) for one in value):
        raise ConfigError(
            "parameters: each of several runs would bring its own "
            f"{listed(groups)}. Say which is meant ({groups[0]}=NAME), or start one command a run."
        )
    if not isinstance(value, str) or not _is_run(value):
        return {}
    config = read_source(Path(value), Path.cwd()).config
    found = {group: f"{RUN}/{value}" for group in groups}
    if "task" in found and "seed" not in said:
        found["seed"] = str(config.get("seed", 0))  # which draws the splits
    return found


def _is_run(name: str) -> bool:
    folder = Path(name)
    return (folder / "config.yaml").is_file() and not (folder / EXPORT).is_file()


def _check(name: str, group: str, said: Sequence[str]) -> None:
    source = read_source(Path(name), Path.cwd())
    doubt = doubted(name, source, Path.cwd(), said, Made.by_user(os.environ))
    if doubt is not None:
        doubt.check(group)
