"""The forms that targets have: each alone, and those of a task together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sgdflow.data.answers import DIGITS
from sgdflow.data.dates import day_comes_first, is_slashed, target_dates
from sgdflow.errors import shortly

NUMBER = re.compile(rf"([-+]?)[$€£]?({DIGITS})\s?%?")
CODE = re.compile(r"\d+")
OPTION = re.compile(
    r"[*_`]*(?:"
    r"[(\[]([A-Za-z])[)\]][.:]?(?:\s+(?P<bracketed>.+))?|"
    r"(?:[Oo]ption|[Cc]hoice)\s+[(\[]?([A-Za-z])[)\]]?[.:]?|"
    r"([A-J])[).:]\s+(?P<opened>.+)|"
    r"([A-Za-z])[).:]?)[*_`]*",
    re.DOTALL,
)
YES_NO: Mapping[str, bool] = {"yes": True, "no": False, "y": True, "n": False}
TRUE_FALSE: Mapping[str, bool] = {
    "true": True,
    "false": False,
    "t": True,
    "f": False,
    **YES_NO,
}


class Name(NamedTuple):
    """What targets of a form are called: one, one of several kinds, many."""

    one: str
    some: str
    many: str


_NAMES = {
    "number": Name("number", "a number", "numbers"),
    "code": Name(
        "code with leading zeros", "a code with leading zeros", "codes with leading zeros"
    ),
    "option": Name("option letter", "an option letter", "option letters"),
    "yes_no": Name("yes or no", "yes or no", "yes or no"),
    "true_false": Name("true or false", "true or false", "true or false"),
    "date": Name("date", "a date", "dates"),
    "comma": Name(
        "number with a decimal comma",
        "a number with a decimal comma",
        "numbers with a decimal comma (write a point)",
    ),
    "list": Name("list", "a list", "lists"),
    "text": Name("text", "a text", "texts"),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """The one way in which the targets of a task are taken."""

    scorer: str
    said: str
    unsure: bool = False
    day_first: bool | None = None
    mostly: str | None = None
    """The form that only most targets have: the others are compared as text."""


def decide(targets: Sequence[Any]) -> Decision:
    """Return how targets are taken: by the form that most of them have, else as text."""
    counts = Counter(form_of(target) for target in targets)
    form = _most_common(counts)
    fitting = [target for target in targets if fits(form, target)]
    if form == "text" or 2 * len(fitting) < len(targets):
        return _as_text(counts)
    taken = _taken(form, fitting)
    others = [target for target in targets if not fits(form, target)]
    if not others or taken.scorer == "text":
        return taken
    shown = shortly(repr(others[0]), 40)
    told = (
        f"1 other ({shown}) is compared as text"
        if len(others) == 1
        else f"{len(others):,} others (the first: {shown}) are compared as text"
    )
    return replace(taken, said=f"{taken.said}; {told}", unsure=True, mostly=form)


def fits(form: str, target: Any) -> bool:
    """Say whether a target can be taken so in a task."""
    if form == "code":
        return CODE.fullmatch(str(target)) is not None
    return form_of(target) in _ALSO.get(form, {form})


_ALSO: Mapping[str, Collection[str]] = {"true_false": ("true_false", "yes_no")}
"""Forms that are taken like another where both are in a task."""


def _most_common(counts: Counter[str]) -> str:
    """Return the form that most targets have, each with those that are taken like it."""
    found = Counter(counts)
    if found["code"]:
        found["code"] += found.pop("number", 0)
    if found["true_false"]:
        found["true_false"] += found.pop("yes_no", 0)
    for form in ("text", "comma"):  # taken as text in any case
        found.pop(form, None)
    return max(found, key=lambda form: found[form], default="text")


def _taken(form: str, targets: Sequence[Any]) -> Decision:
    """Return how targets of one form are taken."""
    if form == "option":
        letters = {str(target).casefold() for target in targets}
        pairs = (({"t", "f"}, "true_false"), ({"y", "n"}, "yes_no"))
        form = next((truth for pair, truth in pairs if letters == pair), form)
    said = counted(len(targets), form)
    if form != "date":
        return Decision(form, said)
    orders = {day_comes_first(target) for target in targets} - {None}
    if len(orders) > 1:
        told = f"{said}, with the day first in some and the month in others: taken as text"
        return Decision("text", told, unsure=True)
    slashed = any(is_slashed(target) for target in targets)
    first = (True in orders) if slashed else None
    if first is None:
        return Decision(form, said)
    order = "day first: 05/01 is January 5" if first else "month first: 05/01 is May 1"
    return Decision(form, f"{said}, {order}", unsure=not orders, day_first=first)


def _as_text(counts: Counter[str]) -> Decision:
    """Take targets as text, and say what else some of them look like."""
    likes = [(name, count) for name, count in counts.most_common() if name != "text"]
    if not likes:
        return Decision("text", counted(counts["text"], "text"))
    told = [
        f"{count:,} {'looks' if count == 1 else 'look'} like {_some(name, count)}"
        for name, count in likes[:1]
    ]
    told += [f"{count:,} like {_some(name, count)}" for name, count in likes[1:]]
    if texts := counts["text"]:
        told.append(f"{texts:,} {'is' if texts == 1 else 'are'} text")
    return Decision("text", f"{', '.join(told)}: taken as text", unsure=True)


def form_of(target: Any) -> str:
    """Return the form that a target has for itself."""
    if isinstance(target, bool):
        return "true_false"
    if isinstance(target, int | float | Decimal):
        return "number"
    if isinstance(target, datetime | date):
        return "date" if target_dates(target, None) else "text"
    if not isinstance(target, str):
        return "text"
    return next((name for name, fits in _TEXTS.items() if fits(target)), "text")


_TEXTS: Mapping[str, Callable[[str], object]] = {
    "yes_no": lambda said: said.casefold() in ("yes", "no"),
    "true_false": lambda said: said.casefold() in ("true", "false"),
    "code": re.compile(r"0\d+").fullmatch,
    "number": NUMBER.fullmatch,
    "option": OPTION.fullmatch,
    "comma": re.compile(r"[-+]?\d+,\d+").fullmatch,
    "date": lambda said: target_dates(said, None),
}
"""Forms of a text, the first that fits."""


def option_of(match: re.Match[str]) -> tuple[str, str]:
    """Return the letter of an option in upper case, and its text if it has one."""
    letter = next(match[at] for at in (1, 3, 4, 6) if match[at])
    return letter.upper(), (match["bracketed"] or match["opened"] or "").strip("*_` ")


def form_of_text(text: str) -> str:
    """Return how a text is compared: brackets, words, or text."""
    if re.fullmatch(r"[\s()\[\]{}<>]+", text):
        return "brackets"
    return "words" if len(text.split()) > 1 and "," not in text else "text"


def counted(number: int, form: str) -> str:
    """Return "1 number", "200 numbers"."""
    return f"{number:,} {_NAMES[form].one if number == 1 else _NAMES[form].many}"


def _some(form: str, number: int) -> str:
    return _NAMES[form].some if number == 1 else _NAMES[form].many
