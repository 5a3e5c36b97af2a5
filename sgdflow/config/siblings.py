"""The keys that a mapping of the configuration may have, at a place that pydantic names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, Tag, TypeAdapter, ValidationError

_MOST = 12
"""Keys that are listed: where there are more of them, nobody finds the right one in a message."""

Kind = type[BaseModel]
Location = Sequence[int | str]


def siblings(model: Kind, location: Location) -> list[str]:
    """Return the keys that may stand where a wrong one does, in any form of its mapping."""
    return _keys(_kinds(model, location))


def fits(model: Kind, location: Location, value: object) -> bool:
    """Say whether a value may stand at a place, in any form of its mapping."""
    for kind in _kinds(model, location):
        for name, field in kind.model_fields.items():
            if location[-1] in (name, field.alias):
                kind_of_value: Any = field.annotation
                with suppress(ValidationError):
                    TypeAdapter(kind_of_value).validate_python(value)
                    return True
    return False


def _kinds(model: Kind, location: Location) -> Collection[Kind]:
    here: Collection[Kind] = {model}
    for part in location[:-1]:
        # Other parts are a key of a free mapping, or the form of a union: the models stay.
        here = {kind for kind, _ in _below(here, part)} or here
    return here


def of_this_form(model: Kind, location: Location) -> list[str]:
    """Return those of the very form in which a wrong one stands; empty where these are many."""
    here: dict[Kind, Collection[object]] = {model: ()}
    for part in location[:-1]:
        chosen = {kind: names for kind, names in here.items() if part in names}
        here = dict(_below(here, part)) or chosen or here
    keys = _keys(here)
    return keys if len(here) == 1 and len(keys) <= _MOST else []


def _keys(kinds: Iterable[Kind]) -> list[str]:
    return [one.alias or name for kind in kinds for name, one in kind.model_fields.items()]


def _below(kinds: Iterable[Kind], part: int | str) -> Iterator[tuple[Kind, Collection[object]]]:
    """Yield the models that a field takes, each with the names that choose it among others."""
    for kind in kinds:
        for name, field in kind.model_fields.items():
            if part in (name, field.alias):
                yield from _models(field.annotation)


def _models(
    annotation: object, chosen: Sequence[object] = ()
) -> Iterator[tuple[Kind, Collection[object]]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = annotation.model_fields.values()
        literals = [f.annotation for f in fields if get_origin(f.annotation) is Literal]
        yield annotation, {*chosen, *(value for one in literals for value in get_args(one))}
        return
    parts = get_args(annotation)
    if get_origin(annotation) is Annotated:
        chosen = [*chosen, *(one.tag for one in parts if isinstance(one, Tag))]
    for part in parts:
        yield from _models(part, chosen)
