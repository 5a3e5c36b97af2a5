"""The parent run of a multirun."""

from __future__ import annotations

import atexit
import os
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from sgdflow import __version__
from sgdflow.config.job import hydra_config
from sgdflow.errors import ConfigError
from sgdflow.secrets import looks_secret, masked
from sgdflow.tracking import MEMORY, PARENT_RUN, RUN_NAME, say_environment
from sgdflow.tracking.store import store_uri

Place = tuple[str, str]
"""Store and experiment."""


class Sweep(Callback):
    """Makes a run for a multirun and hands its id to every job through the environment.

    Launchers pickle it into their workers: what is set in on_multirun_start arrives there.
    """

    def __init__(self) -> None:
        self._place: Place | None = None
        self._parent: str | None = None
        self._keys: tuple[str, ...] = ()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the store and the parent run, in the launching process, before any job starts."""
        try:
            with hydra_config(config):
                place = _place(config)
                folder = Path(str(config.hydra.sweep.dir))
                if place is not None:
                    tracking = config.tracking
                    say_environment(os.environ, tracking.uri, str(tracking.experiment))
                    self._keys = tuple(_swept(config))
                    self._place, self._parent = place, _start(place, config, folder)
        except ConfigError as error:
            # Hydra turns exceptions of callbacks into warnings and would start the jobs.
            raise SystemExit(str(error)) from None
        # Hydra does not report the end of a multirun in which a job failed.
        atexit.register(self._end, False, os.getpid())

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Tell the job its parent, in the process that runs the job."""
        if self._parent is None:
            return
        os.environ[RUN_NAME] = _job_name(config, self._keys)
        if _place(config) == self._place:
            os.environ[PARENT_RUN] = self._parent
        else:
            # A sweep over tracking itself: the parent is in another store.
            os.environ.pop(PARENT_RUN, None)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Forget the parent: a worker may go on to other jobs."""
        if self._parent is not None:
            os.environ.pop(PARENT_RUN, None)
            os.environ.pop(RUN_NAME, None)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """End the parent run as its jobs ended."""
        self._end(True, os.getpid())

    def _end(self, ended: bool, process: int) -> None:
        # A forked worker inherits what its launching process does at its exit.
        if self._place is None or self._parent is None or process != os.getpid():
            return
        from sgdflow.comparison import write_jobs
        from sgdflow.tracking.multirun import end_parent

        (uri, _), parent = self._place, self._parent
        self._place = self._parent = None
        end_parent(uri, parent, ended, partial(write_jobs, uri, parent))


def _place(config: DictConfig) -> Place | None:
    """Return where a configuration records runs, None where it does not."""
    if OmegaConf.select(config, "tracking.kind") != "mlflow":
        return None
    return store_uri(config.tracking.uri), str(config.tracking.experiment or "sgdflow")


def _start(place: Place, config: DictConfig, folder: Path) -> str:
    """Return the parent run: the one that the sweep directory belongs to, or a new one."""
    from sgdflow.tracking.client import explained, prepare, start_run
    from sgdflow.tracking.run_file import remember, reopened

    uri, experiment = place
    experiment_id = prepare(uri, experiment)
    with explained(uri):
        run = reopened(uri, experiment_id, folder / MEMORY, finished=True)
        if run is None:
            run = start_run(uri, experiment_id, _name(config), _tags(config))
            remember(folder / MEMORY, run.id, "RUNNING")
        return run.id


def _name(config: DictConfig) -> str:
    """Return the experiment, or the graph and the method, and what is swept."""
    swept = _swept(config)
    choices = config.hydra.runtime.choices
    chosen = [choices.get("experiments")] if choices.get("experiments") else []
    chosen = chosen or [choices.get("graph"), choices.get("method")]
    fixed = [str(choice) for choice in chosen if choice and "," not in str(choice)]
    base = " ".join(fixed) or "multirun"
    return f"{base} over {', '.join(swept)}" if swept else base


def _job_name(config: DictConfig, keys: tuple[str, ...]) -> str:
    """Return what sets a job apart from the others: "semantic, seed=1"."""
    groups = config.hydra.runtime.choices
    words = (word.partition("=") for word in _words(config))
    given = {key.lstrip("+"): value for key, _, value in words}
    shown = (key for key in keys if key in given and not any(map(looks_secret, key.split("."))))
    # The run table has little room, and a choice of a group speaks for itself.
    return ", ".join(given[key] if key in groups else f"{key}={given[key]}" for key in shown)


def _words(config: DictConfig) -> list[str]:
    """Return the words of the command; what they refer to in the environment stays there."""
    words = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
    return [str(word) for word in words] if isinstance(words, list) else []


def _swept(config: DictConfig) -> list[str]:
    parsed = OverridesParser.create().parse_overrides(_words(config))
    keys = [override.key_or_group for override in parsed if override.is_sweep_override()]
    for declared in ("hydra.sweeper.params", "hydra.sweeper.search_space"):
        keys += [str(key) for key in OmegaConf.select(config, declared) or {}]
    return list(dict.fromkeys(keys))


def _tags(config: DictConfig) -> dict[str, str]:
    words = _words(config)
    shown = [masked(w) for w in words if not any(map(looks_secret, w.split("=")[0].split(".")))]
    swept = {key.split(".")[0] for key in _swept(config)}
    fixed = (
        {}
        if "experiments" in swept
        else {
            f"sgdflow.{group}": str(name)
            for group in ("graph", "task", "method", "llm")
            if group not in swept and (name := OmegaConf.select(config, f"{group}.name"))
        }
    )
    return {
        "sgdflow.kind": "multirun",
        "sgdflow.version": __version__,
        "sgdflow.overrides": " ".join(shown),
        **fixed,
    }
