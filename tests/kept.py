"""What tests make from the same files again and again, made once a process.

Nothing that is looked at changes: a template is read and compiled once for each text, a shipped
file of the configuration is read once, those that the same words choose are joined once, and the
tables of an MLflow store are a copy of those that MLflow itself has made first.
"""

from __future__ import annotations

import pickle
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import Overrides
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins

from sgdflow.config.paths import conf_folder
from sgdflow.config.searchpath import Taken
from sgdflow.prompting import templates
from sgdflow.prompting.sandbox import Sandbox
from sgdflow.prompting.sources import Source
from sgdflow.tracking import client

_OPTIONS = ("finalize", "trim_blocks", "lstrip_blocks", "keep_trailing_newline", "autoescape")
_THEIRS = (f"file://{conf_folder()}", "pkg://")
_RUNS = f"{Taken.scheme()}://"


def keep_all(patched: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep what is made for as long as the patches last; the folder holds a store's tables."""
    _keep_templates(patched)
    _keep_files(patched)
    _keep_choices(patched)
    _keep_tables(patched, folder / "tables.db")


def _keep_templates(patched: pytest.MonkeyPatch) -> None:
    sources: dict[Any, Source] = {}
    codes: dict[Any, Any] = {}
    compiled = Sandbox.compile

    def read(environment: Sandbox, name: str, text: str) -> Source:
        known = (_options(environment), name, text)
        if known not in sources:
            sources[known] = Source(environment, name, text)
        return sources[known]

    def compile_(environment: Sandbox, source: Any, *more: Any, **named: Any) -> Any:
        if not isinstance(source, str):
            return compiled(environment, source, *more, **named)
        known = (_options(environment), source, more, *named.items())
        if known not in codes:
            codes[known] = compiled(environment, source, *more, **named)
        return codes[known]

    patched.setattr(templates, "Source", read)
    patched.setattr(Sandbox, "compile", compile_)


def _options(environment: Sandbox) -> tuple[Any, ...]:
    return tuple(getattr(environment, name) for name in _OPTIONS)


def _keep_files(patched: pytest.MonkeyPatch) -> None:
    """Of the shipped configuration and of Hydra's own."""
    Plugins.instance()  # finds the classes that read files
    readers = SourcesRegistry.instance().types
    packed: dict[tuple[str, str], bytes] = {}

    def keep(reader: Any) -> None:
        load = reader.load_config

        def loaded(source: Any, config_path: str) -> Any:
            known = (source.full_path(), config_path)
            if not known[0].startswith(_THEIRS):
                return load(source, config_path)
            if known not in packed:
                packed[known] = pickle.dumps(load(source, config_path))
            return pickle.loads(packed[known])  # whoever gets it changes it

        patched.setattr(reader, "load_config", loaded)

    keep(readers["file"])
    keep(readers["pkg"])


def _keep_choices(patched: pytest.MonkeyPatch) -> None:
    """Of shipped files: which ones the words choose, and what they hold together."""
    lists: dict[Any, Any] = {}
    packed: dict[Any, bytes] = {}
    loading: Any = config_loader_impl
    choose = loading.create_defaults_list
    join = ConfigLoaderImpl._compose_config_from_defaults_list

    def chosen(*, repo: Any, overrides_list: Any, **how: Any) -> Any:
        values = Overrides(repo, overrides_list).config_overrides
        groups = [one.input_line for one in overrides_list if one not in values]
        places = _shipped(repo, groups)
        if not places:
            return choose(repo=repo, overrides_list=overrides_list, **how)
        known = (*places, *groups, *how.values())
        if known not in lists:
            lists[known] = choose(repo=repo, overrides_list=overrides_list, **how)
        return replace(lists[known], config_overrides=values)

    def joined(loader: Any, defaults: Any, repo: Any) -> Any:
        places = _shipped(repo, [str(one.config_path) for one in defaults])
        if not places:
            return join(loader, defaults, repo)
        known = (*places, repr(defaults))
        if known not in packed:
            packed[known] = pickle.dumps(join(loader, defaults, repo))
        return pickle.loads(packed[known])

    patched.setattr(config_loader_impl, "create_defaults_list", chosen)
    patched.setattr(ConfigLoaderImpl, "_compose_config_from_defaults_list", joined)


def _shipped(repo: Any, names: Sequence[str]) -> Sequence[str]:
    """Return where files of these names are found; nothing where they may be the user's own."""
    places = [str(source.full_path()) for source in repo.get_sources()]
    own = any("run/" in name for name in names) or not all(map(_ours, places))
    return [] if own else [place for place in places if not place.startswith(_RUNS)]


def _ours(place: str) -> bool:
    return place.startswith((*_THEIRS, _RUNS, "structured://", "sgdflow-shipped://"))


def _keep_tables(patched: pytest.MonkeyPatch, tables: Path) -> None:
    create, seen = client._create, False

    def made(file: Path, uri: str, experiment: str) -> None:
        nonlocal seen
        if not seen:  # MLflow takes seconds to be imported
            client.quieten()
            _copy_tables(patched, tables)
            seen = True
        create(file, uri, experiment)

    patched.setattr(client, "_create", made)


def _copy_tables(patched: pytest.MonkeyPatch, tables: Path) -> None:
    from mlflow.store.db import utils

    made: Any = utils
    initialize = made._initialize_tables

    def initialized(engine: Any) -> None:
        if engine.name != "sqlite" or not made._is_empty_database(engine):
            initialize(engine)
        elif tables.exists():
            _copy(tables, Path(engine.url.database))
        else:
            initialize(engine)
            whole = tables.with_name(f"{threading.get_ident()}.db")
            _copy(Path(engine.url.database), whole)
            whole.replace(tables)

    patched.setattr(utils, "_initialize_tables", initialized)


def _copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
        one.backup(other)
