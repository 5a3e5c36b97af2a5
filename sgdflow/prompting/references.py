"""References within a JSON Schema; the only place that knows referencing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

_REFERENCES = ("$ref", "$dynamicRef")
_SAME_VALUE = ("not", "if", "then", "else")
_SAME_VALUE_LISTS = ("allOf", "anyOf", "oneOf")


def nothing_else() -> Any:
    """Return what a validator looks references up in, so that it asks no network for them."""
    return Registry()


def reference_problems(
    schema: Mapping[str, Any], is_schema: Callable[[Any], bool]
) -> Iterator[str]:
    """Yield which references lead nowhere, to no schema, or back to themselves without end."""
    resource = DRAFT202012.create_resource(schema)
    resolver: Any = Registry().resolver_with_root(resource)
    walk = _Walk(is_schema)
    told = list(walk.problems(schema, resolver))
    yield from told or walk.circles()


@dataclass
class _Walk:
    """What was found on the way through all schemas that a schema reaches."""

    is_schema: Callable[[Any], bool]
    same: dict[int, set[int]] = field(default_factory=dict)
    """The schemas that look at the same value as a schema does, as it needs them."""
    references: dict[tuple[int, int], str] = field(default_factory=dict)

    def problems(self, schema: Any, resolver: Any) -> Iterator[str]:
        """Yield why references cannot be followed."""
        left = [(schema, resolver)]
        while left:
            schema, resolver = left.pop()
            if not isinstance(schema, Mapping) or id(schema) in self.same:
                continue
            self.same[id(schema)] = {id(one) for one in _same_value(schema)}
            for one in DRAFT202012.subresources_of(schema):
                left.append((one, resolver.in_subresource(DRAFT202012.create_resource(one))))
            for reference in (schema[key] for key in _REFERENCES if key in schema):
                found = _followed(reference, resolver)
                if found is None:
                    yield (
                        f"'{reference}' leads nowhere; only references within it "
                        "(#/$defs/NAME) are read"
                    )
                elif not self.is_schema(found.contents):
                    yield f"'{reference}' leads to what is no schema"
                else:
                    self.same[id(schema)].add(id(found.contents))
                    self.references[id(schema), id(found.contents)] = reference
                    left.append((found.contents, found.resolver))

    def circles(self) -> Iterator[str]:
        """Yield the reference by which a value would be looked at again and again."""
        try:
            TopologicalSorter(self.same).prepare()
        except CycleError as error:
            # Each in it is needed by the next one.
            steps = {(needs, needed) for needed, needs in pairwise(error.args[1])}
            reference = next(said for step, said in self.references.items() if step in steps)
            yield f"'{reference}' leads back to itself without end"


def _followed(reference: str, resolver: Any) -> Any:
    try:
        return resolver.lookup(reference)
    # The latter where the path goes on into what is a list, or a value alone.
    except (Unresolvable, ValueError, TypeError):
        return None


def _same_value(schema: Mapping[str, Any]) -> Iterator[Any]:
    yield from (schema[key] for key in _SAME_VALUE if key in schema)
    for key in _SAME_VALUE_LISTS:
        yield from schema.get(key, ())
    yield from schema.get("dependentSchemas", {}).values()
