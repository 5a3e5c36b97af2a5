"""What a run leaves behind, written and read back, and said in words."""

from sgdflow.records.folder import FORMAT, SPLITS, RunFolder, as_json, as_yaml, read_json, read_yaml
from sgdflow.records.run import (
    chosen_score,
    result_record,
    scores_record,
    spent_record,
    step_record,
    summary_record,
)

__all__ = [
    "FORMAT",
    "SPLITS",
    "RunFolder",
    "as_json",
    "as_yaml",
    "chosen_score",
    "read_json",
    "read_yaml",
    "result_record",
    "scores_record",
    "spent_record",
    "step_record",
    "summary_record",
]
