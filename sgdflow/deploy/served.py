"""An exported graph as an MLflow model; MLflow copies this file into the model and runs it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from pandas import DataFrame

import sgdflow
from sgdflow.api import Prediction
from sgdflow.tracking.model import FOLDER


class Served(PythonModel):
    """Answers rows of inputs, each with an output or with why there is none."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the graph with its parameters; the models' keys come from the environment."""
        # Whoever serves a model has chosen it; MLflow runs its code in any case.
        self._flow = sgdflow.load(context.artifacts[FOLDER], trust=True)

    # MLflow takes other annotations for a schema, and warns where there is none.
    def predict(
        self, context: PythonModelContext, model_input: DataFrame, params: object = None
    ) -> list[dict[str, Any]]:
        """Return {"output": ...} or {"error": ...} for each row."""
        rows = [
            json.dumps(row, ensure_ascii=False, default=str)
            for row in model_input.to_dict("records")
        ]
        answers: list[Prediction] = []
        # In a thread of its own: whoever calls may be in an event loop.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self._flow.predict_lines, rows, answers.append).result()
        return [json.loads(answer.as_json()) for answer in answers]


set_model(Served())
