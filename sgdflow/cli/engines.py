"""Gets a multirun ready for the engine that runs its jobs, or says what the engine lacks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sgdflow.cli.guard import directory
from sgdflow.config.job import hydra_config
from sgdflow.config.words import quoted
from sgdflow.config.workers import unanswered
from sgdflow.errors import did_you_mean

_EXTRAS: Mapping[str, tuple[str, str]] = {
    "hydra_joblib_launcher": ("joblib", "joblib"),
    "hydra_submitit_launcher": ("slurm", "submitit"),
    "hydra_ray_launcher": ("ray", "ray"),
    "hydra_optuna_sweeper": ("optuna", "optuna"),
}
"""Plugin of Hydra's -> the extra of sgdflow's that brings it, and the package it is made for."""
_DIRECTIONS = ("maximize", "minimize")
_AIMS = 2  # score and cost


class Engines(Callback):
    """Looks at the launcher and the sweeper before either is there.

    Launchers pickle it into their workers: what is set in on_multirun_start arrives there.
    """

    def __init__(self) -> None:
        self._given: str | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End the program where jobs could not run; lead them all to one directory."""
        if wrong := [*_lacking(config), *_aimless(config)] or [*_unreachable(config)]:
            # Hydra turns other exceptions of callbacks into warnings.
            raise SystemExit("\n".join(wrong))
        _lead_to_one_directory(config)
        self._given = str(Path.cwd())

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Tell a worker that has begun in another folder where the command was given."""
        if self._given is not None and config.hydra.runtime.cwd != self._given:
            with read_write(config.hydra):
                config.hydra.runtime.cwd = self._given
            HydraConfig.instance().set_config(config)


def _lacking(config: DictConfig) -> Iterator[str]:
    """Say what has to be installed."""
    for part in ("launcher", "sweeper"):
        target = str(OmegaConf.select(config, f"hydra.{part}._target_") or "")
        choice = f"hydra/{part}={config.hydra.runtime.choices.get(f'hydra/{part}')}"
        plugin = target.split(".")[1] if target.startswith("hydra_plugins.") else ""
        extra, package = _EXTRAS.get(plugin, ("", ""))
        if extra and not (_is_there(f"hydra_plugins.{plugin}") and _is_there(package)):
            yield f"{choice}: its package is not installed: pip install 'sgdflow[{extra}]'"
        elif target.endswith(".SlurmLauncher") and shutil.which("srun") is None:
            yield (
                f"{choice}: there is no srun on this machine. Give the command where Slurm is, or "
                "try it here with hydra/launcher=slurm_local."
            )


def _unreachable(config: DictConfig) -> Iterator[str]:
    """Say of a Ray cluster that nothing answers at its address, where Ray itself would wait."""
    address = str(OmegaConf.select(config, "hydra.launcher.ray.init.address") or "")
    if why := unanswered(address):
        yield (
            f"hydra.launcher.ray.init.address={address}: nothing answers there ({why}). `ray start "
            "--head` on the first machine prints the address; without one, Ray begins and ends "
            "with the sweep."
        )


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it
        return False


def _aimless(config: DictConfig) -> Iterator[str]:
    """Say what is wrong with what a sweeper is to aim at."""
    declared = OmegaConf.select(config, "hydra.sweeper.direction")
    if declared is None:
        return
    aims = list(declared) if OmegaConf.is_list(declared) else [declared]
    said = [str(getattr(aim, "name", aim)) for aim in aims]
    for aim in said:
        if aim not in _DIRECTIONS:
            hint = did_you_mean(aim, _DIRECTIONS)
            yield f"hydra.sweeper.direction: there is no '{aim}'.{hint} There are: {_SHOWN}."
    if not 1 <= len(said) <= _AIMS:
        yield (
            f"hydra.sweeper.direction: a run has a score and a cost, and {len(said)} directions "
            "are given. Write maximize (the score), or '[maximize,minimize]' (score and cost)."
        )


_SHOWN = " and ".join(_DIRECTIONS)


def _lead_to_one_directory(config: DictConfig) -> None:
    """Make the directory of the sweep absolute, wherever workers begin."""
    with hydra_config(config):
        if directory("hydra.sweep.dir", config.hydra.sweep.dir).is_absolute():
            return
    sweep = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    assert isinstance(sweep, dict)
    folder = f"{Path.cwd()}/{sweep['dir']}"
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = folder
        # Jobs compose their configuration anew, of the words.
        config.hydra.overrides.hydra.append(quoted("hydra.sweep.dir", folder))
