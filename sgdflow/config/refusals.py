"""What Hydra, OmegaConf and YAML refuse of a configuration, told in our words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from errno import ENAMETOOLONG
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdflow.config import declared_keys
from sgdflow.config.absent_keys import files_of, lacking, meant
from sgdflow.config.indentation import is_deeper, misfit
from sgdflow.config.paths import conf_folder, group_folders
from sgdflow.config.words import groups, parsed, typed
from sgdflow.errors import did_you_mean, listed

_SURE = 0.75
"""How alike two names are where nothing else can be meant."""


def refused(error: Exception, words: Sequence[str]) -> str:
    """Say what is wrong with a configuration; `words` are those that it was composed of."""
    if isinstance(error, MissingConfigException):
        return _no_choice(error)
    if isinstance(error, yaml.MarkedYAMLError):
        return _no_yaml(error)
    if isinstance(error, OSError) and error.strerror:
        return _no_directory(error)
    overrides = [one for word in words if (one := parsed(word)) is not None]
    said, cause = str(error).strip(), error.__cause__ or error
    for pattern, told in _SAID.items():
        if match := re.match(pattern, said):
            return told(match, overrides, cause)
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        reason = str(cause.msg or cause).strip().splitlines()[0]
        if re.match(r"Cannot merge (Dict|List)Config with (Dict|List)Config", reason):
            return _other_form(str(cause.full_key), overrides)
        reason = re.sub(r'^\w+ raised while resolving interpolation: "?(.*?)"?$', r"\1", reason)
        key = re.match(r"Interpolation key '(.+)' not found", reason)
        text = f" For the letters ${{{key[1]}}} themselves write \\${{{key[1]}}}." if key else ""
        return f"{_referring(cause, reason)}: {reason}.{text}"
    return said


def _other_form(key: str, overrides: Sequence[Override]) -> str:
    """Say how a list takes the place of a mapping, or a mapping that of a list."""
    said = [one for one in overrides if one.key_or_group == key]
    if not said:
        return (
            f"{key}: is a list in one file and a mapping in another that it is laid over. Write "
            "both in one form."
        )
    given, there = "a list", "a mapping"
    if isinstance(said[-1].value(), dict):
        given, there = there, given
    word = str(said[-1].input_line).lstrip("+")
    return (
        f"{word}: what is chosen has {there} at {key}, and this is {given}. To take its place: "
        f"'~{key}' {shlex.quote(f'+{word}')}"
    )


def _referring(error: OmegaConfBaseException, reason: str) -> str:
    """Return the key where a reference stands that leads nowhere; others may refer to that key."""
    name = re.search(r"'(.+)'|type (\w+)$", reason)
    named = name and re.compile(rf"\$\{{[^}}]*\b{re.escape(name[1] or name[2])}\b")
    root = getattr(error.parent_node, "_get_root", lambda: None)()
    if not named or not isinstance(root, DictConfig):
        return str(error.full_key)
    keys = (key for key, text in _texts(OmegaConf.to_container(root)) if named.search(text))
    return next(keys, str(error.full_key))


def _texts(data: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the texts of a configuration with their keys."""
    if isinstance(data, str):
        yield key, data
    for name, value in data.items() if isinstance(data, dict) else ():
        yield from _texts(value, f"{key}.{name}" if key else str(name))


def _several(match: re.Match[str], overrides: Sequence[Override], cause: BaseException) -> str:
    return "\n".join(_one_of_several(one) for one in overrides if one.is_sweep_override())


def _no_key(match: re.Match[str], overrides: Sequence[Override], cause: BaseException) -> str:
    return _no_keys(match[1], overrides, cause)


def _no_overlay(match: re.Match[str], overrides: Sequence[Override], cause: BaseException) -> str:
    return (
        f"{match[1]}.yaml: an experiment is laid over everything else, so that its first line is "
        "'# @package _global_', and a group is chosen with 'override /GROUP: CHOICE'."
    )


def _there_already(match: re.Match[str], overrides: Sequence[Override], _: BaseException) -> str:
    word = next((str(o.input_line) for o in overrides if o.key_or_group == match[1]), match[1])
    return f"{word}: {match[1]} is there already. Without the + it is changed: {word[1:]}"


def _not_there(match: re.Match[str], overrides: Sequence[Override], cause: BaseException) -> str:
    key, schema = match[1], declared_keys.declared()
    if declared_keys.is_there(key, schema) and not declared_keys.is_free(key, schema):
        return f"~{key}: is not set, so that there is nothing to take out."
    group = key.partition(".")[0]
    instead = declared_keys.meant(
        key, schema, *({group: content} for _, content in files_of(group))
    )
    told = f"~{key}: there is no such key to take out."
    return f"{told} {meant([f'~{one}' for one in instead])}" if instead else told


def _not_chosen(match: re.Match[str], overrides: Sequence[Override], cause: BaseException) -> str:
    group = match[1].partition("=")[0]
    told = f"~{match[1]}: is not chosen, so that there is nothing to take out."
    return f"{told} {group}=CHOICE takes another."


def _no_folder(match: re.Match[str], overrides: Sequence[Override], cause: BaseException) -> str:
    return f"--config-dir: there is no folder {match[1]}."


def _no_index(match: re.Match[str], overrides: Sequence[Override], cause: BaseException) -> str:
    wrong = [str(o.input_line) for o in overrides if match[1] in o.key_or_group.split(".")]
    return f"{' '.join(wrong)}: a list has numbers for keys, and '{match[1]}' is none."


def _chosen_already(match: re.Match[str], overrides: Sequence[Override], _: BaseException) -> str:
    word = next((str(o.input_line) for o in overrides if o.key_or_group == match[1]), match[1])
    return f"{word}: {match[1]} is chosen already. Without the + another is: {word.lstrip('+')}"


Told = Callable[[re.Match[str], Sequence[Override], BaseException], str]

_SAID: Mapping[str, Told] = {
    r"Ambiguous value|Sweep parameters": _several,
    r"In '(experiments/.*?)': Could not override '.*@": _no_overlay,
    r"Could not override '([^']*)'": _no_key,
    r"Could not append to config. An item is already at '([^']*)'": _there_already,
    r"Could not delete from config. '([^']*)' does not exist": _not_there,
    r"Could not delete '([^']*)'. No match in the defaults list": _not_chosen,
    r"Multiple values for (\S+)\. To override a value use 'override": _chosen_already,
    r"Additional config directory '(.*)' not found": _no_folder,
    r"invalid literal for int\(\) with base 10: '(.*)'": _no_index,
}
"""What Hydra says, and how it is told."""


def _no_yaml(error: yaml.MarkedYAMLError) -> str:
    """Say where a file is no YAML."""
    problem, mark, began = str(error.problem), error.problem_mark, error.context_mark
    if mark is None:
        return str(error)
    hint = ""
    if "\\t" in problem:
        hint = " Lines are indented with spaces, not with tabs."
    elif problem.startswith("expected <block end>, but found '<block "):
        hint = misfit(str(mark.name), mark.line + 1)
    elif "mapping values" in problem and is_deeper(str(mark.name), mark.line + 1, mark.column):
        hint = misfit(str(mark.name), mark.line + 1)
    elif began is not None and began.line != mark.line and "not allowed" not in problem:
        hint = f" What is not closed begins in line {began.line + 1}."
    elif "mapping values are not allowed" in problem or "expected ',' or" in problem:
        hint = " A text that holds any of , : ? { } [ ] # goes into quotes."
    return f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}: {problem}.{hint}"


def _no_directory(error: OSError) -> str:
    """Say why the directory of a run or of a job could not be made."""
    name = str(error.filename or "The directory of the run")
    if error.errno != ENAMETOOLONG:
        return f"{name}: {error.strerror}. hydra.run.dir (with -m: hydra.sweep.dir) names another."
    longest, shown = max(map(len, name.split("/"))), name.removeprefix(f"{Path.cwd()}/")[:100]
    return (
        f"The name of a directory is too long for the disk: {longest} letters, {shown}... "
        "Set hydra.run.dir, or with -m hydra.sweep.subdir='${hydra.job.num}'."
    )


def _one_of_several(override: Override) -> str:
    """Say how to write what reads as several values."""
    word = str(override.input_line)
    key, _, value = word.partition("=")
    told = f"{word}: reads as several values. To run with one after the other, add -m."
    if "(" in value or key in groups():
        return told
    return f"{told} For a list write '{key}=[{value}]', for a text {typed(key, value)}."


def _no_choice(error: MissingConfigException) -> str:
    """Say which file of a group is not there."""
    group, _, name = str(error.missing_cfg_file).rpartition("/")
    if not group or name == "None":
        return (
            "sgdflow starts from its own configuration: leave --config-path and --config-name out. "
            "Files of your own are found in ./conf, or with --config-dir DIR."
        )
    within = re.match(r"In '([^']*)'", str(error))
    outside = within is None or within[1] in ("config", "hydra/config")
    stands = "" if outside or within is None else f"{within[1]}.yaml: "
    group, of_ours, _ = group.partition("/sgdflow")
    folders = [conf_folder() / group] if of_ours else [*group_folders(group)]
    known = sorted(error.options or ())
    if of_ours or ("/" in group and any(folder.is_dir() for folder in folders)):
        known = _choices_of(folders)  # Hydra tells those above
    told = f"{stands}{group}: there is no '{name}'.{did_you_mean(name, known)}"
    told += f" There are: {listed(known)}."
    told += f" Looked in: {listed(str(folder) for folder in folders)}"
    if of_ours or did_you_mean(name, known, _SURE):
        return f"{told}."
    own = "experiments" if group == "experiments" else f"conf/{group}"
    return f"{told}; one of your own is found in {Path.cwd() / own / name}.yaml."


def _choices_of(folders: Sequence[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in folder.glob("*.yaml")})


def _no_keys(refused: str, overrides: Sequence[Override], cause: BaseException) -> str:
    """Say of each key that is not in the configuration what may be meant by it."""
    tree = _tree_around(cause)
    words = {
        str(one.key_or_group): str(one.input_line)
        for one in overrides
        if not (one.is_add() or one.is_force_add() or one.is_delete())
        and "/" not in one.key_or_group  # a choice within a group, which Hydra takes first
    }
    wrong = [
        key for key in words if key == refused or (tree and not declared_keys.is_there(key, tree))
    ]
    return "\n".join(lacking(key, words.get(key, key), tree) for key in wrong or [refused])


def _tree_around(error: BaseException) -> dict[str, Any]:
    """Return the whole configuration in which a key was looked for, and the groups of files."""
    node = getattr(error, "parent_node", None)
    root = node._get_root() if node is not None else None
    found = OmegaConf.to_container(root) if isinstance(root, DictConfig) else {}
    assert isinstance(found, dict)
    tree: dict[str, Any] = {group: {} for group in (*groups(), "experiments")}
    return {**tree, **{str(key): value for key, value in found.items()}} if found else {}
