"""How dossiers are worked on: by hands that are distracted, a critic that slips, and a writer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

DISTRACTS = 0.01
"""How often a hand overlooks what it knows, for each rule it is told beyond those of one field."""
OF_ONE_FIELD = 4
SLIPS = 0.05
"""How often a critic says of one value what it should say of another one, or asks for a wrong
code where it speaks of one value only."""
_CODE = re.compile(r"=([A-Z])(\d)\b")


def distraction(rules: int) -> float:
    """Return how often a hand that is told so many rules overlooks one of them."""
    return DISTRACTS * max(0, rules - OF_ONE_FIELD)


def slipped(texts: Mapping[str, str], random: Random) -> Mapping[str, str]:
    """Return what a critic says, which now and then is the wrong thing."""
    if random.random() >= SLIPS:
        return texts
    names = list(texts)
    if len(names) > 1:
        return dict(zip(names, [texts[name] for name in (*names[1:], names[0])], strict=True))
    (name,), (text,) = names, texts.values()
    codes = list(_CODE.finditer(text))
    if not codes:
        return texts
    wrong = random.choice(codes)
    digit = (int(wrong[2]) - 1) % 6 + 2  # the next one of 2 to 7
    return {name: f"{text[: wrong.start(2)]}{digit}{text[wrong.end(2) :]}"}
