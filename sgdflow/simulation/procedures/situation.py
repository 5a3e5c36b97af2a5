"""What a prompt shows of a question and of what has been said about it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sgdflow.simulation.procedures.families import FAMILIES
from sgdflow.simulation.procedures.question import Family, Question
from sgdflow.simulation.procedures.rules import Rule, sentences_of, stated

_EXPECTED = re.compile(
    r"\b(?:expected|correct|right) (?:answer|output|result)(?: is| was|:)+[ \t]*(\S.*)"
    r"|\banswer should (?:be|have been):?[ \t]*(\S.*)",
    re.IGNORECASE,
)
_SEEK = (
    r"\b(?:work out|find|state|give|write|provide|offer|produce|suggest|formulate|name|propose"
    r"|note|list|think of|come up with|contribute|prepare|generate|compute)\b"
    r" (?:(?!(?:answers?|solutions?|us(?:e|ing)|with|from|given|based)\b)\w+ ){0,4}"
)
_HELP = (
    r"(?:intermediate|hints?|clues?|sub ?(?:step|goal|problem|result|question)s?|partial"
    r"|preparatory|reminders?|advice|tips?|pointers?|helpful|useful|helps?)"
)
_STEP = re.compile(
    rf"{_SEEK}{_HELP}\b"
    r"|^(?:an? |one |the |your )?(?:first |next )?(?:intermediate|partial) (?:step|result)"
    r"|\bwithout (?:solving|answering|giving (?:the|an) (?:final )?answer)\b"
    r"|\bnot (?:yet )?(?:solve|answer)(?: it| the (?:problem|question|query)| yet|$)"
    r"|\bnot (?:yet )?give (?:the|an) (?:final )?answer\b"
)


@dataclass(frozen=True, slots=True)
class Situation:
    """The question among the variables of a prompt, and the statements beside it."""

    family: Family | None
    """Known from the question or, where it is not shown, from the form of a statement."""
    question: Question | None
    statements: tuple[str, ...]

    def told(self, *texts: str) -> frozenset[str]:
        """Return the rules of the family that the texts or the statements state."""
        rules = self.family.rules if self.family else ()
        return stated(rules, *texts, *self.statements)

    def named(self, texts: Iterable[str]) -> tuple[Rule, ...]:
        """Return the rules of the family that the texts, and only they, state."""
        rules = self.family.rules if self.family else ()
        names = stated(rules, *texts)
        return tuple(rule for rule in rules if rule.name in names)


def situation(variables: Mapping[str, str]) -> Situation:
    """Find the question among the variables; all others are statements."""
    for name in sorted(variables, key=lambda name: name != "question"):
        for family in FAMILIES:
            if question := family.read(variables[name]):
                others = tuple(value for key, value in variables.items() if key != name)
                return Situation(family, question, others)
    statements = tuple(variables.values())
    families = (f for s in statements for f in FAMILIES if s.startswith(f.opening))
    return Situation(next(families, None), None, statements)


def expected_answer(feedback: Iterable[str]) -> str | None:
    """Return the answer that the feedback says was expected."""
    for text in feedback:
        if match := _EXPECTED.search(text):
            return (match[1] or match[2]).strip().strip("\"'`")
    return None


def asks_for_step(instruction: str) -> bool:
    """Tell whether an instruction asks for a step on the way and not for the answer."""
    return any(_STEP.search(sentence) for sentence in sentences_of(instruction))
