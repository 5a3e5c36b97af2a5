"""What a shipped scorer takes for the answer of an output, and how it compares, in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sgdflow.data import scoring
from sgdflow.data.answers import bare, find_number, find_option, find_yes_no, plain

_LONGEST = 200


class Read(NamedTuple):
    """What was read, and how it compares."""

    read_as: str | None
    """None: no answer of the kind was found."""
    compared_as: str
    plain: bool
    """Whether the output holds nothing else."""


def read(scorer: Callable[..., Any], output: Any, target: Any) -> Read | None:
    """Return what a scorer reads in an output; None for a scorer that is not known here."""
    kind = _KINDS.get(scorer)
    if kind is None:
        return None
    form = scoring.form(target) if kind == "like_target" else kind
    find, compared_as = _FORMS[form]
    text = "" if output is None else plain(str(output))
    found = find(text)
    if found is None:
        return Read(None, compared_as, False)
    return Read(found[:_LONGEST], compared_as, _letters(found) == _letters(text))


def _letters(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _number(text: str) -> str | None:
    found = find_number(text)
    return None if found is None else f"{found:.15g}"


def _text(text: str) -> str | None:
    return bare(text) or None


_KINDS: Mapping[Callable[..., Any], str] = {
    scoring.number: "number",
    scoring.option: "option",
    scoring.yes_no: "yes_no",
    scoring.exact: "text",
    scoring.like_target: "like_target",
}
_FORMS: Mapping[str, tuple[Callable[[str], str | None], str]] = {
    "number": (_number, "a number"),
    "option": (find_option, "an option letter"),
    "yes_no": (find_yes_no, "yes/no"),
    "brackets": (_text, "brackets"),
    "words": (_text, "a list of words"),
    "text": (_text, "a text"),
}
