"""What may stand under `method.stop`; every field says what it is for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sgdflow.config.fields import Conf, Count


class AllowanceConf(Conf):
    """How much calls may take."""

    calls: Count | None = None
    tokens: Count | None = None
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
    patience: Annotated[int, Field(ge=0)] | None = None
    score: Annotated[float, Field(ge=0, le=1)] = 1.0
    budget: BudgetConf = BudgetConf()
