"""Gradients that only repeat the feedback they were written from."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from sgdflow.errors import ReplyError, listed

# Words that say nothing of how a value is found.
_EMPTY_WORDS = frozenset(
    "a an the it this that its value output answer of to be is was were are been should must have "
    "has had would and instead not no correct right wrong expected change changed make made so as "
    "since because therefore thus then but or in on at by for with from which what will "
    "can could may need needs needed give given gives say says said state stated return be result "
    "according feedback query i you we they he she your their our".split()
)

# Words that say nothing either, where they stand around something that was said.
_AROUND = frozenset("exactly final here hint produce solution total write".split())
_SHORT = 2


def repeating(
    said: Sequence[str], output: object = "", given: Iterable[object] = ()
) -> Callable[[str], bool]:
    """Return what tells whether a gradient only repeats what was said.

    It may name the output, or a number that was given, as what was wrong: not two of these,
    which may be how the right value comes about.
    """
    known = set(_words(" ".join(said)))
    seen = {
        *_short(output),
        *(word for value in given for word in _short(value) if word.isdecimal()),
    }

    def repeats(text: str) -> bool:
        words = set(_words(text))
        new = words - known - _AROUND
        return words <= known or (bool(words & known) and new <= seen and len(new) <= 1)

    return repeats


def asking_once_for_more(repeats: Callable[[str], bool]) -> Callable[[Mapping[str, str]], None]:
    """Return what refuses, the first time, gradients that only repeat what was said."""
    asked = False

    def accept(texts: Mapping[str, str]) -> None:
        nonlocal asked
        found = [name for name, text in texts.items() if repeats(text)]
        if found and not asked:
            asked = True
            raise ReplyError(
                f"what it says of {listed(found)} only repeats the feedback; "
                "state the rule by which the right value is found"
            )

    return accept


def taking_all(texts: Mapping[str, str]) -> None:
    """Take any gradients."""


def _short(value: object) -> list[str]:
    """Return the words of a value, none where it has many."""
    words = _words(str(value)) if isinstance(value, str | int | float) else []
    return words if len(words) <= _SHORT else []


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in _EMPTY_WORDS]
