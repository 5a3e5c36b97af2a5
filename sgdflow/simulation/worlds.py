"""All that the simulated models know something about."""

from __future__ import annotations

from collections.abc import Sequence

from sgdflow.llm import Message
from sgdflow.simulation.forms import Forms
from sgdflow.simulation.guesses import Guesses
from sgdflow.simulation.inbox import Inbox
from sgdflow.simulation.letters import Letters
from sgdflow.simulation.model import World, answer, known
from sgdflow.simulation.procedures import Procedures
from sgdflow.simulation.tariff import TariffDesk


def reply(messages: Sequence[Message], seed: int) -> str:
    """Answer a chat from its text alone; the seed is what a provider calls so."""
    return answer((*_subjects(), Guesses()), messages, seed)


def knows(messages: Sequence[Message]) -> bool:
    """Return whether a world knows what a chat is about, or its answer is but a guess."""
    return known(_subjects(), messages)


def _subjects() -> tuple[World, ...]:
    return (TariffDesk(), Forms(), Letters(), Inbox(), Procedures())
