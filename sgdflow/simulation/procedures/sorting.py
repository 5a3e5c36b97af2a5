"""Sorting words alphabetically."""

from __future__ import annotations

import re

from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_QUESTION = re.compile(r"Sort the following words alphabetically: List: (\S+(?: \S+)*)")
_EASILY_KEPT = 8  # a longer list loses a word on the way

_ORDERING = r"\b(?:compar|sort|order|decid|tie|same|equal|look|check|alphabet|rank|settle|go by)"
SECOND_LETTER = Rule(
    "second_letter",
    "Words that begin with the same letter are ordered by their second letter.",
    (
        rf"\b(?:second|next) letters? & {_ORDERING}",
        rf"\bletters? (?:two|2)\b & {_ORDERING}",
        rf"\bfirst two letters & {_ORDERING}",
    ),
)
ALL_LETTERS = Rule(
    "all_letters",
    "If two words still agree, go on to the third letter, the fourth, and so on to their end.",
    (
        rf"\b(?:third|following|later|subsequent|further|other|remaining) letters? & {_ORDERING}",
        r"\bthird letter & \b(?:go on|carry on|continue|move on|keep|then)\b",
        r"\bletter (?:by|for|after) letter\b",
        rf"\b(?:all|every|each)(?: of)?(?: the| their| its)? letters?\b & {_ORDERING}",
        rf"\b(?:whole|entire|full|complete) (?:words?|spellings?)\b & {_ORDERING}",
        r"\buntil (?:\w+ ){0,4}(?:differ|different|unequal)\b & \b(?:letter|word|compar)",
        r"\blexicographic|\bdictionary order|\bas (?:in|by) a dictionary\b",
        rf"\bbeyond the (?:first|second) letters?\b & {_ORDERING}",
    ),
)
EVERY_WORD = Rule(
    "every_word",
    "The answer has just as many words as the list: count them, so that no word is left out.",
    (
        r"\b(?:as many|same number of|number of) words & \b(?:list|answer|count|as)\b",
        r"\b(?:no|not a single|none of the) words? (?:\w+ ){0,3}"
        r"(?:lost|missing|left out|forgotten|omitted|dropped|skipped)\b",
        r"\b(?:every|each|all)(?: of)?(?: the)? words? (?:\w+ ){0,5}"
        r"(?:appears?|included?|present|kept|used|once|in the answer|in the result)\b",
        r"\b(?:include|keep|use|copy|write|list|output|contain|hold) (?:every|each|all)(?: of)?"
        r"(?: the)?(?: given| listed)? words?\b",
        r"\bremember (?:(?:any|a|all|a single|even one|of|the) )*words?\b",
        r"\bcount (?:the |all |of )*words\b",
    ),
)
RULES = (SECOND_LETTER, ALL_LETTERS, EVERY_WORD)


def parse(question: str) -> tuple[str, ...] | None:
    """Read the words to sort."""
    match = _QUESTION.fullmatch(question)
    return tuple(match[1].split()) if match else None


def solve(words: tuple[str, ...], told: frozenset[str]) -> str:
    """Sort the words; untold: by the first letter only, and one word of a long list is lost."""
    depth = None if ALL_LETTERS.name in told else 2 if SECOND_LETTER.name in told else 1
    kept = words if EVERY_WORD.name in told or len(words) <= _EASILY_KEPT else words[:-1]
    return " ".join(sorted(kept, key=lambda word: word[:depth]))


def step(words: tuple[str, ...]) -> str:
    """Gather the words by the letter they begin with."""
    initials = sorted({word[0] for word in words})
    gathered = (f"{i} has {', '.join(w for w in words if w[0] == i)}" for i in initials)
    return f"{', '.join(gathered)}."


def read_off(output: str, expected: str) -> tuple[Rule, ...]:
    """Return the rules that two orders of words show by themselves, without the question."""
    given, wanted = output.split(), expected.split()
    if len(wanted) < 2 or wanted != sorted(wanted) or not set(given) <= set(wanted):
        return ()
    found = []
    common = [word for word in wanted if word in given]
    if given != common and given == sorted(given, key=lambda word: word[0]):
        by_two = sorted(given, key=lambda word: word[:2])
        found.append(SECOND_LETTER if given != by_two else ALL_LETTERS)
    if len(given) < len(wanted):
        found.append(EVERY_WORD)
    return tuple(found)


FAMILY = Procedure("word_sorting", RULES, parse, solve, "By initial:", step, read_off)
