"""Counting the things of a kind in a list of possessions."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_QUESTION = re.compile(r"I have (.+)\. How many ([a-z ]+) do I have\?", re.DOTALL)
_ENTRY_END = re.compile(r",\s*(?:and\s+)?|\s+and\s+")
_NUMBERS = {
    word: number
    for number, words in enumerate(
        ("a an one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1
    )
    for word in words.split()
}
_KINDS = {
    "fruit": "apple apricot banana blackberry blueberry cherry fig grape grapefruit kiwi lemon lime"
    " mango melon nectarine orange peach pear pineapple plum raspberry strawberry watermelon",
    "vegetable": "asparagus bean beet broccoli cabbage carrot cauliflower celery corn cucumber"
    " eggplant garlic leek lettuce onion pea pepper potato pumpkin radish spinach turnip yam"
    " zucchini",
    "musical instrument": "accordion bassoon cello clarinet drum fiddle flute guitar harmonica harp"
    " oboe organ piano saxophone trombone trumpet tuba viola violin xylophone",
    "animal": "bear bird cat chicken cow deer dog donkey duck fish fox frog goat goose hamster hen"
    " horse lion monkey mouse pig rabbit rooster sheep snail snake spider tiger turkey turtle",
    "furniture": "bed bench chair couch desk lamp shelf sofa stool table",
    "appliance": "fridge freezer microwave oven stove toaster",
    "vehicle": "bicycle bike bus car motorcycle truck van",
}
_KIND_OF = {noun: kind for kind, nouns in _KINDS.items() for noun in nouns.split()}
_IRREGULAR = {"mice": "mouse", "geese": "goose", "fish": "fish", "sheep": "sheep"}

QUANTITIES = Rule(
    "quantities",
    "Add up the stated quantities: three bananas count as three.",
    (
        r"\b(?:add|sum|total)\w* (?:up )?(?:\w+ ){0,4}(?:numbers|quantities|amounts)\b",
        r"\b(?:stated|given|named|mentioned|written) (?:numbers?|quantit\w+|amounts?)\b",
        r"\bquantit\w+ & \b(?:count|matter|respect|attention|account|consider|includ|mind|heed)",
        r"\bhow many (?:there are )?of each\b",
        r"\b(two|three|four|five) (?:\w+ ){1,3}(?:counts?|are|makes?|as|for) (?:\w+ ){0,2}\1\b",
        r"\b(two|three|four|five) \w+, (?:count|add) \1\b",
        r"\bnot (?:the |count |different |by )*(?:kinds|types|entries|nouns)\b"
        r" & \b(?:items?|pieces|things|single|individual)\b",
        r"\b(?:each|every) (?:single |individual )?(?:item|piece|copy|unit)\b"
        r" & \b(?:plural|kind|several|group)",
    ),
)
ONLY_ASKED = Rule(
    "only_asked",
    "Count only what belongs to the kind asked for.",
    (
        r"\b(?:only|just|nothing but) (?:\w+ ){0,4}(?:belong\w*|asked|fits?|match\w*|falls?)\b",
        r"\b(?:only|just|nothing but) (?:\w+ ){0,7}"
        r"(?:asked (?:for|about)|in question|of (?:that|the right) (?:kind|category|type|class))",
        r"\b(?:leave out|leaving out|skip|ignore|exclude|disregard|omit|discard|drop|not count"
        r"|filter out|remove|set aside|remember) (?:\w+ ){0,4}"
        r"(?:else|others?|unrelated|not|different|another)\b",
        r"\b(?:belongs?|fits?|match\w*) (?:in |to )?(?:\w+ )?(?:kind|category|type|class)\b"
        r" & \b(?:only|check|whether|if)\b",
    ),
)
LAST_ENTRY = Rule(
    "last_entry",
    "Count the last entry too, the one after the word and.",
    (
        r"\b(?:last|final) (?:entry|item|thing|object|element|member|part)\b"
        r" & \b(?:remember|includ\w*|counts?|counted|counting|too|as well|also)\b",
        r"\b(?:after|behind|following) (?:the )?(?:word |final |last )*and\b"
        r" & \b(?:count\w*|item|entry|include|thing|remember)\b",
        r"\b(?:to|until) the (?:very )?end of the (?:list|sentence)\b",
    ),
)
RULES = (QUANTITIES, ONLY_ASKED, LAST_ENTRY)


@dataclass(frozen=True, slots=True)
class Possessions:
    """What somebody has, and the kind that is asked about."""

    entries: tuple[tuple[int, str], ...]
    kind: str


def parse(question: str) -> Possessions | None:
    """Read the entries of the list and the kind asked about."""
    match = _QUESTION.fullmatch(question)
    if not match:
        return None
    entries = []
    for entry in _ENTRY_END.split(match[1]):
        number, _, noun = entry.partition(" ")
        if number not in _NUMBERS and not number.isdigit():
            return None
        entries.append((_NUMBERS.get(number) or int(number), noun))
    return Possessions(tuple(entries), _singular(match[2]))


def solve(problem: Possessions, told: frozenset[str]) -> str:
    """Count what belongs to the kind.

    Untold: every entry counts once however many it names, whatever it is, and of a list of more
    than three entries the last is missed.
    """
    entries = problem.entries
    if LAST_ENTRY.name not in told and len(entries) > 3:
        entries = entries[:-1]
    if ONLY_ASKED.name in told:
        entries = tuple(entry for entry in entries if _is_a(entry[1], problem.kind))
    return str(sum(number if QUANTITIES.name in told else 1 for number, _ in entries))


def step(problem: Possessions) -> str:
    """Name the entries."""
    return f"{', '.join(noun for _, noun in problem.entries)}."


def _is_a(noun: str, kind: str) -> bool:
    """Tell whether a noun is of a kind; a noun or kind not known is taken to fit."""
    known = {_KIND_OF[word] for word in map(_singular, noun.split()) if word in _KIND_OF}
    return not known or kind not in _KINDS or kind in known


def _singular(noun: str) -> str:
    if noun in _IRREGULAR:
        return _IRREGULAR[noun]
    if noun.endswith("ies"):
        return noun[:-3] + "y"
    stem = noun.removesuffix("es")
    if stem != noun and (stem in _KIND_OF or stem.endswith(("ch", "sh", "x"))):
        return stem
    return noun.removesuffix("s") if not noun.endswith(("ss", "us")) else noun


FAMILY = Procedure("object_counting", RULES, parse, solve, "The list names these:", step)
