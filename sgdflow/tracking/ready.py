"""Stores that can be opened beside the work, told without MLflow, whose import takes seconds.

A sqlite file is known to be sound where this very MLflow has opened it before: a mark among the
tags of the experiment says so. Where nothing is yet, nothing can be wrong but the place.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile

from sgdflow.tracking.store import sqlite_file

MARK = "sgdflow.opened"
"""Tag of an experiment: which MLflow has opened the store, and in which form it is."""
_PATIENCE = 0.5
_FORM = "SELECT version_num FROM alembic_version"
_KNOWN = """
    SELECT e.lifecycle_stage, t.value FROM experiments e
    JOIN experiment_tags t ON t.experiment_id = e.experiment_id WHERE e.name = ? AND t.key = ?
"""


def is_ready(uri: str, experiment: str) -> bool:
    """Say whether runs will be recorded there, as far as that can be known before they are."""
    file = sqlite_file(uri)
    if file is None:
        return False
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=file.parent):
                return True
        return _opened(file, experiment)
    except (OSError, sqlite3.Error):
        return False  # whoever opens it finds out why


def mark(file: Path) -> str:
    """Return the mark of a store as it is."""
    with _reading(file) as store:
        return _mark(store)


def _opened(file: Path, experiment: str) -> bool:
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        return False
    with _reading(file) as store:
        found = store.execute(_KNOWN, (experiment, MARK)).fetchall()
        return found == [("active", _mark(store))]


def _reading(file: Path) -> closing[sqlite3.Connection]:
    address = f"{file.absolute().as_uri()}?mode=ro"
    return closing(sqlite3.connect(address, timeout=_PATIENCE, uri=True))


def _mark(store: sqlite3.Connection) -> str:
    forms = sorted(form for (form,) in store.execute(_FORM))
    return " ".join((version("mlflow"), *forms))
