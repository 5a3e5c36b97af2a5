"""Whether feedback asks for a change: as the form of a critic's reply says, and as worlds do."""

from __future__ import annotations

import re
from collections.abc import Sequence

SETTLED = "Nothing should change"
"""How a request begins that asks for nothing."""
UNSETTLED = "What is shown does not settle it"
_WORDS = re.compile(r"\b(?:CHANGE|KEEP|UNCLEAR)\b")
_LED = re.compile(r"^(CHANGE|KEEP|UNCLEAR)(?:: ?|$)", re.MULTILINE)
_UNCLEAR = re.compile(rf"{UNSETTLED}|Nothing is asked|Nothing can be said|.*cannot be worked out")


def asked_for(form: str) -> Sequence[str]:
    """Return the words that a prompt names, one of which each text is to begin with."""
    return tuple(dict.fromkeys(_WORDS.findall(form)))


def led(text: str, words: Sequence[str]) -> str:
    """Begin a critic's text with its word, if the prompt names that one."""
    if text.startswith(SETTLED):
        return f"KEEP: {text.removeprefix(SETTLED).lstrip(': ')}" if "KEEP" in words else text
    word = "UNCLEAR" if _UNCLEAR.match(text) else "CHANGE"
    return f"{word}: {text}" if word in words else text


def plain(feedback: str) -> str:
    """Return what a world understands: requests as they are, and what begins as SETTLED."""
    return _LED.sub(lambda found: f"{SETTLED}: " if found[1] == "KEEP" else "", feedback)
