"""What the texts of a parameter have to keep to, as it was declared."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sgdflow.executor.numbers import Numbers


@dataclass(frozen=True, slots=True)
class Constraints:
    """Declared of a parameter, for whoever writes it anew."""

    about: str = ""
    """What the text is for, in words for its writer."""
    max_characters: int | None = None
    max_tokens: int | None = None
    """Estimated from the characters, as everywhere."""
    keep: tuple[str, ...] = ()
    """What every text has to hold, letter by letter."""
    avoid: tuple[str, ...] = ()
    """What no text may hold, in any case of letters."""
    placeholders: tuple[str, ...] = ()
    """Names that every text has to hold in braces."""
    leak: int | None = None
    """So many words in a row of a training example may not stand in a text; None: any may."""
    choices: tuple[str, ...] = ()
    """The only texts there are; empty: any."""
    number: Numbers | None = None
    """The numbers that its texts are; None: they are no numbers."""


DECLARED = frozenset(one.name for one in fields(Constraints)) - {"number"}
"""What may be declared of texts."""
