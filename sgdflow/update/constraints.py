"""Whether new texts keep to what is declared of their parameters; asked before any is scored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from sgdflow.errors import ReplyError, listed, plural
from sgdflow.executor.constraints import Constraints
from sgdflow.llm.models import PER_TOKEN
from sgdflow.prompting.replies import check_length
from sgdflow.prompting.values import quoted
from sgdflow.update.checks import check_tokens, copied
from sgdflow.update.rule import Proposal, Situation


def told(constraints: Constraints) -> Sequence[str]:
    """Return what a writer is told of them, in sentences."""
    return list(_told(constraints))


def _told(constraints: Constraints) -> Iterator[str]:
    if constraints.about:
        yield f"What the text is for: {constraints.about}"
    if constraints.max_characters is not None:
        yield f"Use at most {plural(constraints.max_characters, 'character')}."
    if (most := constraints.max_tokens) is not None:
        yield f"Use at most {plural(most, 'token')}, about {most * PER_TOKEN} characters."
    for text in constraints.keep:
        yield f"Keep this, letter by letter: {quoted(text)}"
    if constraints.placeholders:
        names = listed(f"{{{name}}}" for name in constraints.placeholders)
        yield f"Keep these placeholders, in which values are put: {names}"
    for text in constraints.avoid:
        yield f"Do not write {quoted(text)}."
    if constraints.choices:
        yield f"It is one of these, letter by letter: {listed(map(quoted, constraints.choices))}"
    if constraints.number is not None:
        yield f"It is {constraints.number}: write the number and nothing else."
    if constraints.leak is not None:
        yield "Copy no words out of a query or an answer."


def check(constraints: Constraints, text: str, before: str, seen: Iterable[str] = ()) -> None:
    """Raise ReplyError where a text breaks one of them.

    `seen` are texts of training examples; what of them stood in the text `before` may stay.
    """
    check_length(text, constraints.max_characters)
    check_tokens(text, constraints.max_tokens)
    if lacking := [one for one in constraints.keep if one not in text]:
        raise ReplyError(f"it lacks what has to stay, letter by letter: {quoted(lacking[0])}")
    if lost := [name for name in constraints.placeholders if not _holds(text, name)]:
        raise ReplyError(f"it lacks the placeholder {{{lost[0]}}}")
    said = text.casefold()
    if found := [one for one in constraints.avoid if one.casefold() in said]:
        raise ReplyError(f"it holds {quoted(found[0])}, which it may not")
    if constraints.choices and text.strip() not in constraints.choices:
        raise ReplyError(f"it is none of {listed(map(quoted, constraints.choices))}")
    if constraints.number is not None:
        try:
            constraints.number.read(text)
        except ValueError as error:
            raise ReplyError(str(error)) from error
    if constraints.leak is not None and (run := copied(text, before, seen, constraints.leak)):
        raise ReplyError(
            f'it copies "{run}" from an example; say it as a rule, in words of its own'
        )


def _holds(text: str, placeholder: str) -> bool:
    name = re.escape(placeholder)
    return re.search(rf"\{{\s*{name}\s*\}}", text) is not None


def check_new(name: str, text: str, situation: Situation) -> None:
    """Raise ReplyError where the new text of a parameter breaks what is declared of it."""
    constraints = situation.graph.parameters[name].constraints
    if constraints != _NONE:
        check(constraints, text, str(situation.parameters[name]), _seen(situation))


def _seen(situation: Situation) -> Iterator[str]:
    """Yield what stands in examples, scored or not: queries and expected answers."""
    given = (outcome.values for outcome in situation.standing.outcomes.values())
    for values in chain(given, (example.inputs for example in situation.training)):
        yield from (str(values.get(name, "")) for name in situation.graph.inputs)
    yield from map(str, situation.targets.values())
    yield from (str(example.target) for example in situation.training)


def kept(proposal: Proposal, situation: Situation) -> Proposal:
    """Return the proposal without texts that break what is declared, and why they are left out."""
    broken: dict[str, str] = {}
    for name, text in proposal.changes.items():
        try:
            check_new(name, str(text), situation)
        except ReplyError as error:
            broken[name] = f"the new text cannot be used: {error}"
    changes = {name: text for name, text in proposal.changes.items() if name not in broken}
    return replace(proposal, changes=changes, skipped={**proposal.skipped, **broken})


_NONE = Constraints()
