"""Letters and replies to them, which hold what a writer was told to say, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.reading import Critique, Rewrite, Work
from sgdflow.simulation.wishes import SETTLED

_LETTER = re.compile(r"^Letter \d+\. (.+)", re.DOTALL)
_QUOTED = re.compile(r'"([^"\n]+)"')
_LACKS = re.compile(r"\bIt lacks: ([^.\n]+)\.")
_SAY = re.compile(r'\s*Say "[^"\n]+"\.')


class Letters:
    """A world of letters.

    A worker says what its instruction puts in quotes, or lists what a letter asks where it is told
    to list. The critic asks the member itself for what the feedback says is lacking; the writer
    puts that into the instruction.
    """

    def work(self, prompt: Work) -> str | None:
        """Answer a letter, or list what it asks."""
        letters = _letters(prompt.variables.values())
        if not letters:
            return None
        if re.search(r"\blist\b", prompt.instruction, re.IGNORECASE):
            return f"It asks: {letters[0].split('. ')[0].rstrip('.')}."
        said = _QUOTED.findall(prompt.instruction) or ["your letter has arrived"]
        return f"Dear reader, {', '.join(said)}."

    def critique(self, prompt: Critique) -> Mapping[str, str] | None:
        """Say what the member itself should have said."""
        if not _letters(prompt.seen.variables.values()):
            return None
        lacking = _lacking(prompt.seen.feedback)
        asked = f"It lacks: {', '.join(lacking)}." if lacking else f"{SETTLED}: all is said."
        others = f"{SETTLED}: what was given is right."
        given = prompt.seen.variables
        return {name: others if name in given else asked for name in prompt.targets}

    def revise(self, seen: Seen) -> str | None:
        """Leave every value to who wrote it."""
        return None

    def rewrite(self, prompt: Rewrite) -> str | None:
        """Have said what is lacking."""
        if not any(_letters(one.variables.values()) for one in prompt.examples):
            return None
        said = [*_QUOTED.findall(prompt.text)]
        said += [word for one in prompt.examples for word in _lacking(one.feedback)]
        return " ".join(
            [_SAY.sub("", prompt.text), *(f'Say "{word}".' for word in dict.fromkeys(said))]
        )


def _letters(texts: Iterable[str]) -> Sequence[str]:
    """Return what the letters among some texts say."""
    return [found[1] for text in texts if (found := _LETTER.match(text))]


def _lacking(feedback: Iterable[str]) -> Sequence[str]:
    """Return what feedback says is lacking, unless nothing is to be changed."""
    said = [text for text in feedback if not text.startswith(SETTLED)]
    return [word for text in said for found in _LACKS.findall(text) for word in found.split(", ")]
