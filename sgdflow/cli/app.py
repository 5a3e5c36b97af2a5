"""Runs a command on the configuration that Hydra composes, once or for each job of a multirun."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hydra
from omegaconf import DictConfig

from sgdflow.cli.options import parted
from sgdflow.config.compose import DEBUG, debugging, explained, plain
from sgdflow.config.job import in_multirun
from sgdflow.config.paths import conf_folder
from sgdflow.config.words import readable
from sgdflow.errors import ConfigError, SgdflowError

log = logging.getLogger(__name__)

Command = Callable[[Mapping[str, Any]], float | None]

NO_TRACE = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)
"""For a command that leaves nothing behind: no run directory, no log file."""


def run_hydra(command: Command, words: Sequence[str], own: Sequence[str] = ()) -> int:
    """Run a command once, or once for each job of a multirun, and return the exit code.

    `own` are settings of the command itself, which come after those of the user. Raises
    SgdflowError for whatever the user can mend.
    """
    whole, began = debugging(), False

    def task(config: DictConfig) -> float | None:
        nonlocal began
        began = True
        try:
            with explained(whole):
                return command(plain(config))
        except SgdflowError as error:
            if in_multirun():  # the other jobs go on
                log.error("%s", error)
                raise
            # Past Hydra, which would add words of its own.
            sys.stderr.write(f"{error}\n")
            raise SystemExit(1) from None

    options, settings = parted(words)
    settings = [*readable(settings), *own]
    # Modules that a user's configuration names are looked for where the user stands.
    sys.path.insert(0, "")
    # Hydra reads options before settings only.
    sys.argv = [sys.argv[0], *options, *settings]
    with explained(whole, settings):
        os.environ.setdefault(DEBUG, "1")  # Hydra then leaves the reporting of errors to us
        try:
            hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name="config")(
                task
            )()
        except (OSError, ValueError) as error:
            # Before a job begins these are about the command line; later they are our mistakes.
            if began or whole:
                raise
            from sgdflow.config.refusals import refused

            raise ConfigError(refused(error, settings)) from None
    return 0
