"""What keeps a run from being shared out among workers."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

from sgdflow.config import schema
from sgdflow.llm.models import ModelSpec


def unanswered(address: str) -> str:
    """Say why nothing answers at HOST:PORT, where Ray would wait; empty where something does."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return ""
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def problems(config: schema.Config, models: Mapping[str, ModelSpec]) -> Iterator[str]:
    """Yield what declared workers cannot do, in messages."""
    if not config.workers.count:
        return
    where, llm = f"workers.count={config.workers.count}", config.llm
    if llm.store.mode == "off" and not all(spec.in_process for spec in models.values()):
        yield (
            f"{where}: workers share replies in the store, and llm.store.mode is off, so that each "
            "would pay for itself. Set llm.store.mode=use, or workers.count=0."
        )
    limits = llm.limits
    budget = limits.budget.model_dump(exclude_none=True)
    bounded = [f"budget.{name}" for name in budget]
    rates = ("requests_per_minute", "tokens_per_minute")
    bounded += [name for name in rates if getattr(limits, name) is not None]
    if bounded and not limits.shared:
        yield (
            f"{where}: each worker would have llm.limits.{bounded[0]} for itself. Set "
            "llm.limits.shared=true, or workers.count=0."
        )
    for role, share in limits.roles.items():
        if any(getattr(share, name) is not None for name in rates):
            yield (
                f"{where}: rates of a role (llm.limits.roles.{role}) are not shared by workers. "
                "Declare them for all, with llm.limits.shared=true, or set workers.count=0."
            )
    if config.workers.address is not None and config.workers.where != "ray":
        yield (
            f"workers.address={config.workers.address} is that of a Ray cluster. Set "
            "workers.where=ray, or workers.address=null."
        )
