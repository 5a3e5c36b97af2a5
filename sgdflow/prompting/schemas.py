"""Schemas of structured replies; the only place that knows jsonschema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sgdflow.errors import ReplyError, did_you_mean, listed, shortly

_TYPES: Mapping[str, tuple[str, str]] = {
    "text": ("string", "a text"),
    "integer": ("integer", "a whole number"),
    "number": ("number", "a number"),
    "boolean": ("boolean", "true or false"),
}
"""What a field may be declared as: its type in JSON Schema, and words for it."""
_SAID = {kind: words for kind, words in _TYPES.values()}
_NO_NAMES = frozenset(dir(dict))
"""What a template would take for a part of the mapping itself."""
_OBJECT = frozenset({"type", "properties", "required", "additionalProperties"})
_MOST = 5
"""Mistakes of a reply that its writer is told at once."""
_STRICT = frozenset(
    "type properties required additionalProperties items enum description title".split()
)
"""What providers take that hold a model to a schema to the letter."""


@dataclass(frozen=True, slots=True)
class Field:
    """What a prompt says of one field."""

    name: str
    said: str
    optional: bool


@dataclass(frozen=True)
class Schema:
    """What a structured reply has to be: a JSON object that keeps to a JSON Schema."""

    json: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the fields that are declared."""
        return tuple(self.json["properties"])

    @cached_property
    def fields(self) -> Sequence[Field]:
        """Return what a prompt says of the fields."""
        required = self.json.get("required", ())
        return [
            Field(name, _said(one), name not in required)
            for name, one in self.json["properties"].items()
        ]

    @cached_property
    def text(self) -> str:
        """Return it as it is sent to a provider, as JSON."""
        form = {"name": "reply", "schema": self.json, "strict": _strict(self.json)}
        return json.dumps({"type": "json_schema", "json_schema": form}, ensure_ascii=False)

    def check(self, value: Any) -> None:
        """Raise ReplyError with the validator's words where a value does not keep to it."""
        told = [_told(error) for error in self._validator.iter_errors(value)]
        if told:
            more = f"; and {len(told) - _MOST} more" if len(told) > _MOST else ""
            raise ReplyError(f"the JSON object is not as asked: {'; '.join(told[:_MOST])}{more}")

    @cached_property
    def _validator(self) -> Any:
        from jsonschema import Draft202012Validator

        from sgdflow.prompting.references import nothing_else

        return Draft202012Validator(self.json, registry=nothing_else())


def _told(error: Any) -> str:
    """Return a validator's words, with the place."""
    where = ".".join(str(part) for part in error.absolute_path)
    return f"{where}: {shortly(error.message, 200)}" if where else shortly(error.message, 200)


def schema_of(declared: Mapping[str, Any]) -> Schema:
    """Return a declared schema: a JSON Schema with properties, or `field: type`.

    A type is text, integer, number or boolean, with [] behind it for a list of them; a list is
    that of the values there are, a mapping an object of such fields. A field whose name ends in
    a question mark may be left out. Raises ValueError with what is wrong.
    """
    if not declared:
        raise ValueError("is empty; name at least one field")
    whole = isinstance(declared.get("properties"), Mapping)
    schema = Schema(dict(declared) if whole else _object(declared, ""))
    if told := next(_problems(schema.json), None):
        raise ValueError(told)
    return schema


def _object(fields: Mapping[str, Any], where: str) -> dict[str, Any]:
    found, required = {}, []
    for key, value in fields.items():
        name = str(key).removesuffix("?")
        found[name] = _type(value, f"{where}{name}")
        if name == str(key):
            required.append(name)
    return {
        "type": "object",
        "properties": found,
        "required": required,
        "additionalProperties": False,
    }


def _type(value: Any, where: str) -> dict[str, Any]:
    match value:
        case Mapping():
            return _object(value, f"{where}.")
        case list() | tuple():
            if not value or any(isinstance(one, list | tuple | Mapping) for one in value):
                raise ValueError(f"{where}: a list names the values that there are, such as [a, b]")
            return {"enum": list(value)}
        case str():
            kind = value.removesuffix("[]")
            if kind in _TYPES:
                item = {"type": _TYPES[kind][0]}
                return item if kind == value else {"type": "array", "items": item}
    meant = did_you_mean(str(value), _TYPES)
    raise ValueError(
        f"{where}: there is no type {value!r}.{meant} There are: {listed(_TYPES)}, each with [] "
        "for a list, [a, b] for one of some values, and a mapping of fields"
    )


def _problems(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a schema cannot be used."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    from sgdflow.prompting.references import reference_problems

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        where = ".".join(str(part) for part in error.absolute_path)
        yield f"is no JSON Schema: {where + ': ' if where else ''}{shortly(error.message, 200)}"
        return
    if schema.get("type", "object") != "object" or not schema["properties"]:
        yield "is not that of an object with fields (type: object, properties: ...)"
    for name in schema["properties"]:
        if not str(name).isidentifier() or name in _NO_NAMES:
            yield f"'{name}' cannot name a field: templates could not tell it from something else"
    yield from reference_problems(schema, _is_schema)


def _is_schema(value: Any) -> bool:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(value)
    except SchemaError:
        return False
    return True


def _said(schema: Any) -> str:
    """Say in words what a value has to be; what words would not carry is shown as it is."""
    if not isinstance(schema, Mapping):
        return "anything"
    about = f" ({schema['description']})" if "description" in schema else ""
    known = {key for key in schema if key not in ("description", "title")}
    if "enum" in schema and known <= {"enum", "type"}:
        values = (json.dumps(one, ensure_ascii=False) for one in schema["enum"])
        return f"one of {', '.join(values)}{about}"
    if known == {"type"} and schema["type"] in _SAID:
        return f"{_SAID[schema['type']]}{about}"
    if known == {"type", "items"} and schema["type"] == "array":
        return f"a list, each of it {_said(schema['items'])}{about}"
    if schema.get("type") == "object" and known <= _OBJECT:
        inner = (f'"{n}": {_said(one)}' for n, one in schema.get("properties", {}).items())
        return f"an object {{{', '.join(inner)}}}{about}"
    return f"as this JSON Schema says: {json.dumps(schema, ensure_ascii=False)}"


def _strict(schema: Any) -> bool:
    """Return whether all of it can be held to the letter: nothing is left open or left out."""
    if not isinstance(schema, Mapping) or not schema.keys() <= _STRICT:
        return False
    if "properties" in schema:
        properties = schema["properties"]
        closed = schema.get("additionalProperties") is False
        whole = {*schema.get("required", ())} == {*properties}
        return closed and whole and all(_strict(one) for one in properties.values())
    return _strict(schema["items"]) if "items" in schema else True
