"""One transaction for many writes to a registry that is a sqlite file.

MLflow's client takes a transaction, and the disk's time, for each: four or five for a prompt.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import copy
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from sgdflow.tracking.store import sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def transaction(uri: str, client: MlflowClient) -> Iterator[Any]:
    """Yield what has the client's methods, and does all or nothing; another store does each.

    A database with several writers at a time would not do: MLflow rolls back what it tries again.
    """
    # Neither is public: where a version of MLflow has another name for it, each is written alone.
    registry = getattr(client, "_get_registry_client", lambda: None)()
    store = getattr(registry, "store", None)
    begin = getattr(store, "ManagedSessionMaker", None)
    if sqlite_file(uri) is None or begin is None:
        yield client
        return
    with begin(read_only=False) as session:
        bound: Any = copy(store)
        bound.ManagedSessionMaker = lambda **how: nullcontext(session)
        # What is returned beside a new version, and nobody here asks for, takes half of its time.
        bound.get_registered_model = lambda name: SimpleNamespace(tags={})
        bound._populate_model_version_aliases = lambda session, name, version: version
        yield bound
