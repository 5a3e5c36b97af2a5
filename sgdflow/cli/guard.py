"""Looks at the words of a sweep, and at the directory of it or of a run, before Hydra writes."""

from __future__ import annotations

import atexit
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from sgdflow.cli.leftovers import Leftovers
from sgdflow.config.job import hydra_config, in_multirun
from sgdflow.config.written import composed
from sgdflow.errors import ConfigError
from sgdflow.homes import untold
from sgdflow.records.owner import check_free, owned
from sgdflow.records.resume import check
from sgdflow.tracking import MEMORY


class Values(Callback):
    """Keeps a sweep over nothing from ending as if all were well."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End the program where a word leaves the multirun without a job."""
        if word := _without_values(config):
            raise SystemExit(
                f"{word}: stands for no value at all, so that there is nothing to run."
            )


class Directories(Callback):
    """Keeps two starts out of one directory, and notes which directories a start makes.

    Launchers pickle it into their workers: what is set in on_multirun_start arrives there.
    """

    def __init__(self) -> None:
        self._sweep: Path | None = None
        self._there: frozenset[str] = frozenset()

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End the program where another process works in the run directory."""
        with hydra_config(config):
            folder = directory("hydra.run.dir", config.hydra.run.dir)
        try:
            check_free(folder)
        except ConfigError as error:
            # Hydra turns other exceptions of callbacks into warnings.
            raise SystemExit(str(error)) from None
        if made := Leftovers.of(folder):
            made.hand_over()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Keep the sweep directory for the launching process, until that ends."""
        with hydra_config(config):
            folder = Path(str(config.hydra.sweep.dir)).absolute()
        made, kept = Leftovers.of(folder), ExitStack()
        self._there = frozenset() if made else frozenset(path.name for path in folder.iterdir())
        try:
            kept.enter_context(owned(folder))
        except ConfigError as error:
            raise SystemExit(str(error)) from None
        self._sweep = folder
        atexit.register(_end, os.getpid(), kept, made)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Note whether the directory of a job of the sweep is new."""
        if self._sweep is None or not in_multirun():
            return
        folder = Path(str(config.hydra.runtime.output_dir))
        below = folder.relative_to(self._sweep) if folder.is_relative_to(self._sweep) else Path()
        if below.parts and below.parts[0] not in self._there:
            Leftovers(folder, self._sweep / below.parts[0]).hand_over()


def directory(key: str, declared: object) -> Path:
    """Return a directory; end the program where it begins with ~, which Hydra takes for a name."""
    if str(declared).startswith("~"):
        raise SystemExit(f"{key}: '{declared}': {untold(str(declared))}")
    return Path(str(declared))


def _without_values(config: DictConfig) -> str:
    """Return the word that leaves a multirun without a job: a pattern or a range of nothing."""
    words = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    said = [str(word) for word in words] if isinstance(words, list) else []
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    for word, override in zip(said, parser.parse_overrides(said), strict=True):
        with suppress(HydraException):  # a range of another sweeper, which cannot be counted
            if override.is_sweep_override() and not any(True for _ in override.sweep_iterator()):
                return word
    return ""


def _end(process: int, kept: ExitStack, made: Leftovers | None) -> None:
    # A forked worker inherits what its launching process does at its exit.
    if process == os.getpid():
        kept.close()
        if made:
            # A multirun none of whose jobs began leaves no run in MLflow either.
            made.take_back("multirun.yaml", MEMORY)


class Resume(Callback):
    """Keeps a run directory from being overwritten by another run."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End the program where the directory holds another run."""
        with hydra_config(config):
            folder = Path(str(config.hydra.run.dir))
            if not (folder / "config.yaml").is_file():
                return
            own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            written = composed(own).written
        try:
            check(folder, written)
        except ConfigError as error:
            raise SystemExit(str(error)) from None
