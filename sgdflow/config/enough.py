"""Whether there are enough examples for what a method wants to show with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sgdflow.config.legs import SEQUENCE, in_leg
from sgdflow.data import Splits
from sgdflow.descent.method import Leg, Method
from sgdflow.errors import plural
from sgdflow.update.statistics import gains_needed, level_left


def fitted(method: Method, splits: Splits) -> Method:
    """Return the method without a confirmation that is not required and that nothing can give."""
    for leg in method.legs:
        one = fitted(leg.after(0, method), splits)
        if one.unconfirmed:
            return replace(method, confirm=None, unconfirmed=one.unconfirmed)
    if method.legs:
        return method
    confirm = method.confirm
    if confirm is None or confirm.required or not method.stop.steps:
        return method
    why = ""
    have, needed = len(splits.validation), gains_needed(confirm.level)
    if method.gate.examples == "validation":
        why = "the validation examples decide at the gate (method.gate.examples=validation)"
    elif method.pool.scored and (method.lazy or method.batch):
        why = "the validation examples choose in the pool (method.pool)"
    elif have < needed:
        there = plural(have, "validation example") if have else "no validation example"
        why = (
            f"there {'is' if have < 2 else 'are'} {there}, and it takes {needed} "
            f"(task.splits.validation) at method.confirm.level={confirm.level:g}"
        )
    return replace(method, confirm=None, unconfirmed=why) if why else method


def problems(method: Method, splits: Splits, parameters: int) -> Iterator[str]:
    """Yield what these examples can never show where so many parameters may change."""
    if method.legs:
        yield from _of_legs(method, splits)
        return
    gate = method.gate
    if gate.examples == "validation" and not splits.validation:
        yield (
            "method.gate.examples: validation, but there is no validation example. "
            "Set task.splits.validation to some, or method.gate.examples=batch."
        )
        return
    if gate.rule == "paired" and method.stop.steps:
        yield from _selected(method)
        tests = method.asked(parameters)
        level = gate.after(0, tests).level
        have, needed = method.compared(splits), gains_needed(level)
        if have < needed:
            yield (
                f"method.gate.level: {gate.level:g} can never be reached with "
                f"{plural(have, 'example')}: the first of {plural(tests, 'test')} "
                f"has {level:.2g} of it and needs {plural(needed, 'example')} on which it is "
                "better by 1, and none on which it is worse. Give the gate more examples "
                f"({_more(method)}), take fewer steps, or set a higher level."
            )
    if method.confirm is not None and method.stop.steps:
        yield from _confirm_problems(method, splits)
    yield from _guard_problems(method, splits)
    yield from _pool_problems(method, splits)


def exhausted(method: Method, splits: Splits, parameters: int) -> Iterator[str]:
    """Yield from which step on the level is too small for these examples to reach it.

    Only of gates whose first test they can reach; `problems` tells of the others.
    """
    taken = asked = 0
    for leg in method.legs or (Leg("", method, (), 1.0),):
        own, each = leg.method, leg.method.tests(len(leg.optimised) if leg.name else parameters)
        tests = own.horizon or own.stop.steps * each
        have = own.compared(splits)
        if own.gate.rule == "paired" and tests and have >= _needed(own, 0, tests):
            spent = next((j for j in range(tests) if _needed(own, j, tests) > have), tests)
            step = max(0, -(-(spent - asked) // each))
            if step < own.stop.steps:
                told = _too_small_from(own, splits, (have, spent, taken + step + 1, tests))
                yield in_leg(told, f"{SEQUENCE}.{leg.name}.method") if leg.name else told
        taken, asked = taken + own.stop.steps, asked + own.stop.steps * each


def _needed(method: Method, turned_down: int, tests: int) -> int:
    return gains_needed(level_left(method.gate.level, turned_down, tests))


def _too_small_from(method: Method, splits: Splits, found: tuple[int, int, int, int]) -> str:
    have, spent, step, tests = found
    needed = _needed(method, tests - 1, tests)
    return (
        f"method.gate.level: {method.gate.level:g} is spent over {plural(tests, 'test')}. From "
        f"step {step} on no proposal can be accepted with {plural(have, 'example')}, once "
        f"{plural(spent, 'test')} turned something down; {needed} would do to the last step. "
        f"Set {_so_many(method, splits, needed)}, take fewer steps, or set a higher level."
    )


def _so_many(method: Method, splits: Splits, needed: int) -> str:
    """Return the settings with which the gate compares so many examples."""
    gate = method.gate
    if gate.examples == "validation":
        return f"task.splits.validation={needed}"
    settings = []
    if gate.examples == "sampled" and method.sample.count + gate.guard < needed:
        settings.append(f"method.sample.count={needed - gate.guard}")
    if gate.examples == "batch" and method.batch is not None and method.batch < needed:
        settings.append(f"method.batch={needed}")
    if len(splits.train) < needed:
        settings.append(f"task.splits.train={needed}")
    return " and ".join(settings)


def _of_legs(method: Method, splits: Splits) -> Iterator[str]:
    """Yield what these examples can never show in a leg, and in the end."""
    for leg in method.legs:
        own = leg.after(0, method)
        for told in problems(replace(own, confirm=None), splits, len(leg.optimised)):
            yield in_leg(told, f"{SEQUENCE}.{leg.name}.method")
        if method.confirm is not None and method.stop.steps:
            yield from _confirm_problems(own, splits)


def _confirm_problems(method: Method, splits: Splits) -> Iterator[str]:
    assert method.confirm is not None
    have, needed = len(splits.validation), gains_needed(method.confirm.level)
    if method.gate.examples == "validation":
        yield (
            "method.confirm: the validation examples decide at the gate "
            "(method.gate.examples=validation), so that they cannot confirm what it let pass. "
            "Set method.gate.examples=batch, or method.confirm=null."
        )
    elif have < needed:
        yield (
            f"method.confirm.level: {method.confirm.level:g} can never be reached with {have} "
            f"validation examples; it takes {needed}. Set task.splits.validation={needed} or more, "
            "or method.confirm=null."
        )


def _selected(method: Method) -> Iterator[str]:
    """Yield why no level holds on examples that were chosen for what is to be compared."""
    if method.gate.examples == "sampled" and method.sample.examples == "failing":
        yield (
            "method.gate.examples: sampled, but the examples sampled are those that the current "
            "text gets wrong (method.sample.examples=failing). Any other text can only gain on "
            "them, so that method.gate.rule=paired would show nothing. Set "
            "method.gate.examples=batch; method.gate.first=sampled still asks them first."
        )


def _guard_problems(method: Method, splits: Splits) -> Iterator[str]:
    gate, train = method.gate, len(splits.train)
    if gate.guard and gate.examples != "sampled" and gate.first is None:
        yield (
            f"method.gate.guard: {plural(gate.guard, 'example')} would guard nothing. Set "
            "method.gate.first=sampled or method.gate.examples=sampled, or method.gate.guard=0."
        )
    elif gate.guard >= train:
        yield (
            f"method.gate.guard: {gate.guard} is not less than the {train} training examples. Set "
            "it lower, or task.splits.train higher."
        )
    elif method.batch is not None and gate.guard >= method.batch:
        yield (
            f"method.gate.guard: {gate.guard} is not less than the {method.batch} training "
            "examples of a step (method.batch). Set it lower, or method.batch higher."
        )


def _pool_problems(method: Method, splits: Splits) -> Iterator[str]:
    pool, how = method.pool, method.proposals
    if how.parents > pool.keep:
        yield (
            f"method.proposals.parents: {how.parents} candidates cannot be started from where "
            f"method.pool.keep={pool.keep}. Set method.pool.keep={how.parents} or more."
        )
    made, most = how.parents * how.each, method.stop.budget.calls
    if most is not None and made > most:
        yield (
            f"method.proposals: parents={how.parents} with each={how.each} make "
            f"{plural(made, 'proposal')} a step, and method.stop.budget.calls allows "
            f"{plural(most, 'call')}. Set fewer of them, or more calls."
        )
    if pool.merge and pool.keep == 1:
        yield "method.pool.merge: one candidate (method.pool.keep=1) has none to merge with."
    partly = "method.lazy=true" if method.lazy else method.batch and f"method.batch={method.batch}"
    if pool.scored and partly and (method.confirm is not None or not splits.validation):
        why = "method.confirm needs them" if splits.validation else "there are none"
        yield (
            f"method.pool: it has no scores to choose by: with {partly} no candidate is scored on "
            f"all training examples, and validation examples cannot be taken ({why}). Set "
            "task.splits.validation and method.confirm=null, or score all training examples."
        )


def _more(method: Method) -> str:
    if method.gate.examples == "validation":
        return "task.splits.validation"
    if method.gate.examples == "sampled":
        return "method.sample.count, task.splits.train"
    return "task.splits.train" if method.batch is None else "method.batch, task.splits.train"
