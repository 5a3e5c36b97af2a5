"""`sgdflow check`: what is wrong with a run that has not begun, found without a call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sgdflow.cli.app import run_untraced
from sgdflow.cli.taking import taken_words, taking
from sgdflow.config.job import chosen, sweep_words, working_directory
from sgdflow.config.legs import acting
from sgdflow.config.paths import group_folders, prompt_folders
from sgdflow.config.piecewise import mistakes, readable_parts
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.config.project import hiding, look_here
from sgdflow.errors import ConfigError, bounded, listed, plural
from sgdflow.inspection import (
    Finding,
    Rehearsed,
    data_findings,
    prompt_findings,
    rehearsed,
    scorer_findings,
    used_variables,
)
from sgdflow.llm.backend import window_of
from sgdflow.llm.models import located
from sgdflow.plan.limits import shortages
from sgdflow.prompting.templates import Prompts
from sgdflow.terminal import say

_OURS = " (sgdflow's own)"
_DRAWN = "; drawn at random, so that the same may come up in several of them"


def check(words: Sequence[str]) -> int:
    """Find what is wrong with what optimize would do with the same words; nothing is sent."""
    words = taking(words)
    try:
        return run_untraced(print_check, words)
    except ConfigError as error:
        raise ConfigError("\n".join(bounded(_all_told(error, words)))) from None


def _all_told(error: ConfigError, words: Sequence[str]) -> Sequence[str]:
    """Return why a configuration cannot be read, and what is wrong with all of it that can."""
    lines = str(error).split("\n")
    if any(word.startswith("-") for word in words) or (found := readable_parts(words)) is None:
        return lines
    look_here(Path.cwd())
    prompts = Prompts(prompt_folders(Path.cwd()))
    lines += [*found.why, *mistakes(found.raw, prompts, found.unread)]
    return [*dict.fromkeys(lines)]


def print_check(raw: Mapping[str, Any]) -> None:
    """Print what is there and what was found; raises ConfigError where something is wrong."""
    prompts = Prompts(prompt_folders(working_directory()))
    prepared = prepare(raw, prompts, None)
    found = rehearsed(prepared)
    windows = _windows(prepared)
    findings = [
        *data_findings(prepared.problem.splits, prepared.problem.graph.inputs),
        *prompt_findings(found, windows),
        *scorer_findings(prepared),
        *(Finding(one.text, wrong=False) for one in prepared.notices if one.unsure),
        *(Finding(text, wrong=False) for text in shortages(prepared)),
        *(Finding(text, wrong=False) for text in _unused(prepared, prompts)),
    ]
    say(sweep_words() + "\n".join(_lines(prepared, prompts, found, windows)) + "\n")
    unsure = [one.text for one in findings if not one.wrong]
    say("".join(f"Look at this: {text}\n" for text in unsure))
    if wrong := [one.text for one in findings if one.wrong]:
        raise ConfigError("\n".join(wrong))
    say("Nothing is wrong.\n" if not unsure else f"{plural(len(unsure), 'thing')} to look at.\n")


def _lines(
    prepared: Prepared, prompts: Prompts, found: Rehearsed, windows: Mapping[str, int | None]
) -> Iterator[str]:
    problem, config = prepared.problem, prepared.config
    yield from (text for text in (taken_words(), hiding(working_directory())) if text)
    names = listed(problem.optimised)
    nodes = plural(sum("." not in name for name in problem.graph.nodes), "node")  # no fields
    yield f"graph {config.graph.name}{_ours('graph')}: {nodes}, optimises {names}"
    splits = ("train", "validation", "test")
    counts = (f"{split} {len(getattr(problem.splits, split))}" for split in splits)
    drawn = any(example.drawn for example in problem.splits.train)
    yield f"task {config.task.name}{_ours('task')}: {', '.join(counts)}{_DRAWN * drawn}"
    yield from (f"  {one.text}" for one in prepared.notices if not one.unsure)
    for prompt, (given, used) in used_variables(problem.graph, prompts).items():
        own = any((folder / prompt).is_file() for folder in prompts.folders[:-1])
        yield f"prompts/{prompt}{'' if own else _OURS} ({', '.join(given)}): uses {used}"
    for role, (tokens, node) in found.largest.items():
        window = windows.get(role)
        room = f", of {window:,} that its model reads" if window is not None else ""
        yield f"largest prompt of {role}: about {plural(tokens, 'token')}{room} ({node})"


def _ours(group: str) -> str:
    """Mark what is chosen of a group where it is a shipped file, and none of the project's."""
    *own, shipped = group_folders(group)
    name = chosen().get(group, "")
    if any((folder / f"{name}.yaml").is_file() for folder in own):
        return ""
    return _OURS if (shipped / f"{name.removeprefix('sgdflow/')}.yaml").is_file() else ""


def _windows(prepared: Prepared) -> Mapping[str, int | None]:
    """Return how many tokens the model of each role reads; None where nobody knows."""
    calling = prepared.calling
    return {
        role: window_of(calling.backend, located(spec, os.environ))
        for role, spec in calling.models.items()
    }


def _unused(prepared: Prepared, prompts: Prompts) -> Iterator[str]:
    """Yield the project's own templates that nothing which is chosen refers to."""
    conf = prepared.config
    methods = [one for _, one in acting(conf.method)]
    used = {*_reached(prompts, [conf.graph, conf.task])}
    used.update(*(_reached(prompts.in_words(one.words), [one]) for one in methods))
    own = prompt_folders(working_directory())[:-1]
    files = {file: folder for folder in own for file in folder.rglob("*.jinja")}
    for file in sorted(files.keys() - used):
        name = file.relative_to(files[file]).as_posix()
        if not any(name.removeprefix(f"{one.words}/").startswith("reply/") for one in methods):
            yield f"prompts/{name}: nothing that is chosen uses it."


def _reached(prompts: Prompts, confs: Iterable[BaseModel]) -> Iterator[Path]:
    """Yield the files of all templates that what is declared names, and of those they name."""
    said = "".join(str(conf.model_dump(by_alias=True)) for conf in confs)
    for name in prompts.closure(name for name in prompts.names() if f"'{name}'" in said):
        files = (folder / name for folder in prompts.folders)
        yield from islice((file for file in files if file.is_file()), 1)
