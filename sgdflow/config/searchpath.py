"""Where Hydra looks: into the user's own project, then into the shipped configuration."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from sgdflow.config.documents import check_own, read_mapping
from sgdflow.config.paths import conf_folder, own_conf, own_experiments

SHIPPED = "sgdflow"
"""Before a name: the shipped file of that name, also where one of the user's hides it."""
RUN, TAKEN = "run", ("graph", "task", "method", "llm")
"""Before the directory of a run: what it was made with, of one of these groups."""
_WHOLE = {"inputs", "nodes", "output"}
"""What a graph has that extends no other one."""
_ANEW = "__anew"
"""After a name: what the file of that name takes out before it is laid over others."""


class _Files(ConfigSource):
    """Files of a folder whose places are not quite their names."""

    @abstractmethod
    def place(self, name: str) -> Path | None:
        """Return where a group or a file would be, None where none of that name can be."""

    def package(self, name: str) -> str | None:
        """Return where the content of a file goes that does not say it."""
        return None

    def load_config(self, config_path: str) -> ConfigResult:
        """Return what a file holds."""
        file = self._file(config_path)
        if file is None:
            raise ConfigLoadError(f"Config not found : {config_path}")
        with file.open(encoding="utf-8") as opened:
            header = ConfigSource._get_header_dict(opened.read(512))
            opened.seek(0)
            config = OmegaConf.load(opened)
        header["package"] = header.get("package") or self.package(config_path)
        return ConfigResult(self.provider, f"{self.scheme()}://{self.path}", config, header)

    def is_group(self, config_path: str) -> bool:
        """Say whether there is such a folder."""
        folder = self.place(config_path)
        return folder is not None and folder.is_dir()

    def is_config(self, config_path: str) -> bool:
        """Say whether there is such a file."""
        return self._file(config_path) is not None

    def available(self) -> bool:
        """Say whether the folder is there."""
        return Path(self.path).is_dir()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return the names of groups and files in a group."""
        folder = self.place(config_path)
        found: list[str] = []
        for one in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else ():
            path = f"{config_path}/{one.name}" if config_path else one.name
            self._list_add_result(found, path, one.name, results_filter)
        return found

    def _file(self, name: str) -> Path | None:
        place = self.place(name.removesuffix(".yaml"))
        file = place.with_name(f"{place.name}.yaml") if place is not None else None
        return file if file is not None and file.is_file() else None


class Shipped(_Files):
    """The shipped files once more, as GROUP/sgdflow/NAME."""

    @staticmethod
    def scheme() -> str:
        """Return what the entry in the search path begins with."""
        return "sgdflow-shipped"

    def place(self, name: str) -> Path | None:
        """Return where a file is that is named so."""
        parts = name.split("/")
        if SHIPPED not in parts[1:]:
            return None
        parts.remove(SHIPPED)
        return Path(self.path, *parts)

    def package(self, name: str) -> str:
        """Return the group, as for the file without sgdflow in its name."""
        return ".".join(name.split("/")[: name.split("/").index(SHIPPED)])


class Taken(_Files):
    """What a run was made with, as GROUP/run/DIRECTORY."""

    @staticmethod
    def scheme() -> str:
        """Return what the entry in the search path begins with."""
        return "sgdflow-run"

    def place(self, name: str) -> Path | None:
        """Return where the configuration of the run is, without its ending."""
        group, run, directory = (*name.split("/", 2), "", "")[:3]
        known = group in TAKEN and run == RUN and directory
        return Path(self.path, directory, "config") if known else None

    def package(self, name: str) -> str:
        """Return the group."""
        return name.split("/")[0]

    def load_config(self, config_path: str) -> ConfigResult:
        """Return one group of the configuration."""
        result = super().load_config(config_path)
        result.config = OmegaConf.create(
            read_mapping(self._of(config_path))[self.package(config_path)]
        )
        return result

    def _of(self, name: str) -> Path:
        file = self._file(name)
        assert file is not None
        return file


class Own(_Files):
    """The files of a project: conf/GROUP/NAME.yaml, and experiments/NAME.yaml.

    A mapping with a `_target_` replaces what is there, as a null does, and is not merged into it:
    before such a file is laid over others, what it is going to replace is taken out.
    """

    @staticmethod
    def scheme() -> str:
        """Return what the entry in the search path begins with."""
        return "sgdflow-project"

    def place(self, name: str) -> Path | None:
        """Return where a group or a file is."""
        if name.split("/")[0] == "experiments" and (folder := own_experiments(Path(self.path))):
            own = folder.joinpath(*name.split("/")[1:])
            if own.exists() or own.with_name(f"{own.name}.yaml").is_file():
                return own
        return Path(self.path, "conf", name)

    def is_config(self, config_path: str) -> bool:
        """Say whether there is such a file, or one that takes something out."""
        base = config_path.removesuffix(_ANEW)
        if base == config_path or not super().is_config(base):
            return super().is_config(config_path)
        return bool(_replaced(super().load_config(base).config))

    def load_config(self, config_path: str) -> ConfigResult:
        """Return what a file holds, or what it takes out.

        A graph that says no name is called as its file is.
        """
        result = super().load_config(config_path.removesuffix(_ANEW))
        assert isinstance(result.config, DictConfig)
        keys = {str(key) for key in result.config}
        # A file that is laid over another one leaves that its name.
        if config_path.startswith("graph/") and _WHOLE <= keys and "name" not in keys:
            result.config["name"] = config_path.removesuffix(".yaml").rpartition("/")[2]
        cleared = _replaced(result.config)
        if config_path.endswith(_ANEW):
            result.config = OmegaConf.create(cleared)
        elif cleared:
            name = config_path.removesuffix(".yaml").rpartition("/")[2]
            raw = OmegaConf.to_container(result.config, resolve=False)
            assert isinstance(raw, dict)
            defaults = _with_before_self(raw.get("defaults") or [], f"{name}{_ANEW}")
            result.config = OmegaConf.create({**raw, "defaults": defaults})
        return result


def _with_before_self(defaults: list[Any], name: str) -> list[Any]:
    """Return a list of defaults in which `name` comes right before the file's own content."""
    at = [number for number, one in enumerate(defaults) if one == "_self_"]
    if at:
        return [*defaults[: at[0]], name, *defaults[at[0] :]]
    plain = [one for one in defaults if not _is_override(one)]
    return [*plain, name, "_self_", *(one for one in defaults if _is_override(one))]


def _is_override(default: Any) -> bool:
    return isinstance(default, Mapping) and any(str(key).startswith("override ") for key in default)


def _replaced(config: Any) -> dict[str, Any]:
    """Return a mapping that has null where this one has a mapping with a `_target_`."""
    plain = OmegaConf.to_container(config, resolve=False)
    return dict(_cleared(plain)) if isinstance(plain, dict) and "_target_" not in plain else {}


def _cleared(tree: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if not isinstance(value, Mapping) or key == "hydra":
            continue
        if "_target_" in value:
            yield key, None
        elif below := dict(_cleared(value)):
            yield key, below


class OwnFirst(SearchPathPlugin):
    """Puts the working directory first, so that its files hide shipped ones."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the project, where there is one, and the shipped files by their whole names."""
        if own_conf() or own_experiments():
            search_path.prepend("project", f"{Own.scheme()}://{Path.cwd()}", "main")
        search_path.append("shipped", f"{Shipped.scheme()}://{conf_folder()}")
        search_path.append("run", f"{Taken.scheme()}://{Path.cwd()}")


def look_into_own() -> None:
    """Have Hydra look there; raises ConfigError for files that have no bounds."""
    check_own()
    for plugin in (Own, Shipped, Taken, OwnFirst):
        Plugins.instance().register(plugin)
    _stand_for_plugins()


def _stand_for_plugins() -> None:
    """Let shipped files of launchers and sweepers stand for those that plugins bring.

    Hydra would lay a plugin's own of the same name over them, as their schema, with a warning.
    """
    shipped = conf_folder()
    for file in (shipped / "hydra").glob("*/**/*.yaml"):
        *groups, name = file.relative_to(shipped).parts
        place: Any = ConfigStore.instance().repo
        for group in groups:
            place = place.get(group, {})
        place.pop(name, None)
