"""What Hydra says of the job that runs: its directories, its place in a multirun."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf


def run_directory() -> str:
    """Return the output directory of the running job."""
    return str(HydraConfig.get().runtime.output_dir)


def same_directory() -> str:
    """Return the override that leads another start of the command to the same directory."""
    config = HydraConfig.get()
    if config.mode == RunMode.MULTIRUN:
        folder = Path(str(config.sweep.dir))
        here = working_directory()
        shown = folder.relative_to(here) if folder.is_relative_to(here) else folder
        return f"hydra.sweep.dir={shown}"
    return f"hydra.run.dir={config.run.dir}"


def together() -> str:
    """Return what jobs that share limits have in common: the directory of the sweep, or run."""
    config = HydraConfig.get()
    return str(config.sweep.dir) if in_multirun() else run_directory()


def aims() -> int:
    """Return how many numbers the sweeper wants of a job; 0 where it looks at none."""
    if not in_multirun():
        return 0
    directions = HydraConfig.get().sweeper.get("direction")
    return len(directions) if OmegaConf.is_list(directions) else int(directions is not None)


def job_number() -> str:
    """Return which job of a multirun is running."""
    return str(HydraConfig.get().job.num)


def job_name() -> str:
    """Return what the log file of a job is called, without its ending."""
    return str(HydraConfig.get().job.name)


def leaves_trace() -> bool:
    """Say whether Hydra notes down what it runs."""
    return HydraConfig.get().output_subdir is not None


def sweep_words() -> str:
    """Return a heading that names the job of a multirun; empty for a single run."""
    config = HydraConfig.get()
    if config.mode != RunMode.MULTIRUN:
        return ""
    # What the words refer to in the environment stays there.
    job = OmegaConf.to_container(config.job, resolve=False)
    assert isinstance(job, dict)
    return f"\njob {config.job.num}: {job['override_dirname']}\n"


def in_multirun() -> bool:
    """Say whether the running job is one of several."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def chosen_experiment() -> str | None:
    """Return the name of the experiment file (experiments=NAME) that the command chose."""
    if not HydraConfig.initialized():
        return None
    return HydraConfig.get().runtime.choices.get("experiments")


def chosen() -> Mapping[str, str]:
    """Return the choice of each group; empty outside of a job."""
    if not HydraConfig.initialized():
        return {}
    choices = HydraConfig.get().runtime.choices
    return {str(group): str(choice) for group, choice in choices.items() if choice is not None}


def working_directory() -> Path:
    """Return where the command was given: hydra.job.chdir may have moved the job since."""
    if HydraConfig.initialized():
        return Path(HydraConfig.get().runtime.cwd)
    return Path.cwd()


@contextmanager
def where_given() -> Iterator[None]:
    """Work where the command was given: relative paths in it start there.

    hydra.job.chdir, or the launcher of a job, may have begun the job elsewhere.
    """
    folder = working_directory()
    with chdir(folder) if folder.is_dir() else nullcontext():
        yield


@contextmanager
def hydra_config(config: DictConfig) -> Iterator[None]:
    """Let ${hydra:...} resolve; Hydra itself sees to it only in a job."""
    hydra = HydraConfig.instance()
    before = hydra.cfg
    hydra.set_config(config)
    try:
        yield
    finally:
        hydra.cfg = before
