"""Logs the best graph of a run as an MLflow model, which `mlflow models serve` answers with."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sgdflow.config.documents import read_mapping
from sgdflow.config.prepare import Prepared
from sgdflow.config.program import build_program
from sgdflow.config.targets import unreachable
from sgdflow.deploy.export import folder_name, write_folder
from sgdflow.prompting.templates import Prompts
from sgdflow.tracking import MEMORY, store_uri

log = logging.getLogger(__name__)

_SERVED = Path(__file__).with_name("served.py")


def keep_model(prepared: Prepared, raw: Mapping[str, Any], prompts: Prompts, folder: Path) -> None:
    """Log the model where the configuration wants it; a store that fails is a warning."""
    settings = prepared.config.tracking
    splits = prepared.problem.splits
    example = next(iter((*splits.train, *splits.validation, *splits.test)), None)
    if settings.kind != "mlflow" or not settings.model or example is None:
        return
    from sgdflow.tracking.client import reason_of
    from sgdflow.tracking.model import log_model
    from sgdflow.tracking.run_file import run_id_of

    run_id = run_id_of(folder / MEMORY)
    if run_id is None:
        return

    if lost := next(unreachable(prepared.config.graph), ""):
        log.info("MLflow has a record of the run without a model: %s", lost)
        return
    graph = prepared.problem.graph
    try:
        with tempfile.TemporaryDirectory() as place:
            name = folder_name(graph.name)
            exported = Path(place) / name
            program = build_program(raw, prompts)
            parameters = read_mapping(folder / "parameters.yaml")
            write_folder(program, parameters, prompts, exported, {"source": run_id})
            inputs = {name: example.inputs[name] for name in graph.inputs}
            log_model(store_uri(settings.uri), run_id, name, exported, _SERVED, inputs)
    except Exception as error:
        log.warning(
            "MLflow has not recorded the model (%s); `sgdflow export` takes it from the run "
            "directory.",
            reason_of(error),
        )
