"""Going on with a run that was stopped: what its directory holds already."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sgdflow.config.documents import from_yaml, read
from sgdflow.errors import ConfigError
from sgdflow.llm.address import answering
from sgdflow.records.folder import READ, as_yaml, read_json

_FREE = (
    "tracking", "probe", "workers", "llm.store", "llm.limits", "llm.check", "llm.assumed",
    "llm.api_key_env", "llm.transport",
    "llm.models.*.api_key_env", "llm.parameters.*headers",
    "llm.models.*.parameters.*headers",
)  # fmt: skip
"""What has no influence on the result, and may be another when a run goes on.

But a concurrency above 64 makes larger waves of the gate, which tells of them.
"""
_MORE = ("method.stop.steps", "method.stop.patience", "method.stop.budget.*")
"""What may be more when a run goes on, so that it goes further."""
_SHOWN = 5
_ABSENT = object()


def check(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise ConfigError where a directory holds a run with another configuration."""
    file = folder / "config.yaml"
    if not file.is_file():
        return
    there = read(file)
    there = there if isinstance(there, dict) else {}
    here = from_yaml(as_yaml(config), "the configuration")
    same = _endpoints(there) == _endpoints(here)
    differing = [
        f"  {path}: {_shown(before)} there, {_shown(now)} here{_why_not(path, here)}"
        for path, before, now in _differing(there, here)
        if not (same and path.rpartition(".")[2] in ("api_base", "endpoint"))
        and not (_is_more(path, before, now) and not _why_not(path, here))
    ]
    if differing:
        more = [f"  and {len(differing) - _SHOWN} more"] if len(differing) > _SHOWN else []
        lines = "\n".join([*differing[:_SHOWN], *more])
        raise ConfigError(
            f"{folder} holds a run with another configuration, which stays as it is.\n{lines}\n"
            "Choose another directory (hydra.run.dir, for a multirun hydra.sweep.dir): what both "
            "runs ask is taken from the store of replies all the same. To go on with the run that "
            "is there, give the command it was started with."
        )


def goes_further(folder: Path, config: Mapping[str, Any]) -> bool:
    """Say whether a run may take more than the one did that its directory holds."""
    there = read(folder / "config.yaml")
    here = from_yaml(as_yaml(config), "the configuration")
    return any(_is_more(*one) for one in _differing(there, here))


def _is_more(path: str, there: Any, here: Any) -> bool:
    if not any(fnmatchcase(path, one) for one in _MORE) or there is None or there is _ABSENT:
        return False
    numbers = isinstance(there, int | float) and isinstance(here, int | float)
    return here is None or (numbers and here > there)


def _why_not(path: str, config: Mapping[str, Any]) -> str:
    """Say why a run cannot go further, empty where it can."""
    if not any(fnmatchcase(path, one) for one in _MORE):
        return ""
    if path == "method.stop.steps" and config["method"].get("gate", {}).get("rule") == "paired":
        return ", and method.gate.rule=paired has shared its level among all steps"
    if path.startswith("method.stop.budget.") and config["method"].get("sequence"):
        return ", and the legs of method.sequence have shared the budget that there was"
    if _is_paid_again(config["llm"]):
        return ", and without llm.store.mode=use all steps so far would be paid again"
    return ""


def _is_paid_again(llm: Mapping[str, Any]) -> bool:
    """Say whether who goes through a run once more pays for what was answered."""
    if llm.get("store", {}).get("mode") not in ("off", "refresh"):
        return False
    names = [one.get("model") if isinstance(one, dict) else one for one in llm["models"].values()]
    return not all(str(name).startswith("simulated/") for name in names)


def finished(folder: Path, *, tracked: bool) -> Mapping[str, Any] | None:
    """Return the result of the run in a directory, None where it has none.

    A run that is to be tracked has ended when its run in MLflow has, too, which one that was
    killed may not even have; one that was not tracked needs none, nor one that would be paid again.
    """
    result, known = read_json(folder / "result.json"), read_json(folder / "mlflow.json")
    if tracked and (known.get("status") != "FINISHED" if known else _lacks_its_record(folder)):
        return None
    if not result or result.get("format") not in READ:
        return None
    return result if any(split["final"] for split in result["scores"].values()) else None


def _lacks_its_record(folder: Path) -> bool:
    """Say whether a run without one in MLflow was to have it, and can be given it for nothing."""
    file = folder / "config.yaml"
    there = read(file) if file.is_file() else None
    there = there if isinstance(there, dict) else {}
    tracked = there.get("tracking", {}).get("kind") == "mlflow"
    return tracked and not _is_paid_again(there.get("llm", {}))


def _endpoints(config: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Return who answers for each role; None where the configuration does not say it."""
    llm = config.get("llm")
    if not isinstance(llm, dict) or not isinstance(models := llm.get("models"), dict):
        return None
    found = []
    for role, model in models.items():
        own = model if isinstance(model, dict) else {"model": model}
        base = own.get("api_base")
        name = own.get("endpoint") or (None if base else llm.get("endpoint"))
        provider = str(own.get("model")).partition("/")[0]
        base = base or llm.get("api_base")
        several = " ".join(map(str, base)) if isinstance(base, list) else base
        found.append((str(role), answering(provider, several, name)))
    return found


def _differing(there: Any, here: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the keys that differ, each with what stands there and here."""
    if any(fnmatchcase(path, free) for free in _FREE):
        return
    if isinstance(there, dict) and isinstance(here, dict):
        for key in dict.fromkeys([*there, *here]):
            below = f"{path}.{key}" if path else str(key)
            yield from _differing(there.get(key, _ABSENT), here.get(key, _ABSENT), below)
    elif there != here:
        yield path, there, here


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "nothing"
    words = json.dumps(value, ensure_ascii=False, default=str)
    return words if len(words) <= 60 else f"{words[:60]}..."
