"""From a validated configuration to the method that runs it; all mistakes are found here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from sgdflow.config import method_schema as schema
from sgdflow.config import update_schema
from sgdflow.config.aggregation_schema import ExampleCluster, TreeConf
from sgdflow.config.apart import apart
from sgdflow.config.choosing import choosing
from sgdflow.config.fields import Target
from sgdflow.config.problems import Problems, ask, build_backward, reply_format
from sgdflow.config.rules import build_update
from sgdflow.config.targets import resolve
from sgdflow.config.trees import (
    EXAMPLES,
    SUCCESSORS,
    example_tree,
    overflow_of_gradients,
    overflow_tree,
    successor_tree,
)
from sgdflow.descent.budget import Budget
from sgdflow.descent.confirm import Confirm
from sgdflow.descent.method import Method, Proposals, Sample, Stop
from sgdflow.descent.pool import PoolRules
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.executor.backward import Differentiation
from sgdflow.executor.functions import Function
from sgdflow.executor.gradients import AGGREGATIONS
from sgdflow.executor.graph import BackwardFunction, Graph
from sgdflow.executor.intervention import Verification
from sgdflow.executor.loss import AskedLoss, CallableLoss, Loss, PromptLoss
from sgdflow.llm.allowance import Allowance
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.templates import Prompts
from sgdflow.update import Gate, Select, UpdateRule
from sgdflow.update import evidence as items
from sgdflow.update.condense import most_items
from sgdflow.update.demonstrations import texts


def build_method(
    conf: schema.OneMethod, graph: Graph, prompts: Prompts, concurrency: int = schema.AT_ONCE
) -> Method:
    """Return the method, checked against the graph, for so many calls at once."""
    problems = Problems()
    with problems.collected():
        prompts = prompts.in_words(conf.words)
    differentiation = None
    with problems.collected():
        differentiation = _differentiation(conf, graph, prompts, problems)
    loss = _checked_loss(conf, graph, prompts, problems)
    aggregate = _of_examples(conf, problems)
    update = _checked_update(conf, graph, prompts, problems)
    verification = _verification(conf, graph, prompts, problems)
    tree, overflow = example_tree(conf, prompts, problems), overflow_tree(conf, prompts)
    told_apart = apart(conf, _pieces(conf, graph), prompts, problems)
    choice = choosing(conf, graph, named(conf, graph), prompts, problems)
    problems.extend(chain(_contradictions(conf), _alone(conf)))
    problems.check()
    assert update is not None
    return Method(
        name=conf.name,
        sample=Sample(**conf.sample.model_dump()),
        loss=loss,
        differentiation=differentiation,
        aggregate_examples=aggregate,
        update=update,
        gate=Gate(**conf.gate.of(graph.width, concurrency)),
        stop=stop_of(conf, graph),
        batch=conf.batch,
        select=_select(conf),
        confirm=None if conf.confirm is None else Confirm(**conf.confirm.model_dump()),
        shuffle=conf.shuffle,
        lazy=conf.lazy,
        report_train=conf.report_train,
        idle=conf.idle,
        proposals=Proposals(**conf.proposals.model_dump()),
        pool=PoolRules(**conf.pool.model_dump()),
        verification=verification,
        tree=tree,
        overflow=overflow,
        apart=told_apart,
        choice=choice,
    )


def _pieces(conf: schema.OneMethod, graph: Graph) -> int:
    """Return how many pieces of work of one parameter a step may have."""
    pieces = (most_items(graph, name, conf.sample.count) for name in named(conf, graph))
    return max(pieces, default=0)


def _of_examples(conf: schema.OneMethod, problems: Problems) -> Callable[..., Any]:
    with problems.collected():
        return _aggregation(conf.aggregation.examples, items.AGGREGATIONS, EXAMPLES, "items")
    return items.collect


def _checked_loss(
    conf: schema.OneMethod, graph: Graph, prompts: Prompts, problems: Problems
) -> Loss:
    loss: Loss = PromptLoss(prompts, schema.Loss().prompt)
    with problems.collected():
        loss = _loss(conf.loss, prompts)
        problems.extend(f"method.loss: {p}" for p in loss.problems(graph.inputs))
    return loss


def _checked_update(
    conf: schema.OneMethod, graph: Graph, prompts: Prompts, problems: Problems
) -> UpdateRule | None:
    with problems.collected():
        update = build_update(conf.update, prompts)
        problems.extend(_update_problems(update, conf, graph))
        return update
    return None


def _differentiation(
    conf: schema.OneMethod, graph: Graph, prompts: Prompts, problems: Problems
) -> Differentiation | None:
    if conf.backward is None:
        return None
    default = build_backward(conf.backward, prompts, "method.backward")
    join = _aggregation(conf.aggregation.successors, AGGREGATIONS, SUCCESSORS, "gradients")
    problems.extend(_backward_problems(graph, default))
    asks = None if conf.idle else _select(conf).asks
    tree = successor_tree(conf, graph, named(conf, graph), prompts, problems)
    asked = conf.backward if isinstance(conf.backward, schema.Backward) else None
    shown, overflow = asked.successes if asked else 0, overflow_of_gradients(conf, prompts)
    return Differentiation(default, join, asks, tree, shown, overflow, calls=asked is not None)


def _verification(
    conf: schema.OneMethod, graph: Graph, prompts: Prompts, problems: Problems
) -> Verification | None:
    if not isinstance(conf.backward, schema.Backward) or conf.backward.verify is None:
        return None
    how = conf.backward.verify
    verification = Verification(ask(how, prompts), how.examples, how.refuted)
    found = verification.problems(graph, named(conf, graph))
    problems.extend(f"method.backward.verify: {problem}" for problem in found)
    return verification


def _select(conf: schema.OneMethod) -> Select:
    if isinstance(conf.update, Target):
        return Select()
    select = conf.update.select
    return Select(**select.model_dump())


def stop_of(conf: schema.OneMethod, graph: Graph) -> Stop:
    """Return when the method ends."""
    stop, budget, steps = conf.stop, conf.stop.budget, conf.stop.steps
    if isinstance(conf.update, update_schema.SearchConf):
        steps = min(steps, conf.update.depth * len(named(conf, graph)))
    roles = {role: Allowance(**allowed.model_dump()) for role, allowed in budget.roles.items()}
    return Stop(
        steps,
        stop.patience,
        stop.score,
        Budget(budget.forward, budget.calls, budget.tokens, budget.cost, roles),
    )


def _contradictions(conf: schema.OneMethod) -> Iterator[str]:
    """Yield what each setting allows but all together do not."""
    name, update, sample = f"method '{conf.name}'", conf.update, conf.sample
    if conf.shuffle and conf.backward is None:
        yield f"method.shuffle: {name} has no gradients to deal out (method.backward is null)."
    if conf.shuffle and isinstance(conf.backward, schema.Backward) and conf.backward.verify:
        yield (
            "method.shuffle: gradients that are dealt to other examples cannot be tried out. Set "
            "method.backward.verify=null."
        )
    if conf.shuffle and sample.count == 1:
        yield "method.shuffle: with method.sample.count=1 there is no other example to deal to."
    if isinstance(update, Target):
        return
    if isinstance(update, update_schema.SearchConf) and _more_than_search(conf):
        yield (
            f"{name}: the rule search chooses among texts itself; it takes method.lazy=false, "
            "method.pool.keep=1, and one joint proposal a step (method.proposals)."
        )
    if conf.gate.examples == "sampled" and sample.count == 0:
        yield "method.gate.examples: sampled, but no example is (method.sample.count=0)."
    if update.select.rule == "blamed" and conf.backward is None:
        yield f"method.update.select: {name} has no gradients (method.backward is null) to go by."
    if update.select.rule == "blamed" and not isinstance(update, update_schema.RewriteConf):
        yield "method.update.select: only the rule rewrite takes parameters by blame."
    if sample.count == 0 and not isinstance(update, update_schema.SearchConf):
        yield f"method.sample.count: 0 leaves the rule {update.rule} nothing to go by."


def _alone(conf: schema.OneMethod) -> Iterator[str]:
    """Yield that there is no other candidate to compare with."""
    update = conf.update
    if isinstance(update, update_schema.RewriteConf) and update.contrast and conf.pool.keep == 1:
        yield (
            "method.update.contrast: one candidate (method.pool.keep=1) has none to be compared "
            "with. Set method.pool.keep=2 or more, or method.update.contrast=0."
        )


def _more_than_search(conf: schema.OneMethod) -> bool:
    how = conf.proposals
    several = how.parents * how.each > 1 or how.form != "joint" or how.fallback
    return conf.lazy or several or conf.pool.keep > 1


def optimised(conf: schema.OneMethod, graph: Graph) -> tuple[str, ...]:
    """Return the parameters that the method may change."""
    wanted = [] if isinstance(conf.update, Target) else conf.update.parameters or []
    unknown = [name for name in wanted if name not in graph.optimisable]
    if unknown:
        raise ConfigError("\n".join(_not_optimisable(name, graph) for name in unknown))
    names = named(conf, graph)
    if not isinstance(conf.update, Target) and conf.update.parameters == [] and conf.stop.steps:
        raise ConfigError(
            f"method '{conf.name}' has nothing to optimise: method.update.parameters is empty. "
            "Name a parameter, or set method.stop.steps=0 to score the graph as it is."
        )
    if not names and conf.stop.steps > 0:
        raise ConfigError(
            f"method '{conf.name}' has nothing to optimise: graph '{graph.name}' has no parameter "
            "that is not frozen. Declare one under graph.nodes.NODE.parameters, or set "
            "method.stop.steps=0 to score the graph as it is."
        )
    return names


def named(conf: schema.OneMethod, graph: Graph) -> tuple[str, ...]:
    """Return the parameters that the method would change, if there are any."""
    wanted = None if isinstance(conf.update, Target) else conf.update.parameters
    return tuple(name for name in graph.optimisable if wanted is None or name in wanted)


def _update_problems(update: UpdateRule, conf: schema.OneMethod, graph: Graph) -> Iterator[str]:
    """Yield what would go wrong with the parameters that it writes; others are chosen."""
    written = texts(graph, named(conf, graph))
    yield from (f"method.update: {problem}" for problem in update.problems(graph, written))


def _not_optimisable(name: str, graph: Graph) -> str:
    where = f"method.update.parameters: graph '{graph.name}'"
    if name in graph.parameters:
        return f"{where} declares '{name}' as frozen."
    return (
        f"{where} has no parameter '{name}'.{did_you_mean(name, graph.optimisable)} "
        f"It has: {listed(graph.optimisable)}."
    )


def _backward_problems(graph: Graph, default: BackwardFunction) -> Iterator[str]:
    reach = graph.reach(graph.optimisable)
    for node in graph.nodes.values():
        if node.backward is None and default.targets(node, reach, graph.optimisable):
            yield from (f"method.backward: {problem}" for problem in default.problems(node))


def _loss(conf: Target | schema.Loss, prompts: Prompts) -> Loss:
    if isinstance(conf, Target):
        return CallableLoss(resolve(conf, "method.loss"))
    if conf.role is None:
        return PromptLoss(prompts, conf.prompt)
    return AskedLoss(Ask(prompts, conf.prompt, conf.role, reply_format(conf.reply), conf.attempts))


def _aggregation(
    conf: Target | TreeConf | ExampleCluster | str,
    known: Mapping[str, Callable[..., Any]],
    where: str,
    what: str,
) -> Callable[..., Any]:
    if isinstance(conf, TreeConf | ExampleCluster):  # which see what was collected
        return known["collect"]
    if isinstance(conf, str):
        return known[conf]
    function: Function = resolve(conf, where)
    if told := list(function.problems(what)):
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in told))
    return lambda joined: function.call(joined, **function.constants)
