"""Builds the update rule of a method."""

from __future__ import annotations

from sgdflow.config import update_schema
from sgdflow.config.apart import causes_asked
from sgdflow.config.fields import Target
from sgdflow.config.problems import ask
from sgdflow.config.targets import resolve
from sgdflow.config.trees import overflow_of_runs
from sgdflow.prompting.templates import Prompts
from sgdflow.update import CallableUpdate, Rewrite, Search, UpdateRule, Whole
from sgdflow.update.checks import check_text, no_check
from sgdflow.update.edits import Edits
from sgdflow.update.edits import Whole as WholeText


def build_update(conf: update_schema.AnyUpdate, prompts: Prompts) -> UpdateRule:
    """Return what proposes new texts."""
    match conf:
        case update_schema.RewriteConf():
            review = conf.critique if not causes_asked(conf, prompts) else None
            critique = ask(review, prompts) if review is not None else None
            return Rewrite(
                ask(conf, prompts),
                conf.max_characters,
                critique,
                conf.memory,
                conf.momentum,
                conf.constraints,
                conf.successes,
                check_text if conf.checks else no_check,
                conf.contrast,
                Edits() if conf.form == "edits" else WholeText(),
            )
        case update_schema.WholeConf():
            check = check_text if conf.checks else no_check
            return Whole(
                ask(conf, prompts),
                conf.max_characters,
                conf.memory,
                check,
                overflow_of_runs(conf, prompts),
            )
        case update_schema.SearchConf():
            return Search(
                ask(conf, prompts),
                conf.max_characters,
                conf.breadth,
                conf.depth,
                conf.memory,
                overflow_of_runs(conf, prompts),
            )
    assert isinstance(conf, Target)
    return CallableUpdate(resolve(conf, "method.update"))
