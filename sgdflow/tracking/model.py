"""The best graph of a run as an MLflow model, made of an exported folder."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgdflow import __version__
from sgdflow.tracking.client import client, quieten

FOLDER = "exported"
"""Name of the folder among the model's artifacts."""


def log_model(
    uri: str, run_id: str, name: str, folder: Path, served: Path, inputs: Mapping[str, Any]
) -> str:
    """Log an exported folder as a model of a run, with `inputs` as its example; return its URI.

    `served` is the file that answers with the folder; MLflow copies it into the model.

    Nothing is called to find the signature. May raise what MLflow raises.
    """
    quieten()
    with warnings.catch_warnings():
        # MLflow advises types, already when it is imported, where an output may be anything.
        warnings.simplefilter("ignore", UserWarning)
        return _log_model(uri, run_id, name, folder, served, inputs)


def _log_model(
    uri: str, run_id: str, name: str, folder: Path, served: Path, inputs: Mapping[str, Any]
) -> str:
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    store = client(uri)
    experiment = store.get_run(run_id).info.experiment_id
    logged = store.create_logged_model(experiment, name=name, source_run_id=run_id)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model"
        save_model(
            path=str(path),
            python_model=str(served),
            artifacts={FOLDER: str(folder)},
            pip_requirements=[f"sgdflow=={__version__}"],
            signature=_signature(inputs),
            input_example=[dict(inputs)],
            mlflow_model=Model(run_id=run_id, model_id=logged.model_id),
        )
        store.log_model_artifacts(logged.model_id, str(path))
    store.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    store.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return f"models:/{logged.model_id}"


def _signature(inputs: Mapping[str, Any]) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema
    from mlflow.types.schema import AnyType

    anything: Any = AnyType
    kinds = {str: DataType.string, bool: DataType.boolean, int: DataType.long}
    kinds[float] = DataType.double
    columns: list[Any] = [
        ColSpec(kinds.get(type(value), anything()), name) for name, value in inputs.items()
    ]
    told: list[Any] = [
        ColSpec(anything(), "output"),
        ColSpec(DataType.string, "error", required=False),
    ]
    return ModelSignature(inputs=Schema(columns), outputs=Schema(told))
