"""What `sgdflow compare` is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.homes import at_home
from sgdflow.tracking.reading import Selection

USAGE = """\
usage: sgdflow compare [KEY=VALUE ...]

Which runs (default: those of the latest multirun)
  parent=ID_OR_NAME    those of this multirun
  experiment=NAME      those filed under this MLflow experiment
  where=FILTER         those that an MLflow filter finds: where="params.`llm.name` = 'openai'"

The table
  rows=KEY[,KEY]       configuration keys; method, task, graph and llm stand for method.name, ...
  cols=KEY[,KEY]       default: rows are the methods (or what varies), columns the tasks
  score=SPLIT          test (default), validation or train: the final score
  reach=SCORE          count the calls until a step's score first reached it
  on=SPLIT             train (default) or validation: the score that has to reach it
  against=ROW          paired differences against this row
  groups=bbh           columns are the halves of BIG-Bench Hard
  out=FOLDER           write it as CSV, Markdown, SVG and HTML, too
  tracking.uri=URI     the store (default: mlflow.db in the working directory)
"""
_OPTIONS = (
    "rows", "cols", "against", "reach", "on", "score", "groups", "out",
    "parent", "experiment", "where",
)  # fmt: skip
_TRACKING = "tracking"


@dataclass(frozen=True, slots=True)
class Request:
    """A table to make."""

    rows: tuple[str, ...] = ()
    """Keys as they were given; none: see outcomes.default_rows."""
    columns: tuple[str, ...] = ()
    against: str | None = None
    reach: float | None = None
    on: str = "train"
    score: str = "test"
    halves: bool = False
    """Columns are the halves of BIG-Bench Hard."""
    out: Path | None = None
    selection: Selection = field(default_factory=Selection)
    overrides: tuple[str, ...] = ()
    """Words about tracking, for the configuration."""


def parse(words: Sequence[str]) -> Request:
    """Read `key=value` words; raises ConfigError."""
    overrides = tuple(word for word in words if word.split("=")[0].split(".")[0] == _TRACKING)
    given: dict[str, str] = {}
    for word in words:
        if word in overrides:
            continue
        key, equals, value = word.partition("=")
        if key not in _OPTIONS or not equals:
            known = [*_OPTIONS, "tracking.uri"]
            if key in known:
                raise ConfigError(f"{word}: needs a value: {key}=VALUE, without spaces.")
            raise ConfigError(
                f"sgdflow compare does not know '{word}'.{did_you_mean(key, known)} "
                f"It takes KEY=VALUE with {listed(known)}."
            )
        if not value:
            raise ConfigError(f"{key}= says nothing: give a value or leave it out.")
        given[key] = value
    return Request(
        rows=_keys(given.get("rows")),
        columns=_columns(given),
        against=given.get("against"),
        reach=_reach(given.get("reach")),
        on=_one_of(given, "on", ("train", "validation")),
        score=_one_of(given, "score", ("test", "validation", "train")),
        halves="groups" in given and _one_of(given, "groups", ("bbh",)) == "bbh",
        out=at_home(given["out"], "out") if "out" in given else None,
        selection=Selection(given.get("parent"), given.get("experiment"), given.get("where")),
        overrides=overrides,
    )


def _keys(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (key.strip() for key in (text or "").split(","))))


def _columns(given: dict[str, str]) -> tuple[str, ...]:
    if "cols" in given and "groups" in given:
        raise ConfigError("cols= and groups= both choose the columns: give one of them.")
    return _keys(given.get("cols"))


def _reach(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        score = float(text)
    except ValueError:
        score = -1.0
    if not 0 < score <= 1:
        raise ConfigError(f"reach={text} is not a score: give a number above 0, at most 1.")
    return score


def _one_of(given: dict[str, str], key: str, known: tuple[str, ...]) -> str:
    value = given.get(key, known[0])
    if value not in known:
        hint = did_you_mean(value, known)
        raise ConfigError(f"{key}={value} is not known.{hint} Known: {listed(known)}.")
    return value
