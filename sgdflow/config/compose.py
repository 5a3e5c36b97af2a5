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
from sgdflow.config.words import parsed, readable
from sgdflow.errors import ConfigError, did_you_mean

DEBUG = "HYDRA_FULL_ERROR"


def plain(config: DictConfig) -> Mapping[str, Any]:
    """Return the resolved configuration as plain data.

    Model-written text must never stand in a DictConfig: it would be interpolated when read.
    """
    if missing := list(_missing(OmegaConf.to_container(config))):
        raise ConfigError("\n".join(f"{key}: is required and missing." for key in missing))
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _missing(value: object, path: str = "") -> Iterator[str]:
    """Yield the dotted keys that still wait for a value, in order."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _missing(inner, f"{path}.{key}" if path else str(key))
    elif value == "???":
        yield path


def compose(overrides: Sequence[str]) -> Mapping[str, Any]:
    """Return the configuration without running anything; raises ConfigError."""
    words = readable(overrides)
    with (
        explained(debugging(), words),
        hydra.initialize_config_dir(version_base="1.3", config_dir=str(conf_folder())),
    ):
        return plain(_composed(words))


def _composed(words: list[str]) -> DictConfig:
    try:
        return hydra.compose("config", words)
    except ValueError as error:
        if debugging():
            raise
        from sgdflow.config.refusals import refused

        raise ConfigError(refused(error, words)) from None


def changed(raw: Mapping[str, Any], overrides: Sequence[str]) -> Mapping[str, Any]:
    """Return a composed configuration with overrides of values, and of whole groups.

    It does not pass through OmegaConf again: what stands in it is no longer interpolated.
    """
    found = dict(raw)
    said = [one for word in readable(overrides) if (one := parsed(word)) is not None]
    chosen = [one for one in said if _is_group(one, raw)]
    if chosen:
        about = {one.key_or_group for one in chosen}
        words = [str(o.input_line) for o in said if o.key_or_group.split(".")[0] in about]
        composed = compose(words)
        found |= {group: composed[group] for group in about}
    for one in said:
        if one.key_or_group.split(".")[0] not in {o.key_or_group for o in chosen}:
            found = _replaced(found, one.key_or_group.split("."), one)
    return found


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
