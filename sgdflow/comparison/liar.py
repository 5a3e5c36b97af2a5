"""The paper's ablation of LIAR beside recorded runs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sgdflow.comparison.cells import Cell, make_cell
from sgdflow.comparison.keys import values_of, varying
from sgdflow.comparison.outcomes import Outcome

_GRAPH = "liar"
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
PUBLISHED = {_FULL: 0.712}
CAVEAT = (
    "The paper scored its graph on the 50 examples it was optimised on, with gpt-4o-mini and "
    "gpt-4-turbo; ours are final {split} scores of the models in llm.models."
)


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
        if outcome.run.params.get("graph.name") == _GRAPH:
            is_liar = True
            if name := variant_of(outcome):
                ours[name].append(outcome)
    if not is_liar:
        return ()
    return tuple(
        Ablation(name, PUBLISHED.get(name), _cell(ours[name]) if name in ours else None)
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
