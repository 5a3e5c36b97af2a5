"""Keeps a run directory from being overwritten by another run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from sgdflow.config.job import hydra_config
from sgdflow.errors import ConfigError
from sgdflow.records.resume import check


class Guard(Callback):
    """Looks into the run directory before Hydra writes anything there."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """End the program where the directory holds another run."""
        with hydra_config(config):
            folder = Path(str(config.hydra.run.dir))
            if not (folder / "config.yaml").is_file():
                return
            own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            plain = OmegaConf.to_container(own, resolve=True, throw_on_missing=False)
        assert isinstance(plain, dict)
        try:
            check(folder, {str(key): value for key, value in plain.items()})
        except ConfigError as error:
            # Hydra turns other exceptions of callbacks into warnings.
            raise SystemExit(str(error)) from None
