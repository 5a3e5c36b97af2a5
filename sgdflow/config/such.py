"""What should stand in a configuration where something else does, shown as it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sgdflow.errors import listed

FORMS: Mapping[str, str] = {
    "list_type": "list",
    "tuple_type": "list",
    "dict_type": "mapping",
    "model_type": "mapping",
    "model_attributes_type": "mapping",
}
"""What pydantic calls otherwise than YAML does."""
_LONGEST, _MOST = 60, 5
_NODES = r"graph\.nodes"
_SCORES = r"task\.score\.objectives"
_WRITTEN: Mapping[str, str] = {
    _NODES: "{answer: {predecessors: [question]}}",
    rf"{_NODES}\.[^.]+": "{predecessors: [question]}",
    rf"{_NODES}\.[^.]+\.parameters": "{instruction: Answer the question.}",
    rf"{_NODES}\.[^.]+\.forward\.tools": "{calculate: {_target_: sgdflow.library.tools.calculate}}",
    r"graph\.parameters": "{tone: Be brief.}",
    rf"{_NODES}\.[^.]+\.forward\.reply|graph\.forward\.reply": "{format: text}",
    rf"({_NODES}\.[^.]+|graph)\.forward\.reply\.schema": '{department: text, urgency: "number?"}',
    _SCORES: "{right: {score: like_target}, kind: {score: {rubric: It is kind.}}}",
    rf"{_SCORES}\.[^.]+": "{score: like_target, weight: 1}",
}
"""How that is written which stands at a key, where it is no plain value."""


_SCORE_IS = (
    "A score is a name (like_target), {rubric: TEXT}, {objectives: {NAME: {score: ...}}} or "
    "{_target_: MODULE.FUNCTION} (docs/scoring.md)."
)
_NEEDED: Mapping[str, str] = {
    rf"(task\.score|{_SCORES}\.[^.]+\.score)(\._target_)?": _SCORE_IS,
    r"task\.path": "It names the file of the examples: task.path=qa.csv.",
    r"task\.inputs": "It lists the columns that the graph takes: task.inputs=[question].",
    r"task\.target": "It names the column of the expected answers: task.target=answer.",
    r"graph\.name": "It is what records call the graph: name: tickets. A file of conf/graph that "
    "has inputs, nodes and output needs none.",
    rf"{_NODES}\.[^.]+\.predecessors": "It lists inputs and nodes: predecessors: [question].",
}
"""What is to be said at a key that cannot be left out, or that holds something else."""


def needed(path: str) -> str:
    """Say what stands at a key that holds nothing of use; empty where its name says it."""
    found = (told for pattern, told in _NEEDED.items() if re.fullmatch(pattern, path))
    return next((f" {told}" for told in found), "")


def such(kind: str, value: object, path: str, context: Mapping[str, Any]) -> str:
    """Show how a list, a mapping or a function is written that stands at a dotted key."""
    for pattern, written in _WRITTEN.items():
        if FORMS[kind] == "mapping" and re.fullmatch(pattern, path):
            own = rf"{_SCORES}\.[^.]+"
            short = isinstance(value, str) and len(value) <= _LONGEST and "\n" not in value
            named = short and pattern == own
            return f", such as {{score: {value}, weight: 1}}" if named else f", such as {written}"
    if FORMS[kind] == "list" and isinstance(value, dict) and value:
        return f", such as [{listed(map(str, value))}]" if len(value) <= _MOST else ""
    if not isinstance(value, str) or "\n" in value or len(value) > _LONGEST:
        return ""
    if FORMS[kind] == "list":
        return f", such as [{value}]"
    return f", such as {{_target_: {value}}}" if context.get("class_name") == "Target" else ""


def function_of(path: str, value: object) -> str:
    """Show how a function or a template is written that is named where a node says more."""
    if not isinstance(value, str) or not re.fullmatch(
        rf"{_NODES}\.[^.]+\.(forward|backward)", path
    ):
        return ""
    return f", such as {{{'prompt' if value.endswith('.jinja') else '_target_'}: {value}}}"
