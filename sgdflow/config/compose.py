"""Composes the configuration from the shipped files, the user's words and nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import CompactHydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sgdflow.config.paths import conf_folder
from sgdflow.config.searchpath import look_into_own
from sgdflow.config.secret_words import without_secrets
from sgdflow.config.such import needed
from sgdflow.config.words import parsed, readable
from sgdflow.config.written import Composed, composed, read
from sgdflow.errors import ConfigError, did_you_mean

DEBUG = "HYDRA_FULL_ERROR"


def plain(config: DictConfig, given: Mapping[str, str] | None = None) -> Composed:
    """Return the configuration as plain data; `given` is taken for a part of the environment.

    Model-written text must never stand in a DictConfig: it would be interpolated when read.
    """
    if missing := list(_missing(OmegaConf.to_container(config))):
        told = (f"{key}: is required and missing.{needed(key)}" for key in missing)
        raise ConfigError("\n".join(told))
    return composed(config, given)


def _missing(value: object, path: str = "") -> Iterator[str]:
    """Yield the dotted keys that still wait for a value, in order."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _missing(inner, f"{path}.{key}" if path else str(key))
    elif value == "???":
        yield path


def compose(overrides: Sequence[str]) -> Composed:
    """Return the configuration without running anything; raises ConfigError."""
    words, given = without_secrets(overrides)
    return _composed(readable(words), given)


def _composed(words: Sequence[str], given: Mapping[str, str]) -> Composed:
    look_into_own()
    with (
        explained(debugging(), words),
        hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())),
    ):
        return plain(_by_hydra(list(words)), given)


def _by_hydra(words: list[str]) -> DictConfig:
    try:
        return hydra.compose("config", words)
    except ValueError as error:
        if debugging():
            raise
        from sgdflow.config.refusals import refused

        raise ConfigError(refused(error, words)) from None


def changed(written: Mapping[str, Any], overrides: Sequence[str]) -> Composed:
    """Return a written configuration with overrides of values, and of whole groups.

    Nothing in it but what it refers to in the environment is interpolated.
    """
    words, secrets = without_secrets(overrides)
    found, given = dict(written), dict(secrets)
    said = [one for word in readable(words) if (one := parsed(word)) is not None]
    chosen = {one.key_or_group for one in said if _is_group(one, written)}
    if chosen:
        about = [str(o.input_line) for o in said if o.key_or_group.split(".")[0] in chosen]
        whole = _composed(about, given)
        found |= {group: whole.written[group] for group in chosen}
        given |= whole.given
    for one in said:
        if one.key_or_group.split(".")[0] not in chosen:
            found = _replaced(found, one.key_or_group.split("."), one)
    return read(found, given)


def _is_group(override: Override, raw: Mapping[str, Any]) -> bool:
    key = override.key_or_group
    return isinstance(override.value(), str) and isinstance(raw.get(key), Mapping)


def _replaced(tree: Mapping[str, Any], path: Sequence[str], override: Override) -> dict[str, Any]:
    """Return the tree with one value in it changed."""
    if override.is_sweep_override() or override.is_delete():
        raise ConfigError(f"{override.input_line}: only KEY=VALUE can be said here.")
    if len(path) == 1:
        return {**tree, path[0]: override.value()}
    below = tree.get(path[0])
    if below is None and override.is_force_add():
        below = {}
    if isinstance(below, str) and override.is_force_add() and ".models." in override.key_or_group:
        below = {"model": below}
    if not isinstance(below, Mapping):
        raise ConfigError(
            f"{override.input_line}: there is no {override.key_or_group}."
            f"{did_you_mean(path[0], tree)}"
        )
    return {**tree, path[0]: _replaced(below, path[1:], override)}


def debugging() -> bool:
    """Say whether errors are wanted with their tracebacks."""
    return os.environ.get(DEBUG) == "1"


@contextmanager
def explained(whole: bool, words: Sequence[str] = ()) -> Iterator[None]:
    """Turn what Hydra, OmegaConf and YAML refuse of a configuration into ConfigError.

    `words` are those that it is composed of; `whole`: let errors pass with their tracebacks.
    """
    try:
        yield
    except (CompactHydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        if whole:
            raise
        from sgdflow.config.refusals import refused

        raise ConfigError(refused(error, words)) from None
