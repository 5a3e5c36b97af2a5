"""Whether a further step could still learn anything from what a descent has come to."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from sgdflow.descent.method import Method, Problem
from sgdflow.executor.evaluation import Evaluator
from sgdflow.executor.graph import Parameters
from sgdflow.update import Past
from sgdflow.update.demonstrations import texts


def unteachable(
    problem: Problem,
    method: Method,
    evaluate: Evaluator,
    current: Parameters,
    history: Sequence[Past],
) -> int:
    """Return how many failures there are if none can teach anything; 0: some may.

    Each was shown to the critics of these very texts, and none of them asked for a change. They
    would say the same again where the last step has called no model. The `history` is that of
    the method: the critics of another one may have been others.
    """
    if not _repeats(problem, method):
        return 0
    train = problem.splits.train
    known = evaluate.some(current, train)
    if len(known.scores) < len(train):
        return 0
    silent = takewhile(lambda past: past.silent and past.parameters == current, reversed(history))
    taught = {example for past in silent for example in past.sampled}
    failing = {name for name, score in known.scores.items() if score < 1}
    return len(failing) if failing and failing <= taught else 0


def _repeats(problem: Problem, method: Method) -> bool:
    """Return whether what a failure teaches depends on the texts and the failure alone."""
    plain = (
        method.sample.examples == "failing"
        and method.sample.order == "waiting"
        and method.batch is None
        and not method.idle
        and not method.shuffle
        and method.differentiation is not None
        and method.verification is None
        and method.select.rule != "random"
        and method.pool.keep == 1
        and method.proposals.each == 1
    )
    return plain and len(texts(problem.graph, problem.optimised)) == len(problem.optimised)
