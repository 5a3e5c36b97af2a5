"""All that the simulated models know something about."""

from __future__ import annotations

from collections.abc import Sequence

from sgdflow.llm import Message
from sgdflow.simulation.forms import Forms
from sgdflow.simulation.guesses import Guesses
from sgdflow.simulation.inbox import Inbox
from sgdflow.simulation.letters import Letters
from sgdflow.simulation.model import World, answer
from sgdflow.simulation.procedures import Procedures
from sgdflow.simulation.tariff import TariffDesk


def reply(messages: Sequence[Message], seed: int) -> str:
    """Answer a chat from its text alone; the seed is what a provider calls so."""
    subjects: tuple[World, ...] = (TariffDesk(), Forms(), Letters(), Inbox(), Procedures())
    return answer((*subjects, Guesses()), messages, seed)
