"""The columns of the runs table that `sgdflow ui` opens with.

MLflow keeps a view that somebody shares in a tag of the experiment; an address names it by its key.
"""

from __future__ import annotations

import json

VIEW = "sgdflow"
TAG = f"mlflow.sharedViewState.{VIEW}"
ADDRESS = f"viewStateShareKey={VIEW}"
_METRICS = (
    "score_final/test",
    "score_final/train",
    "score_final/validation",
    "total/accepted",
    "total/cost",
    "total/steps",
)


def view() -> str:
    """Return the tag's value: which columns are shown."""
    return json.dumps({"selectedColumns": [f"metrics.`{name}`" for name in _METRICS]})
