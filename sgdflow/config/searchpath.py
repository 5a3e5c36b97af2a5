"""The user's own ./conf, where Hydra looks before it looks into the shipped configuration."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from sgdflow.config.paths import own_conf


class OwnFirst(SearchPathPlugin):
    """Puts ./conf of the working directory first, so that its files hide shipped ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder, where there is one."""
        if own := own_conf():
            search_path.prepend("own", f"file://{own.resolve()}", "main")


def look_into_own() -> None:
    """Have Hydra look there; doing it again changes nothing."""
    Plugins.instance().register(OwnFirst)
