"""What tests make from the same files again and again, made once a process.

Nothing that is looked at changes: a template is read and compiled once for each text, and the
tables of an MLflow store are a copy of those that MLflow itself has made first.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sgdflow.prompting import templates
from sgdflow.prompting.sandbox import Sandbox
from sgdflow.prompting.sources import Source
from sgdflow.tracking import client

_OPTIONS = ("finalize", "trim_blocks", "lstrip_blocks", "keep_trailing_newline", "autoescape")


def keep_all(patched: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep what is made for as long as the patches last; the folder holds a store's tables."""
    _keep_templates(patched)
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
