"""What a template is told that asks a value for what it does not have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from jinja2 import StrictUndefined
from jinja2.utils import missing

from sgdflow.errors import did_you_mean, listed, shortly
from sgdflow.prompting.values import Shown


class Absent(StrictUndefined):
    """What is not there; whoever uses it is told what is."""

    @property
    def _undefined_message(self) -> str:
        name = self._undefined_name
        value: Any = self._undefined_obj
        if self._undefined_hint or value is missing or not isinstance(name, str):
            return super()._undefined_message
        if isinstance(value, Sequence) and value and all(isinstance(one, Shown) for one in value):
            shown = [one.name for one in value]
            meant = "" if name in shown else did_you_mean(name, shown)
            one = name if name in shown else shown[0]
            return (
                f"'{name}' is asked of a list, whose members are variables: {listed(shown)}."
                f"{meant} One of them is written by its name alone, such as {{{{ {one} }}}}; a "
                "loop writes each: {% for one in predecessors %}{{ one.value }}{% endfor %}"
            )
        known = _names(value)
        if known is None:
            return super()._undefined_message
        has = f"There are: {shortly(listed(known), 300)}" if known else "It is empty"
        return f"there is no '{name}' here.{did_you_mean(name, known)} {has}"


def _names(value: Any) -> Sequence[str] | None:
    """Return what can be asked for by name; None where nobody can list it."""
    if isinstance(value, Mapping):
        return [str(name) for name in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [one.name for one in fields(value) if not one.name.startswith("_")]
    return None
