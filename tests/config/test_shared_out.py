"""What keeps a run from being shared out among workers, in words that can be followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from sgdflow.config import schema
from sgdflow.config.workers import problems
from sgdflow.llm.models import ModelSpec

BUDGET = {"budget": {"calls": 5}}


@pytest.mark.parametrize(
    ("workers", "llm", "told"),
    [
        ({"count": 0}, {"limits": BUDGET, "store": {"mode": "off"}}, []),
        ({"count": 2}, {"limits": {**BUDGET, "shared": True}}, []),
        (
            {"count": 2},
            {"limits": BUDGET},
            [
                "workers.count=2: each worker would have llm.limits.budget.calls for itself. Set "
                "llm.limits.shared=true, or workers.count=0."
            ],
        ),
        (
            {"count": 2},
            {"store": {"mode": "off"}},
            [
                "workers.count=2: workers share replies in the store, and llm.store.mode is off, "
                "so that each would pay for itself. Set llm.store.mode=use, or workers.count=0."
            ],
        ),
        (
            {"count": 3},
            {"limits": {"roles": {"judge": {"tokens_per_minute": 9}}}},
            [
                "workers.count=3: rates of a role (llm.limits.roles.judge) are not shared by "
                "workers. Declare them for all, with llm.limits.shared=true, or set "
                "workers.count=0."
            ],
        ),
        (
            {"count": 1, "address": "head:6379"},
            {},
            [
                "workers.address=head:6379 is that of a Ray cluster. Set workers.where=ray, or "
                "workers.address=null."
            ],
        ),
    ],
)
def test_what_workers_cannot_keep_to_is_refused(
    workers: Mapping[str, Any], llm: Mapping[str, Any], told: list[str]
) -> None:
    models = {"forward": ModelSpec("openai/m")}
    config = schema.Config.model_construct(
        workers=schema.WorkersConf.model_validate(workers),
        llm=schema.LLMConf.model_validate({"name": "n", "models": {}, **llm}),
    )
    assert [*problems(config, models)] == told
