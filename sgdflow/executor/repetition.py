"""Gradients that only repeat the feedback they were written from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from sgdflow.errors import ReplyError, listed

# Words that say nothing of how a value is found.
_EMPTY_WORDS = frozenset(
    "a an the it this that its value output answer of to be is was were are been should must have "
    "has had would and instead not no correct right wrong expected change changed make made so as "
    "since because therefore thus then but or in on at by for with from which what will "
    "can could may need needs needed give given gives say says said state stated return be result "
    "according feedback query i you we they he she your their our".split()
)


def asking_once_for_more_than(said: Sequence[str]) -> Callable[[Mapping[str, str]], None]:
    """Return what refuses, the first time, gradients that only repeat what was said."""
    known, asked = set(_words(" ".join(said))), False

    def accept(texts: Mapping[str, str]) -> None:
        nonlocal asked
        repeating = [name for name, text in texts.items() if known.issuperset(_words(text))]
        if repeating and not asked:
            asked = True
            raise ReplyError(
                f"what it says of {listed(repeating)} only repeats the feedback; "
                "state the rule by which the right value is found"
            )

    return accept


def taking_all(texts: Mapping[str, str]) -> None:
    """Take any gradients."""


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.lower()) if word not in _EMPTY_WORDS]
