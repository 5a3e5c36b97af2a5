"""What the paper reports of BIG-Bench Hard and LIAR, and which recorded runs stand beside it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sgdflow.comparison.averages import Cell, make_cell
from sgdflow.comparison.outcomes import Outcome, values_of, varying

_PUZZLES = ("logical_deduction", "tracking_shuffled_objects")
_SIZES = ("three_objects", "five_objects", "seven_objects")
ALGORITHMIC = (
    "boolean_expressions",
    "dyck_languages",
    "geometric_shapes",
    "logical_deduction",
    "multistep_arithmetic_two",
    "navigate",
    "object_counting",
    "temporal_sequences",
    "tracking_shuffled_objects",
    "web_of_lies",
    "word_sorting",
)
NLP = (
    "causal_judgement",
    "date_understanding",
    "disambiguation_qa",
    "formal_fallacies",
    "hyperbaton",
    "movie_recommendation",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "sports_understanding",
)
HALVES = {"NLP": NLP, "algorithmic": ALGORITHMIC, "all": NLP + ALGORITHMIC}
BBH_PUBLISHED = {"NLP": 0.825, "algorithmic": 0.856}
"""What arXiv 2412.03624 reports for semantic gradient descent."""

_LIAR = "liar"
_NODES = ("statement", "party", "job_title", "source", "state", "judge")
_FULL = "full method"
_NAMED = {
    "semantic": _FULL,
    "no_gradient": "no gradient",
    "no_neighbors": "no neighbors",
    "no_gate": "no gate",
}
VARIANTS = (*_NAMED.values(), *(f"only {node}" for node in _NODES))
_METHODS = _NAMED | {f"only_{node}": _FULL for node in _NODES}  # their parameters say which
# Of the ablation in arXiv 2412.03624 nothing else was available to us.
LIAR_PUBLISHED = {_FULL: 0.712}
CAVEAT = (
    "The paper scored its graph on the 50 examples it was optimised on, with gpt-4o-mini and "
    "gpt-4-turbo; ours are final {split} scores of the models in llm.models."
)


def task_of(file: str) -> str:
    """Return the task of a file: three sizes of one puzzle are one task."""
    for puzzle in _PUZZLES:
        if file.startswith(f"{puzzle}_") and file.removeprefix(f"{puzzle}_") in _SIZES:
            return puzzle
    return file


def files_of(task: str) -> tuple[str, ...]:
    """Return the files of a task."""
    return tuple(f"{task}_{size}" for size in _SIZES) if task in _PUZZLES else (task,)


def missing(half: str, files: Iterable[str]) -> tuple[str, ...]:
    """Return the tasks of a half that are not there; single files where a task is there in part."""
    there = set(files)
    found: list[str] = []
    for task in HALVES[half]:
        lacking = [file for file in files_of(task) if file not in there]
        found += [task] if len(lacking) == len(files_of(task)) else lacking
    return tuple(found)


def halves_of(file: str) -> tuple[str, ...]:
    """Return the columns that a file's score belongs to; none if it is of another benchmark."""
    return tuple(half for half, tasks in HALVES.items() if task_of(file) in tasks)


@dataclass(frozen=True, slots=True)
class Ablation:
    """One line of the ablation table."""

    variant: str
    published: float | None
    """None: not available to us."""
    cell: Cell | None
    """Ours; None: not run."""


def ablations(outcomes: Sequence[Outcome]) -> tuple[Ablation, ...]:
    """Return the paper's ablations beside ours; nothing if no run has the graph of LIAR."""
    ours: dict[str, list[Outcome]] = defaultdict(list)
    is_liar = False
    for outcome in outcomes:
        if outcome.run.params.get("graph.name") == _LIAR:
            is_liar = True
            if name := variant_of(outcome):
                ours[name].append(outcome)
    if not is_liar:
        return ()
    return tuple(
        Ablation(name, LIAR_PUBLISHED.get(name), _cell(ours[name]) if name in ours else None)
        for name in VARIANTS
    )


def variant_of(outcome: Outcome) -> str | None:
    """Say which of the paper's variants a run is, by its method and what the method switches."""
    params = outcome.run.params
    named = _METHODS.get(params.get("method.name", ""))
    if named is None:
        return None
    switched = [] if named == _FULL else [named]
    if params.get("method.backward") == "null":
        switched.append("no gradient")
    elif "false" in values_of(outcome.run, ("method.backward.neighbors",)):
        switched.append("no neighbors")
    if params.get("method.gate.rule") == "always":
        switched.append("no gate")
    switched += _alone(params.get("method.update.parameters"))
    distinct = list(dict.fromkeys(switched))
    if len(distinct) > 1 or any(name not in VARIANTS for name in distinct):
        return None
    return distinct[0] if distinct else _FULL


def _alone(parameters: str | None) -> list[str]:
    """Return the variant that optimises these parameters; null are all."""
    try:
        names = json.loads(parameters or "null")
    except ValueError:
        names = [parameters]
    if names is None:
        return []
    return [f"only {str(names[0]).split('.')[0]}"] if len(names) == 1 else ["another choice"]


def _cell(outcomes: Sequence[Outcome]) -> Cell:
    keys = varying([outcome.run for outcome in outcomes])
    return make_cell(outcomes, lambda outcome: values_of(outcome.run, keys))
