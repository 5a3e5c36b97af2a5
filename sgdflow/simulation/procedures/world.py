"""The world: workers, critics and writers that understand the families of questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.procedures.families import FAMILIES
from sgdflow.simulation.procedures.question import same
from sgdflow.simulation.procedures.rules import Rule
from sgdflow.simulation.procedures.situation import (
    Situation,
    asks_for_step,
    expected_answer,
    situation,
)
from sgdflow.simulation.reading import Critique, Rewrite, Work
from sgdflow.simulation.wishes import SETTLED

_AT_ONCE = 2  # rules a writer adds in one rewrite: more would be beyond what evidence supports
_GIVEN = f"{SETTLED}: this is the question itself."
_RULES = tuple(rule for family in FAMILIES for rule in family.rules)


class Procedures:
    """Answers prompts about questions that a family understands."""

    def work(self, prompt: Work) -> str | None:
        """Answer the question, or state a step and the rules told where that is asked for.

        The rules told are those of the instruction and of the statements given.
        """
        shown = situation(prompt.variables)
        told = shown.told(prompt.instruction)
        if shown.question is None:
            return None
        if not asks_for_step(prompt.instruction):
            return shown.question.answer(told)
        reminders = (rule.sentence for rule in shown.question.bearing(told))
        return " ".join((shown.question.step, *reminders))

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Say which rules each target should state; every missing rule is asked of one target."""
        seen, targets = prompt.seen, prompt.targets or ("",)
        shown = situation(seen.variables)
        if shown.family is None:
            return None
        expected = expected_answer(seen.feedback)
        if expected is not None and same(seen.output, expected):
            return dict.fromkeys(targets, f"{SETTLED}: the output is right.")
        missing = _missing(shown, seen, prompt.instruction, expected)
        if not missing:
            return dict.fromkeys(targets, _nothing_found(shown, seen.output, expected))
        able = [name for name in targets if not _is_question(seen.variables.get(name, ""))]
        shares = _shares(missing, shown, able)
        gain = _gain(shown, seen.output, expected)
        return {
            name: _request(shares[name], gain) if name in shares else _GIVEN for name in targets
        }

    def revise(self, seen: Seen) -> str | None:
        """Add the rules that are asked for."""
        shown = situation({**seen.variables, "written": seen.output})
        if shown.family is None:
            return None
        asked = [r for r in shown.named(seen.feedback) if r.sentence not in seen.output]
        return " ".join((seen.output, *(rule.sentence for rule in asked)))

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Add the rules best supported by the evidence to the text; keep all that stands in it."""
        support: Counter[str] = Counter()
        understood = False
        for seen in prompt.examples:
            shown = situation(seen.variables)
            understood = understood or shown.family is not None
            support.update(rule.name for rule in _lacking(shown, seen, prompt.text))
        if not understood:
            return None
        known = [rule for rule in _RULES if support[rule.name]]
        best = sorted(known, key=lambda rule: -support[rule.name])[:_AT_ONCE]
        return "\n".join((prompt.text, *(rule.sentence for rule in best)))


def _missing(
    shown: Situation, seen: Seen, instruction: str, expected: str | None
) -> Sequence[Rule]:
    told = shown.told(instruction)
    if expected is None:
        return [rule for rule in shown.named(seen.feedback) if rule.name not in told]
    if shown.question is not None:
        return shown.question.missing(told, seen.output, expected)
    read_off = shown.family.read_off(seen.output, expected) if shown.family else ()
    return [rule for rule in read_off if rule.name not in told]


def _lacking(shown: Situation, seen: Seen, text: str) -> Sequence[Rule]:
    """Return what the evidence shows the instruction to lack.

    Where the feedback gives the expected answer the writer finds the slip itself, otherwise
    it takes up the rules that the feedback names.
    """
    expected = expected_answer(seen.feedback)
    if expected is not None and shown.question is not None:
        found = shown.question.missing(shown.told(text), seen.output, expected)
        if found:
            return found
    already = {rule.name for rule in shown.named([text])}
    return [rule for rule in shown.named(seen.feedback) if rule.name not in already]


def _shares(
    missing: Iterable[Rule], shown: Situation, able: Sequence[str]
) -> Mapping[str, Sequence[Rule]]:
    """Deal the rules out by their place in the family: the same rule always to the same target."""
    shares: dict[str, list[Rule]] = {name: [] for name in able}
    if shown.family is not None and able:
        places = {rule.name: place for place, rule in enumerate(shown.family.rules)}
        for rule in missing:
            shares[able[places[rule.name] % len(able)]].append(rule)
    return shares


def _request(rules: Sequence[Rule], gain: str) -> str:
    if not rules:
        return f"{SETTLED}: what was missing is asked of another value."
    asked = [f"It should remind the member that {rules[0].clause}."]
    asked += [f"It should also remind it that {rule.clause}." for rule in rules[1:]]
    return " ".join((*asked, gain))


def _gain(shown: Situation, output: str, expected: str | None) -> str:
    if expected is None:
        return "The member is asked to pass that on."
    if shown.question is None:
        return f"The expected output shows that: {expected}."
    return f"With what is asked the output is {expected} instead of {output}."


def _nothing_found(shown: Situation, output: str, expected: str | None) -> str:
    if expected is None:
        return "Nothing is asked: the feedback names nothing that was missing."
    if shown.question is None:
        return (
            f"The output should have been {expected}. The question is not shown here, so what "
            "was missing cannot be worked out."
        )
    return (
        f"Nothing is asked: no slip in working on the question explains {output} where {expected} "
        "was expected."
    )


def _is_question(value: str) -> bool:
    return any(family.read(value) for family in FAMILIES)
