"""Runs a command on the configuration that Hydra composes, once or for each job of a multirun."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
from omegaconf import DictConfig

from sgdflow.cli.cover import cover_log
from sgdflow.cli.leftovers import handed_over
from sgdflow.cli.options import parted, repeated, said_after, unfollowed
from sgdflow.cli.told import Told
from sgdflow.config.compose import DEBUG, debugging, explained, plain
from sgdflow.config.documents import check_choices
from sgdflow.config.job import (
    in_multirun,
    job_name,
    job_number,
    leaves_trace,
    run_directory,
    same_directory,
    working_directory,
)
from sgdflow.config.paths import conf_folder
from sgdflow.config.project import VARIABLE, check_reached, look_here
from sgdflow.config.searchpath import look_into_own
from sgdflow.config.secret_words import without_secrets
from sgdflow.config.words import readable
from sgdflow.errors import ConfigError, SgdflowError, listed
from sgdflow.terminal import say
from sgdflow.tracking.registry import registered

log = logging.getLogger(__name__)

Aims = float | tuple[float, float] | None
"""What a sweeper goes by: a score, or a score and a cost."""
Command = Callable[[Mapping[str, Any]], Aims]

_NO_TRACE = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "~hydra.callbacks.directories",
    "~hydra.callbacks.sweep",
)


def run_untraced(command: Command, words: Sequence[str]) -> int:
    """Run a command that leaves nothing behind: no run directory, no log file."""
    with TemporaryDirectory() as folder:  # Hydra notes each sweep somewhere
        return run_hydra(command, words, [*_NO_TRACE, f"hydra.sweep.dir={folder}"])


def run_hydra(command: Command, words: Sequence[str], own: Sequence[str] = ()) -> int:
    """Run a command once, or once for each job of a multirun, and return the exit code.

    `own` are settings of the command itself, which come after those of the user. Raises
    SgdflowError for whatever the user can mend.
    """
    options, settings = parted(words)
    for folder in said_after("--config-dir", options):
        check_choices(Path(folder))
    traced = not {*_NO_TRACE} & {*own}
    for line in (unfollowed(options, settings) if traced else "", repeated(settings)):
        say(f"{line}\n" if line else "", sys.stderr)
    # Jobs find secrets in the environment, wherever a launcher starts them on this machine.
    settings, secrets = without_secrets(settings)
    os.environ.update(secrets)
    settings = [*readable(settings), *own]
    look_here(Path.cwd())
    # Hydra reads options before settings only.
    sys.argv = [sys.argv[0], *options, *settings]
    cover_log()
    look_into_own()
    with Told.kept() as told:
        whole = debugging()
        with explained(whole, settings), _judging(settings, told, whole), _reported_by_us():
            hydra.main(str(conf_folder()), "config", version_base="1.3")(
                _Job(command, whole, told, os.environ.get(VARIABLE))
            )()
    return 0


@dataclass(frozen=True)
class _Job:
    """One run of a command; launchers pickle it into their workers."""

    command: Command
    whole: bool
    """Let errors of the configuration pass with their tracebacks."""
    told: Told
    project: str | None
    """What the environment names, which not every worker inherits."""

    def __call__(self, config: DictConfig) -> Aims:
        made = handed_over(Path(run_directory()))
        if self.project:
            os.environ[VARIABLE] = self.project
        look_here(working_directory())
        try:
            with explained(self.whole):
                check_reached(working_directory())
                return self.command(registered(plain(config)))
        except SgdflowError as error:
            if in_multirun():
                self._tell(error)
            if made and isinstance(error, ConfigError):
                made.take_back(f"{job_name()}.log")
            if in_multirun():  # the other jobs go on
                raise
            # Past Hydra, which would add words of its own.
            say(f"{error}\n", sys.stderr)
            raise SystemExit(1) from None
        except Exception:
            self.told.crashed()
            raise

    def _tell(self, error: SgdflowError) -> None:
        again = same_directory() if leaves_trace() else ""
        first = self.told.first(str(error), job_number(), again)
        said = str(error) if first == job_number() else f"the same as job {first}"
        log.error("job %s: %s", job_number(), said)


@contextmanager
def _reported_by_us() -> Iterator[None]:
    """Have Hydra leave the reporting of errors to us for as long as the block lasts."""
    before = os.environ.get(DEBUG)
    os.environ[DEBUG] = "1"
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(DEBUG, None)
        else:
            os.environ[DEBUG] = before


@contextmanager
def _judging(settings: Sequence[str], told: Told, whole: bool) -> Iterator[None]:
    """Say how a multirun ended whose jobs have told their mistakes, and what Hydra could not do."""
    try:
        yield
    except SgdflowError as error:
        if not (failed := told.failed()):
            raise
        who = f"Job {failed[0]}" if len(failed) == 1 else f"{len(failed)} jobs ({listed(failed)})"
        again = told.again()
        on = f" To go on once that is mended: the same command with {again}" if again else ""
        raise SgdflowError(f"{who} failed; why is said above.{on}") from error
    except (OSError, ValueError) as error:
        # Those of a job are our own mistakes.
        if told.has_crashed() or whole:
            raise
        from sgdflow.config.refusals import refused

        raise ConfigError(refused(error, settings)) from None
