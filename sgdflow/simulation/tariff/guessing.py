"""A writer who is shown no work, only texts and their scores: it can keep, combine and guess."""

from __future__ import annotations

from hashlib import sha256
from random import Random

from sgdflow.simulation.reading import Rewrite
from sgdflow.simulation.tariff.language import (
    Facts,
    instruction_with,
    named_parts,
    read_facts,
    read_family,
)
from sgdflow.simulation.tariff.parts import PARTS

_PLAUSIBLE = {"sum": range(1, 41), "product": range(1, 11)}


def guess(prompt: Rewrite) -> str | None:
    """Return the best attempt with what helped in others and one more fact, guessed."""
    named = named_parts(prompt.text)
    if not named:
        return None
    family, facts = read_family(prompt.text), dict(_combined(prompt))
    random = Random(sha256(f"{prompt.seed}{prompt.request}".encode()).digest())
    open_questions = [
        (part, kind) for part in named for kind in PARTS[part] if (part, kind) not in facts
    ]
    if open_questions:
        about = random.choice(open_questions)
        tried = {read_facts(attempt.text).get(about) for attempt in prompt.attempts}
        values = [v for v in _PLAUSIBLE[family] if v not in tried]
        facts[about] = random.choice(values or _PLAUSIBLE[family])
    return instruction_with(facts, prompt.text, family)


def _combined(prompt: Rewrite) -> Facts:
    """Return what the better attempts state: all that did better than saying nothing."""
    scored = sorted(
        ((a.score, a.text) for a in prompt.attempts if a.score is not None), key=lambda one: one[0]
    )
    if not scored:
        return read_facts(prompt.text)
    silent = [score for score, text in scored if not read_facts(text)]
    bar = max(silent, default=scored[0][0])
    facts: dict[tuple[str, str], int] = {}
    for score, text in scored:  # the best last, so that it has the last word
        if score > bar:
            facts.update(read_facts(text))
    return facts
