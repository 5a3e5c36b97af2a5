"""Builds the trees that sum up gradients and evidence; refuses those that have nothing to group."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from sgdflow.config import method_schema as schema
from sgdflow.config import update_schema
from sgdflow.config.aggregation_schema import ExampleTree, SuccessorTree, TreeConf
from sgdflow.config.fields import Target
from sgdflow.config.problems import Problems, ask
from sgdflow.errors import plural
from sgdflow.executor.gradients import LOSS, Gradient
from sgdflow.executor.graph import Graph
from sgdflow.executor.graph_paths import widths
from sgdflow.executor.samples import ANYTHING
from sgdflow.executor.tree import FEWEST, MANY, Tree
from sgdflow.prompting.templates import Prompts
from sgdflow.prompting.values import MOST
from sgdflow.update.condense import summary_problems
from sgdflow.update.prompt_views import SAMPLE_MEMBER

EXAMPLES, SUCCESSORS = "method.aggregation.examples", "method.aggregation.successors"


def example_tree(conf: schema.OneMethod, prompts: Prompts, problems: Problems) -> Tree | None:
    """Return what sums up the evidence of many examples: as declared, or of too many anyway."""
    how = conf.aggregation.examples
    if not isinstance(how, TreeConf):
        beyond = overflow_tree(conf, prompts)
        return None if beyond is None else replace(beyond, fewest=MANY + 1)
    tree = Tree(ask(how, prompts), how.largest)
    problems.extend(f"{EXAMPLES}: {told}" for told in summary_problems(tree))
    fewer = f"a tree of {plural(conf.sample.count, 'example')} has groups of one"
    problems.extend(ungrouped(conf, "sum up", FEWEST, fewer))
    return tree


def overflow_tree(conf: schema.OneMethod, prompts: Prompts) -> Tree | None:
    """Return what sums up evidence that does not fit the context window of a text's writer."""
    update, how = conf.update, conf.aggregation.examples
    if not isinstance(update, update_schema.RewriteConf):
        return None
    declared = how if isinstance(how, TreeConf) else ExampleTree(role=update.role)
    return Tree(ask(declared, prompts), declared.largest)


def overflow_of_runs(
    update: update_schema.WholeConf | update_schema.SearchConf, prompts: Prompts
) -> Tree:
    """Return what sums up runs, or texts that were tried, where these do not fit the writer's."""
    what = "runs" if isinstance(update, update_schema.WholeConf) else "attempts"
    how = ExampleTree(role=update.role, prompt=f"aggregation/{what}.jinja")
    return Tree(ask(how, prompts), how.largest)


def overflow_of_gradients(conf: schema.OneMethod, prompts: Prompts) -> Tree | None:
    """Return what sums up gradients that do not fit the context window of a critic."""
    how = conf.aggregation.successors
    if not isinstance(conf.backward, schema.Backward):
        return None
    declared = how if isinstance(how, TreeConf) else SuccessorTree(role=conf.backward.role)
    return Tree(ask(declared, prompts), declared.largest)


def ungrouped(conf: schema.OneMethod, do: str, fewest: int, fewer: str) -> Iterator[str]:
    """Yield why there is no evidence to `do` something with; `fewer`: what too few examples are."""
    count, mend = conf.sample.count, f"Set {EXAMPLES}=collect."
    if not isinstance(conf.update, update_schema.RewriteConf | Target):
        yield (
            f"{EXAMPLES}: the rule {conf.update.rule} is not shown the evidence of single "
            f"parameters, so that there is nothing to {do} for it. {mend}"
        )
    elif conf.backward is None:
        yield f"{EXAMPLES}: there are no gradients to {do} (method.backward is null). {mend}"
    elif count < fewest:
        yield (
            f"{EXAMPLES}: {fewer} (method.sample.count={count}). Set "
            f"method.sample.count={fewest} or more, or {EXAMPLES}=collect."
        )


def successor_tree(
    conf: schema.OneMethod,
    graph: Graph,
    optimised: Collection[str],
    prompts: Prompts,
    problems: Problems,
) -> Tree | None:
    """Return what sums up the gradients of many successors: as declared, or of too many anyway."""
    how, most = conf.aggregation.successors, max(widths(graph, optimised).values(), default=0)
    if not isinstance(how, TreeConf):  # nor is it known how many calls a program makes
        beyond = overflow_of_gradients(conf, prompts)
        if beyond is None or how not in ("collect", "distinct"):
            return None
        tree = replace(beyond, fewest=MOST + 1)
    else:
        tree = Tree(ask(how, prompts), how.largest)
    gradients = (Gradient(LOSS, "..."),)
    sample = {"node": SAMPLE_MEMBER, "output": ANYTHING, "gradients": gradients}
    found = tree.problems(sample, "the summary of gradients")
    problems.extend(f"{SUCCESSORS}: {told}" for told in found)
    if most < tree.fewest == FEWEST:
        told = (
            f"{SUCCESSORS}: a tree has groups of one: no node of graph '{graph.name}' gets "
            f"gradients from {FEWEST} successors or more, {most} at most. Set "
            f"{SUCCESSORS}=collect."
        )
        problems.extend(iter([told]))
    return tree
