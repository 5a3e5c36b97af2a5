"""What may stand under `method.stop`; every field says what it is for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sgdflow.config.fields import Conf, Count


class AllowanceConf(Conf):
    """How much calls may take."""

    calls: Count | None = None
    """Calls of models; null: any number."""
    tokens: Count | None = None
    """Tokens of prompts and replies; null: any number."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """US dollars."""


class BudgetConf(AllowanceConf):
    """How much a run may use; whichever is reached first ends it after the step."""

    forward: Count | None = None
    """Calls of the roles that the graph's nodes name."""
    roles: dict[str, AllowanceConf] = Field(default_factory=dict)
    """What a role may use."""


class StopConf(Conf):
    """When the descent ends."""

    steps: Annotated[int, Field(ge=0)] = 10
    """Steps at most."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """Steps in a row without an accepted proposal; null: any number."""
    score: Annotated[float, Field(ge=0, le=1)] = 1.0
    """A training score that is good enough."""
    budget: BudgetConf = BudgetConf()
