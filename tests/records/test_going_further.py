"""What a run may be given more of when it goes on, and what not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sgdflow.config.compose import compose
from sgdflow.errors import ConfigError
from sgdflow.records.resume import check


def there(tmp_path: Path, *words: str) -> dict[str, Any]:
    raw = dict(compose(["tracking=none", *words]))
    (tmp_path / "config.yaml").write_text(json.dumps(raw), encoding="utf-8")
    return raw


def with_calls(raw: dict[str, Any], calls: int) -> dict[str, Any]:
    stop = {**raw["method"]["stop"], "budget": {**raw["method"]["stop"]["budget"], "calls": calls}}
    return {**raw, "method": {**raw["method"], "stop": stop}}


def test_a_larger_budget_goes_further_unless_legs_have_shared_the_old_one(tmp_path: Path) -> None:
    check(tmp_path, with_calls(there(tmp_path, "method.stop.budget.calls=300"), 900))
    raw = there(tmp_path, "method=sequence", "method.stop.budget.calls=300")
    with pytest.raises(ConfigError) as refused:
        check(tmp_path, with_calls(raw, 900))
    assert (
        "  method.stop.budget.calls: 300 there, 900 here, and the legs of method.sequence have "
        "shared the budget that there was"
    ) in str(refused.value).splitlines()
