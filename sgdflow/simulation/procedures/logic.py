"""Boolean expressions with not, and, or and parentheses."""

from __future__ import annotations

import re
from itertools import groupby

from sgdflow.simulation.procedures.notation import reduce
from sgdflow.simulation.procedures.question import Procedure
from sgdflow.simulation.procedures.rules import Rule

_TOKEN = re.compile(r"True|False|not|and|or|[()]")
_QUESTION = re.compile(rf"((?:(?:{_TOKEN.pattern})\s*)+) is")

_WORK = (
    r"(?:work(?:ing)? out|evaluat\w+|comput\w+|calculat\w+|solv\w+|resolv\w+|simplif\w+"
    r"|reduc\w+|handle|appl\w+|process|join)"
)
_NOT_CLOSING = r"^(?!.*\b(?:clos|open))"
BRACKETS_FIRST = Rule(
    "brackets_first",
    "Work out what stands between parentheses first.",
    (
        rf"{_NOT_CLOSING} & \b(?:{_WORK}|do|start with|begin with|treat)"
        r" (?:\w+ ){0,5}(?:bracket|parenthes) & \b(?:first|before|inner|inside|own|separate|alone"
        r"|start|begin|unit|whole)",
        rf"{_NOT_CLOSING} & \b(?:brackets?|parenthes[ie]s) (?:\w+ ){{0,3}}"
        r"(?:comes?|goes?|binds?|takes?)\b & \b(?:first|precedence|priority|tight\w*|before)\b",
        rf"{_NOT_CLOSING} & \bfirst {_WORK} (?:\w+ ){{0,4}}(?:bracket|parenthes)",
        rf"{_NOT_CLOSING} & \b(?:inside|within|in|between) (?:the |any |all )?"
        rf"(?:brackets?|parenthes[ie]s)\b & \b{_WORK}\b & \b(?:first|before)\b",
        r"\b(?:respect|heed|mind|observe|obey) (?:the |all )?(?:brackets|parentheses)\b",
        r"\b(?:pemdas|bodmas|bidmas)\b",
    ),
)
_FILLER = (
    r"(?:(?:is|are|be|operators?|operations?|parts?|terms?|goes|go|comes?|must|should|always"
    r"|worked out|evaluated|done|computed|resolved|handled|applied|joined|the|all|any|every|an?"
    r"|has|have|takes?|precedence|priority|first|higher|do|you) )*"
)
AND_FIRST = Rule(
    "and_before_or",
    "An and is joined before any or.",
    (
        rf"\bands? {_FILLER}(?:before|ahead of|prior to|over|than|tighter than|stronger than"
        rf"|binds? (?:tighter|stronger|more tightly|more strongly) than) {_FILLER}ors?\b",
        rf"\bors? {_FILLER}(?:after|later than|only after|weaker than|lower than|last)\b",
        r"\bconjunctions? (?:\w+ ){0,5}(?:before|over|than) (?:\w+ ){0,3}disjunctions?\b",
        rf"\b{_WORK} (?:every |each |all |the )*ands? (?:\w+ )?(?:first|before (?:\w+ )?or)\b",
    ),
)
NOT_NEXT = Rule(
    "not_next",
    "A not applies only to the value or the pair of parentheses right after it.",
    (
        r"\bnots? binds? (?:tighter|stronger|more \w+) than & \b(?:and|ors?)\b",
        r"\bnots? (?:operators? )?(?:has|takes?) (?:the )?(?:high\w+ )?(?:precedence|priority)\b",
        r"\bnots? (?:is |only )?(?:applies|applied|binds|belongs|refers|negates|acts|affects|flips"
        r"|reaches|covers|inverts|governs) & \b(?:only|just|direct|immediate|next|right after"
        r"|follow|single|tight|than)",
        r"\bnegations? (?:has|have|takes?|comes?|goes|go|binds?) & \b(?:highest|tight\w*|strong\w*"
        r"|first|before|precedence|priority)\b",
        rf"\b{_WORK} (?:every |each |all |the |any )*nots? (?:\w+ ){{0,2}}(?:first|before)\b",
        r"\bnots? (?:has|have|takes?|comes?|goes|go|binds?) (?:\w+ ){0,2}"
        r"(?:highest|tightest|strongest|first|before|precedence)\b",
        r"\bnegat\w+ (?:\w+ ){0,3}(?:only|just) (?:\w+ ){0,4}(?:next|follow|right after|immediate"
        r"|direct)",
        r"\bnegat\w+ (?:\w+ ){0,4}(?:highest|tightest|strongest|first|before) (?:\w+ ){0,3}"
        r"(?:precedence|and|priority)\b",
    ),
)
EVERY_NOT = Rule(
    "every_not",
    "Two nots in a row cancel each other out.",
    (
        r"\b(?:two|double|pairs? of|even number of|consecutive|repeated|successive|several"
        r"|multiple|adjacent|stacked) (?:\w+ )?(?:nots?|negations?)\b"
        r" & \b(?:cancel|undo|nothing|each|turn|flip|same|give back|every|count|separate)",
        r"\bnot not (?:\w+ )?(?:is|are|means?|equals?|gives?|cancels?|undo\w*|can be)\b",
        r"\bnots? & \banother nots?\b & \b(?:undo\w*|cancel\w*|revers\w+)\b",
        r"\b(?:each|every) (?:single )?(?:not|negation) (?:\w+ ){0,3}"
        r"(?:flip|revers|invert|count|separately|toggle|turn)",
    ),
)
RULES = (BRACKETS_FIRST, NOT_NEXT, EVERY_NOT, AND_FIRST)


def parse(question: str) -> tuple[str, ...] | None:
    """Read the tokens of the expression."""
    match = _QUESTION.fullmatch(question)
    if not match:
        return None
    tokens = tuple(_TOKEN.findall(match[1]))
    try:
        solve(tokens, frozenset(rule.name for rule in RULES))
    except (IndexError, RecursionError):
        return None
    return tokens


def solve(expression: tuple[str, ...], told: frozenset[str]) -> str:
    """Evaluate the expression.

    Untold: parentheses are overlooked, several nots in a row count as one, a not takes in all
    that follows on its level, and and or are taken from left to right.
    """
    tokens = list(expression)
    if BRACKETS_FIRST.name not in told:
        tokens = [token for token in tokens if token not in "()"]
    if EVERY_NOT.name not in told:
        runs = ((token, list(run)) for token, run in groupby(tokens))
        tokens = [t for token, run in runs for t in (run[:1] if token == "not" else run)]
    value = _level(tokens, told)
    if tokens:
        raise IndexError(tokens)
    return str(value)


def _level(tokens: list[str], told: frozenset[str]) -> bool:
    values, operators = [_operand(tokens, told)], []
    while tokens and tokens[0] in ("and", "or"):
        operators.append(tokens.pop(0))
        values.append(_operand(tokens, told))
    first = "and" if AND_FIRST.name in told else "and or"
    return reduce(values, operators, first, _join)


def _operand(tokens: list[str], told: frozenset[str]) -> bool:
    token = tokens.pop(0)
    if token == "not":
        return not (_operand(tokens, told) if NOT_NEXT.name in told else _level(tokens, told))
    if token == "(":
        value = _level(tokens, told)
        if tokens.pop(0) != ")":
            raise IndexError(token)
        return value
    return token == "True"


def _join(operator: str, one: bool, other: bool) -> bool:
    return (one and other) if operator == "and" else (one or other)


def step(expression: tuple[str, ...]) -> str:
    """Count what the expression is made of."""
    values = sum(token in ("True", "False") for token in expression)
    return f"{values}."


FAMILY = Procedure("boolean_expressions", RULES, parse, solve, "Truth values:", step)
