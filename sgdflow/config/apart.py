"""Builds what tells failure modes or causes apart; refuses what has nothing to tell apart."""

from __future__ import annotations

from collections.abc import Iterator

from sgdflow.config import method_schema as schema
from sgdflow.config import update_schema
from sgdflow.config.aggregation_schema import ExampleCluster
from sgdflow.config.problems import Problems, ask
from sgdflow.config.trees import EXAMPLES, ungrouped
from sgdflow.executor.tree import MANY
from sgdflow.prompting.templates import Prompts
from sgdflow.update.apart import Apart, read_causes, read_groups

CRITIQUE = "method.update.critique"
_CAUSES = "optimizer/causes.jinja"


def apart(conf: schema.OneMethod, most: int, prompts: Prompts, problems: Problems) -> Apart | None:
    """Return what tells apart why a step's answers were wrong, where that is declared.

    `most`: pieces of work that a step may have of one parameter.
    """
    found = [_clusters(conf, most, prompts, problems), _hypotheses(conf, prompts, problems)]
    declared = [one for one in found if one is not None]
    if len(declared) > 1:
        told = (
            f"{EXAMPLES}: cluster and {CRITIQUE}.causes both tell apart what each proposal is "
            f"to mend. Set {EXAMPLES}=collect, or {CRITIQUE}.causes=null."
        )
        problems.extend(iter([told]))
    return declared[0] if declared else None


def causes_asked(update: update_schema.AnyUpdate, prompts: Prompts) -> bool:
    """Return whether the critique stage names causes, or its template does, and is no review."""
    if not isinstance(update, update_schema.RewriteConf) or update.critique is None:
        return False
    return update.critique.causes is not None or _names_causes(update.critique, prompts)


def _clusters(
    conf: schema.OneMethod, most: int, prompts: Prompts, problems: Problems
) -> Apart | None:
    how = conf.aggregation.examples
    if not isinstance(how, ExampleCluster):
        return None
    made = Apart(ask(how, prompts), read_groups, how.count, how.fallback, fewest=2)
    problems.extend(f"{EXAMPLES}: {told}" for told in made.problems("the grouping of examples"))
    problems.extend(ungrouped(conf, "group", 2, "one example makes one group"))
    if most > MANY:
        told = (
            f"{EXAMPLES}: a step may have {most} pieces of work of one parameter "
            f"(method.sample.count={conf.sample.count}, and each node that uses it), more than the "
            f"{MANY} that one prompt can put into groups. Lower method.sample.count, or set "
            f"{EXAMPLES}=tree."
        )
        problems.extend(iter([told]))
    return made


def _hypotheses(conf: schema.OneMethod, prompts: Prompts, problems: Problems) -> Apart | None:
    update = conf.update
    if not isinstance(update, update_schema.RewriteConf) or update.critique is None:
        return None
    how = update.critique
    if how.causes is None:
        problems.extend(_undeclared(how, prompts))
        return None
    made = Apart(ask(how, prompts), read_causes, how.causes, how.fallback, memory=update.memory)
    found = list(made.problems("the critique that names causes"))
    if not found and not _names_causes(how, prompts):
        found = [
            f"prompts/{how.prompt} does not ask for causes (critique.causes={how.causes}). Set "
            f"{CRITIQUE}.prompt={_CAUSES}, or {CRITIQUE}.causes=null."
        ]
    problems.extend(f"{CRITIQUE}: {told}" for told in found)
    return made


def _undeclared(how: update_schema.Critique, prompts: Prompts) -> Iterator[str]:
    """Yield that a template asks for causes, where a review is declared."""
    if _names_causes(how, prompts):
        yield (
            f"{CRITIQUE}: prompts/{how.prompt} asks for causes, and none are declared. Set "
            f"{CRITIQUE}.causes=3, or {CRITIQUE}.prompt={type(how)().prompt}."
        )


def _names_causes(how: update_schema.Critique, prompts: Prompts) -> bool:
    return how.prompt in prompts.names() and "causes" in prompts.mentioned(how.prompt)
