"""What is left where nobody knows the subject: replies of the right shape, by simple guesses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.reading import Critique, Rewrite, Work

_FIRST_OPTION = re.compile(r"^(?:Options:\s*\n)?\s*(?:(\(A\))|- (\S.*?))\s*$|^(\(A\)) ", re.M)
_NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")
_YES_OR_NO = re.compile(r"\byes\b.*\bno\b", re.IGNORECASE | re.DOTALL)
_DECIDES = re.compile(r"\b(?:answer|solve|solution|decide|result)\b", re.IGNORECASE)
_PARAGRAPH = 500
_STEP = re.compile(r"\b(?:intermediate|hint|step)\b", re.IGNORECASE)
ADVICE = "Read every word before answering."


class Guesses:
    """A world for texts about anything.

    A worker takes the first option, says Yes where a text has a number in it, or multiplies
    the first two numbers. A critic passes the feedback on. A writer asks for more care, which
    changes nothing. So whole runs can be tried on any data; their scores mean nothing at all.
    """

    def work(self, prompt: Work) -> str | None:
        """Guess an answer, or say something about the text where no answer is asked for."""
        texts = list(prompt.variables.values())
        if not texts:
            return None
        numbers = [number.replace(",", "") for number in _NUMBER.findall(texts[0])]
        if _STEP.search(prompt.instruction) or not _DECIDES.search(prompt.instruction):
            return f"The text has {len(texts[0].split())} words; {len(numbers)} are numbers."
        if option := _first_option(texts):
            return option
        if _YES_OR_NO.search(prompt.instruction):
            return "Yes" if numbers else "No"
        return _product(numbers) or "No"

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Pass on to every target what the feedback says: each thing once, and one paragraph.

        Through ten layers of ten it would else be ten thousand million times what was said first.
        """
        said = dict.fromkeys(" ".join(text.split()) for text in prompt.seen.feedback)
        told = " ".join(said)[:_PARAGRAPH]
        return {name: f"It should lead elsewhere. {told}" for name in prompt.targets}

    def revise(self, seen: Seen) -> str | None:
        """Leave the value as it is."""
        return seen.output

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Ask for more care, once."""
        if not prompt.examples or ADVICE in prompt.text:
            return None
        return f"{prompt.text} {ADVICE}"


def _first_option(texts: Iterable[str]) -> str | None:
    for text in texts:
        if found := _FIRST_OPTION.search(text):
            return next(group for group in found.groups() if group)
    return None


def _product(numbers: list[str]) -> str | None:
    if len(numbers) < 2:
        return numbers[0] if numbers else None
    product = float(numbers[0]) * float(numbers[1])
    return f"{product:g}"
