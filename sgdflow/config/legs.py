"""Builds a method of several legs, which share one budget; refuses legs that cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from sgdflow.config import method_schema as schema
from sgdflow.config import methods, update_schema
from sgdflow.config.problems import Problems
from sgdflow.config.stop_schema import BudgetConf
from sgdflow.descent.confirm import Confirm
from sgdflow.descent.method import Leg, Method
from sgdflow.errors import listed
from sgdflow.executor.graph import Graph
from sgdflow.prompting.templates import Prompts

SEQUENCE = "method.sequence"
_OF_THE_WHOLE = {"name", "sequence", "confirm", "stop", "report_train"}


def acting(conf: schema.MethodConf) -> Sequence[tuple[str, schema.OneMethod]]:
    """Return the methods that take steps, with the keys at which they stand."""
    legs = [(f"{SEQUENCE}.{name}.method", leg.method) for name, leg in conf.sequence.items()]
    return legs or [("method", conf)]


def in_leg(line: str, where: str) -> str:
    """Return a message about a method with the keys of the leg that it is."""
    return re.sub(r"\bmethod\.(?=[a-z])", f"{where}.", line)


def named(conf: schema.MethodConf, graph: Graph) -> tuple[str, ...]:
    """Return the parameters that the method, or one of its legs, would change."""
    wanted = {name for _, one in acting(conf) for name in methods.named(one, graph)}
    return tuple(name for name in graph.optimisable if name in wanted)


def optimised(conf: schema.MethodConf, graph: Graph) -> tuple[str, ...]:
    """Return the parameters that the method, or one of its legs, may change."""
    problems = Problems()
    for where, one in acting(conf):
        with _told_of(where, problems):
            methods.optimised(one, graph)
    problems.check()
    return named(conf, graph)


def build_method(
    conf: schema.MethodConf, graph: Graph, prompts: Prompts, concurrency: int = schema.AT_ONCE
) -> Method:
    """Return the method, checked against the graph, for so many calls at once."""
    if not conf.sequence:
        return methods.build_method(conf, graph, prompts, concurrency)
    problems, made = Problems(), dict[str, Method]()
    problems.extend(_contradictions(conf))
    for (where, one), name in zip(acting(conf), conf.sequence, strict=True):
        with _told_of(where, problems):
            made[name] = methods.build_method(one, graph, prompts, concurrency)
    problems.check()
    names = {name: methods.named(leg.method, graph) for name, leg in conf.sequence.items()}
    tests = sum(one.stop.steps * one.tests(len(names[name])) for name, one in made.items())
    legs, until = list[Leg](), 0.0
    for name, leg in conf.sequence.items():
        until += leg.share
        method = replace(made[name], horizon=tests)
        legs.append(Leg(name, method, names[name], min(1.0, round(until, 9))))
    first, last = legs[0].method, legs[-1].method
    return replace(
        last,
        name=conf.name,
        stop=methods.stop_of(conf, graph),
        confirm=None if conf.confirm is None else Confirm(**conf.confirm.model_dump()),
        lazy=first.lazy,
        batch=first.batch,
        report_train=conf.report_train,
        legs=tuple(legs),
    )


@contextmanager
def _told_of(where: str, problems: Problems) -> Iterator[None]:
    """Collect what is wrong with a method, under the keys at which it stands."""
    own = Problems()
    with own.collected():
        yield
    problems.extend(in_leg(line, where) for line in own.lines)


def _contradictions(conf: schema.MethodConf) -> Iterator[str]:
    """Yield why these legs cannot share a budget."""
    for key in sorted(conf.model_fields_set - _OF_THE_WHOLE):
        yield f"method.{key}: is a leg's, and nobody's here. Set {SEQUENCE}.NAME.method.{key}."
    if conf.stop.patience is not None:
        yield (
            "method.stop.patience: a leg loses patience, and not the whole. Set "
            f"{SEQUENCE}.NAME.method.stop.patience."
        )
    shares = sum(leg.share for leg in conf.sequence.values())
    if abs(shares - 1) > 1e-6:
        names = listed(conf.sequence)
        yield f"{SEQUENCE}: the shares of {names} add up to {shares:g}; they have to add up to 1."
    if _unlimited(conf.stop.budget):
        yield (
            f"{SEQUENCE}: there is no budget to share. Set method.stop.budget.calls, or another "
            "of its limits."
        )
    for name, leg in conf.sequence.items():
        where = f"{SEQUENCE}.{name}.method"
        if not _unlimited(leg.method.stop.budget):
            yield (
                f"{where}.stop.budget: a leg has its share of method.stop.budget. Take it out, "
                f"and set {SEQUENCE}.{name}.share."
            )
        if isinstance(leg.method.update, update_schema.SearchConf):
            yield (
                f"{where}.update.rule: search goes round the parameters from the first step of a "
                "run on, and can be no leg. Take another method."
            )


def _unlimited(budget: BudgetConf) -> bool:
    return budget == BudgetConf()
