"""A chain of people who speak of one another: does the last one tell the truth?"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_NAME = r"([A-Z]\w*)"
_QUESTION = re.compile(rf"(?:Question: )?(.+\.) Does {_NAME} tell the truth\?")
_GIVEN = re.compile(rf"{_NAME} (lies|tells the truth)")
_STATEMENT = re.compile(rf"{_NAME} says {_NAME} (lies|tells the truth)")

_SPEAK = r"\b(?:say|claim|state|call|assert|maintain|accus|denounc|declar)\w*"
_LIAR = r"\b(?:liars?|lies?|lying|lied|dishonest|untruthful)\b"
_TRUE = r"\b(?:truth|truthful|honest)\b"
_EITHER = rf"(?:{_LIAR}|{_TRUE})"
_TURN = r"\b(?:but|although|though|while|and|when|whereas|yet|where)\b"
# The words between two verdicts: any but verdicts; in _SAME they are on the same matter, after
# _THEN the second verdict is no longer what is said but how things are.
_GAP = rf"(?:(?!{_EITHER}|\bnot\b).){{0,60}}?"
_SAME = rf"(?:(?!{_EITHER}|{_TURN}|\bnot\b).){{0,60}}?"
_THEN = rf"{_SAME}{_TURN}{_GAP}"
_WRONG = rf"(?:{_LIAR}|\bfalse\b|\bwrong\b)"
_EXACTLY = (
    rf"{_TRUE} & \b(?:exactly|only|precisely|if and only)(?: when| if)?\b"
    r" & \b(?:statement|claim|what (?:he|she|they|is)|says?)\b"
    r" & \b(?:true|correct|holds|fits|right)\b"
)
_OPPOSITE = r"\b(?:accus\w+|calls? (?:\w+ ){0,2}liar)\b & \b(?:the opposite|opposites?)\b"
ACCUSING_A_LIAR = Rule(
    "accusing_a_liar",
    "Who calls a liar a liar tells the truth.",
    (
        rf"{_SPEAK}{_GAP}{_LIAR}{_GAP}{_LIAR}{_GAP}(?:{_TRUE}|\btrue\b|\bright\b)",
        rf"\b(?:accus|denounc)\w+ (?:an? |the |any )?{_LIAR}{_GAP}{_TRUE}",
        rf"{_TRUE}{_GAP}{_SPEAK}{_GAP}{_LIAR}{_SAME}{_LIAR}",
        _EXACTLY,
        _OPPOSITE,
    ),
)
ACCUSING_THE_HONEST = Rule(
    "accusing_the_honest",
    "Who calls an honest person a liar lies.",
    (
        rf"{_SPEAK}{_GAP}{_TRUE}{_SAME}{_LIAR}{_GAP}{_WRONG}",
        rf"{_SPEAK}{_GAP}{_LIAR}{_THEN}{_TRUE}{_GAP}{_WRONG}",
        rf"\b(?:accus|denounc)\w+{_GAP}{_TRUE}{_GAP}{_WRONG}",
        _EXACTLY,
        _OPPOSITE,
    ),
)
PRAISING_A_LIAR = Rule(
    "praising_a_liar",
    "Who says of a liar that he tells the truth lies himself.",
    (
        rf"{_SPEAK}{_GAP}{_LIAR}{_SAME}{_TRUE}{_GAP}{_WRONG}",
        rf"{_SPEAK}{_GAP}{_TRUE}{_THEN}{_LIAR}{_GAP}{_WRONG}",
        r"\b(?:vouch|back|support|prais|confirm|agree|trust|defend)\w*"
        rf"{_GAP}{_LIAR}{_GAP}{_WRONG}",
        _EXACTLY,
    ),
)
RULES = (ACCUSING_A_LIAR, ACCUSING_THE_HONEST, PRAISING_A_LIAR)


@dataclass(frozen=True, slots=True)
class Chain:
    """Who speaks of whom."""

    first: tuple[str, bool]
    """A name and whether its bearer tells the truth."""
    statements: tuple[tuple[str, str, bool], ...]
    """Speaker, the person spoken of, whether that one is said to tell the truth."""
    asked: str


def parse(question: str) -> Chain | None:
    """Read the statements; each is about the person before."""
    match = _QUESTION.fullmatch(question)
    if not match:
        return None
    given, *others = re.split(r"\.\s*", match[1].rstrip(" ."))
    first = _GIVEN.fullmatch(given)
    found = [_STATEMENT.fullmatch(other) for other in others]
    if not first:
        return None
    statements = tuple((m[1], m[2], m[3] != "lies") for m in found if m)
    known = [first[1], *(speaker for speaker, _, _ in statements)]
    in_order = all(about in known[: i + 1] for i, (_, about, _) in enumerate(statements))
    if len(statements) < len(found) or not in_order or match[2] not in known:
        return None
    return Chain((first[1], first[2] != "lies"), statements, match[2])


def solve(chain: Chain, told: frozenset[str]) -> str:
    """Find out whether the person asked about tells the truth.

    All but the last statement are weighed with care. Untold, at the last one whoever accuses
    somebody passes for the same as the accused, and whoever praises somebody is believed.
    """
    truthful = dict([chain.first])
    for speaker, about, praise in chain.statements[:-1]:
        truthful[speaker] = truthful[about] is praise
    for speaker, about, praise in chain.statements[-1:]:
        truthful[speaker] = _last(truthful[about], praise, told)
    return "Yes" if truthful[chain.asked] else "No"


def _last(about: bool, praise: bool, told: frozenset[str]) -> bool:
    if praise:
        return about or PRAISING_A_LIAR.name not in told
    if about:
        return ACCUSING_THE_HONEST.name not in told
    return ACCUSING_A_LIAR.name in told


def step(chain: Chain) -> str:
    """Name the people in order."""
    names = (chain.first[0], *(speaker for speaker, _, _ in chain.statements))
    return f"{', '.join(names)}."


FAMILY = Procedure("web_of_lies", RULES, parse, solve, "The people in order:", step)
