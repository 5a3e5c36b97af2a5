"""What a probe asks within its calls, and why it could ask nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sgdflow.config.prepare import Prepared
from sgdflow.config.problems import ask
from sgdflow.errors import ConfigError, ReplyError, did_you_mean, listed, plural
from sgdflow.probe.units import Unit, calls_of, crossed_calls, pairs_of, units
from sgdflow.probe.wordings import wordings_sample
from sgdflow.prompting.templates import Prompts
from sgdflow.update.constraints import check
from sgdflow.update.statistics import gains_needed


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many examples each question gets."""

    each: int
    """Calls that an example takes."""
    start: int
    again: int
    pairs: tuple[tuple[Unit, Unit], ...]
    crossed: int
    """Examples on which each of these pairs is tried."""
    left_out: Mapping[tuple[str, str], str]
    """Pairs of nodes that are not tried, and why."""
    calls: int
    """What all of it takes, repetitions of malformed replies aside."""


def fitted(prepared: Prepared) -> Sizes:
    """Return what the declared calls suffice for.

    Half of them are for the start at most, half of what is left for answers again, and the rest for
    pairs.
    """
    conf, problem = prepared.config.probe, prepared.problem
    each, train = _each(prepared), len(problem.splits.train)
    at_once = max(1, each)
    start = max(1, min(conf.examples, train, conf.calls // 2 // at_once))
    left = conf.calls - start * each
    again = min(conf.again, start, max(left // 2 // at_once, min(1, left // at_once)))
    left -= again * each
    return _with_pairs(prepared, each, start, again, left)


def _with_pairs(prepared: Prepared, each: int, start: int, again: int, left: int) -> Sizes:
    conf, problem = prepared.config.probe, prepared.problem
    texts = conf.wordings.texts
    found = units(problem.graph, problem.optimised, prepared.start, texts)
    pairs = pairs_of(problem.graph, found) if conf.pairs else ()
    wordings = {unit.node: _wordings(unit, prepared) for unit in found}
    judges = len(problem.score.judges())
    left_out: dict[tuple[str, str], str] = {}
    most = len(problem.splits.train)
    whole = 0
    for tried in range(len(pairs), 0, -1):
        some, others = pairs[:tried], pairs[tried:]
        tests = sum(wordings[one.node] * wordings[other.node] for one, other in some)
        crossed = max(conf.pairs, gains_needed(conf.level / 2 / tests))
        cost = _written(some, prepared)
        cost += crossed * crossed_calls(problem.graph, some, wordings, judges)
        # Examples that were not scored for the start are scored for the pairs.
        cost += max(0, crossed - start) * each
        whole = whole or _whole(prepared, each, cost)
        if cost <= left and crossed <= most:
            left_out |= {_names(pair): _too_few(whole) for pair in others}
            used = start * each + again * each + cost
            return Sizes(each, start, again, some, crossed, left_out, used)
    why = _too_few(whole)
    if pairs and max(conf.pairs, gains_needed(conf.level / 2)) > most:
        why = f"{plural(most, 'training example')} can show nothing (task.splits.train)"
    left_out = {_names(pair): why for pair in pairs}
    return Sizes(each, start, again, (), 0, left_out, start * each + again * each)


def problems(prepared: Prepared, prompts: Prompts) -> Iterator[str]:
    """Yield why nothing could be asked, and what is wrong with declared wordings."""
    conf, each = prepared.config.probe, _each(prepared)
    if conf.calls < each:
        nodes = plural(len(prepared.problem.graph.nodes), "node")
        yield (
            f"probe.calls: {conf.calls} is less than the {each} that one example takes with "
            f"{nodes}, so that nothing could be scored. Set probe.calls={8 * each} or more."
        )
    if conf.pairs and conf.wordings.role not in prepared.config.llm.models:
        models = prepared.config.llm.models
        yield (
            f"probe.wordings.role: llm.models has no '{conf.wordings.role}'."
            f"{did_you_mean(conf.wordings.role, models)} It has: {listed(models)}."
        )
    for name, texts in conf.wordings.texts.items():
        yield from _text_problems(name, texts, prepared)
    if conf.pairs:
        sample = wordings_sample()
        try:
            exchange = ask(conf.wordings, prompts)
            yield from (
                f"probe.wordings: {told}" for told in exchange.problems(sample, "the probe")
            )
        except ConfigError as error:
            yield f"probe.wordings: {error}"


def _text_problems(name: str, texts: Sequence[object], prepared: Prepared) -> Iterator[str]:
    graph, optimised = prepared.problem.graph, prepared.problem.optimised
    where = f"probe.wordings.texts.{name}"
    if name not in optimised:
        yield (
            f"{where}: the method optimises no parameter '{name}' of graph '{graph.name}'."
            f"{did_you_mean(name, optimised)} It optimises: {listed(optimised)}."
        )
        return
    before = prepared.start[name]
    for text in texts:
        if text == before:
            yield f"{where}: one of them is the text as it stands; give other ones."
        elif isinstance(before, str) and not isinstance(text, str):
            yield f"{where}: {text!r} is no text, as the parameter is."
        try:
            check(graph.parameters[name].constraints, str(text), str(before))
        except ReplyError as error:
            yield f"{where}: a wording cannot be used: {error}."


def _each(prepared: Prepared) -> int:
    problem = prepared.problem
    return calls_of(problem.graph, problem.graph.nodes, len(problem.score.judges()))


def _wordings(unit: Unit, prepared: Prepared) -> int:
    """Return how many other wordings a node is given: as many as its parameters all have."""
    conf = prepared.config.probe.wordings
    return min(len(conf.texts.get(name, ())) or conf.count for name in unit.parameters)


def _written(pairs: Sequence[tuple[Unit, Unit]], prepared: Prepared) -> int:
    """Return the calls that write wordings."""
    conf = prepared.config.probe.wordings
    names = {name for pair in pairs for unit in pair for name in unit.parameters}
    return conf.count * len(names - conf.texts.keys())


def _whole(prepared: Prepared, each: int, pairs: int) -> int:
    """Return the calls with which everything is asked, where pairs take so many."""
    conf, train = prepared.config.probe, len(prepared.problem.splits.train)
    start = min(conf.examples, train) * each
    again = min(conf.again, conf.examples, train) * each
    return max(2 * start, start + 2 * again, start + again + pairs)


def _too_few(whole: int) -> str:
    return f"the calls do not suffice; probe.calls={whole} would"


def _names(pair: tuple[Unit, Unit]) -> tuple[str, str]:
    return pair[0].node, pair[1].node
