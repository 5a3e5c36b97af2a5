"""Keeps secrets that stand in a user's files out of what Hydra writes."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from sgdflow.config.written import concealed

log = logging.getLogger(__name__)


class Cover(Callback):
    """Puts references in the place of secrets; those of the command line are gone before."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Change the configuration that the sweep's directory and a launcher's files will hold."""
        for key, hidden in _hidden(config).items():
            with read_write(config), open_dict(config):
                config[key] = hidden

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Write anew what Hydra has written right before, where secrets are in it."""
        folder = OmegaConf.select(config, "hydra.output_subdir")
        if folder is None or not _hidden(config):
            return
        place = Path(str(config.hydra.runtime.output_dir)) / str(folder)
        for file in place.glob("*.yaml"):
            _cover(file)


def cover_log() -> None:
    """Let Hydra's log of a whole configuration, at hydra.verbose=true, hold no secrets."""
    logging.getLogger("hydra._internal.hydra").addFilter(_covered)


def _covered(record: logging.LogRecord) -> bool:
    if isinstance(record.msg, str) and "\n" in record.msg:
        try:
            found = yaml.safe_load(record.msg)
        except yaml.YAMLError:
            return True
        if isinstance(found, dict):
            hidden, given = concealed(found)
            record.msg = yaml.safe_dump(hidden, sort_keys=False) if given else record.msg
    return True


def _hidden(config: DictConfig) -> Mapping[str, Any]:
    """Return the parts of a configuration that hold secrets, without them."""
    before = OmegaConf.to_container(config, resolve=False, throw_on_missing=False)
    assert isinstance(before, dict)
    after, given = concealed({str(key): value for key, value in before.items()})
    os.environ.update(given)  # what refers to it still finds it
    return {key: value for key, value in after.items() if value != before[key]}


def _cover(file: Path) -> None:
    """Replace a file; one that cannot be replaced must not stay as it is."""
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        if isinstance(found, dict):
            new = file.with_name(f"{file.name}.new")
            text = yaml.safe_dump(concealed(found)[0], sort_keys=False, allow_unicode=True)
            new.write_text(text, encoding="utf-8")
            new.replace(file)
    except (OSError, ValueError, yaml.YAMLError) as error:
        file.unlink(missing_ok=True)
        log.warning("%s is not kept: secrets could not be taken out of it (%s).", file, error)
