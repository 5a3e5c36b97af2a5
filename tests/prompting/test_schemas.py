"""Structured replies: how a schema is declared, asked for, checked and sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgdflow.config.paths import prompt_folders
from sgdflow.errors import NodeFailed, ReplyError
from sgdflow.executor.forward import PromptForward
from sgdflow.executor.graph import Operands
from sgdflow.executor.places import View
from sgdflow.llm import Message, Reply
from sgdflow.llm.models import ModelSpec
from sgdflow.llm.scripted import ScriptedLLM
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.schemas import schema_of
from sgdflow.prompting.templates import Prompts

DECLARED = {
    "department": ["billing", "technical"],
    "urgency": "integer",
    "sure": "boolean",
    "weight": "number",
    "reasons": "text[]",
    "who": {"name": "text", "mail?": "text"},
    "note?": "text",
}
GOOD: dict[str, Any] = {
    "department": "billing",
    "urgency": 2,
    "sure": True,
    "weight": 0.5,
    "reasons": ["a", "b"],
    "who": {"name": "Ada"},
}
FORM = ReplyFormat("json", schema=schema_of(DECLARED))
PROMPTS = Prompts(prompt_folders(Path("nowhere")))


def test_fields_by_their_types_are_a_json_schema() -> None:
    assert schema_of(DECLARED).json == {
        "type": "object",
        "properties": {
            "department": {"enum": ["billing", "technical"]},
            "urgency": {"type": "integer"},
            "sure": {"type": "boolean"},
            "weight": {"type": "number"},
            "reasons": {"type": "array", "items": {"type": "string"}},
            "who": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "mail": {"type": "string"}},
                "required": ["name"],
                "additionalProperties": False,
            },
            "note": {"type": "string"},
        },
        "required": ["department", "urgency", "sure", "weight", "reasons", "who"],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({}, "is empty; name at least one field"),
        ({"a": "txet"}, "a: there is no type 'txet'. Did you mean 'text'? There are: text,"),
        ({"a": {"b": 3}}, "a.b: there is no type 3."),
        ({"a": []}, "a: a list names the values that there are"),
        ({"items": "text"}, "'items' cannot name a field"),
        ({"two words": "text"}, "'two words' cannot name a field"),
        ({"properties": {"a": {"type": "txet"}}}, "is no JSON Schema: properties.a.type: 'txet'"),
        ({"type": "array", "properties": {"a": {}}}, "is not that of an object with fields"),
        ({"properties": {}}, "is not that of an object with fields"),
        ({"properties": {"a": {"$ref": "https://x.org/s"}}}, "'https://x.org/s' leads nowhere"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "'#/$defs/b' leads nowhere"),
        ({"properties": {"a": {"$ref": "#b"}}}, "'#b' leads nowhere"),
        ({"properties": {"a": {"$ref": "#/properties/a/type/b"}}}, "'#/properties/a/type/b' leads"),
        ({"properties": {"a": {"enum": [1], "$ref": "#/properties/a/enum/0"}}}, "'#/properties/a/"),
        ({"properties": {"a": {"$ref": "#/properties/a/enum/b", "enum": [1]}}}, "'#/properties/a/"),
        ({"properties": {"a": {}}, "$ref": "https://json-schema.org/draft/2020-12/schema"}, "'ht"),
        ({"properties": {"a": {}}, "$ref": "#"}, "'#' leads back to itself without end"),
        (
            {"properties": {"a": {"$ref": "#/properties/a"}}},
            "'#/properties/a' leads back to itself without end",
        ),
        (
            {
                "properties": {"a": {"items": {"$ref": "#/$defs/x"}}},
                "$defs": {
                    "x": {"properties": {"y": {"$ref": "#/$defs/y"}}, "$ref": "#/$defs/y"},
                    "y": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/x"}]},
                },
            },
            "'#/$defs/",
        ),
    ],
)
def test_what_is_no_schema_is_told(declared: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        schema_of(declared)
    assert str(refused.value).startswith(told)


def test_a_json_schema_may_refer_to_its_own_definitions() -> None:
    level = {"type": "integer", "minimum": 1, "maximum": 5}
    schema = schema_of({"properties": {"a": {"$ref": "#/$defs/level"}}, "$defs": {"level": level}})
    schema.check({"a": 5})
    with pytest.raises(ReplyError, match="a: 6 is greater than the maximum of 5"):
        schema.check({"a": 6})


TREE: dict[str, Any] = {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {}}}


@pytest.mark.parametrize(
    ("declared", "value", "told"),
    [
        (
            {"properties": {"a": {"prefixItems": [{"type": "integer"}]}}, "$defs": {}}
            | {"allOf": [{"properties": {"b": {"$ref": "#/properties/a/prefixItems/0"}}}]},
            {"b": "x"},
            "b: 'x' is not of type 'integer'",
        ),
        (
            {"properties": {"a": {"$ref": "#/$defs/a%20b"}}, "$defs": {"a b": {"type": "integer"}}},
            {"a": "x"},
            "a: 'x' is not of type 'integer'",
        ),
        (
            {"properties": {"a": {"$ref": "#n"}}, "$defs": {"x": {"$anchor": "n", "minimum": 3}}},
            {"a": 2},
            "a: 2 is less than the minimum of 3",
        ),
        (
            {"properties": {"a": {"$ref": "s"}}, "$defs": {"x": {"$id": "s", "minimum": 3}}},
            {"a": 2},
            "a: 2 is less than the minimum of 3",
        ),
        (TREE, {"a": {"a": {"a": 5}}}, "a.a.a: 5 is not of type 'object'"),
        ({"properties": {"a": {"enum": [{"$ref": "#b"}]}}}, {"a": 5}, "a: 5 is not one of"),
    ],
)
def test_every_reference_within_a_schema_is_followed(
    declared: Mapping[str, Any], value: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(ReplyError) as refused:
        schema_of(declared).check(value)
    assert told in str(refused.value)


@pytest.mark.parametrize("dressing", ["{}", "Here it is:\n```json\n{}\n```", "<think>x</think>{}"])
def test_a_reply_becomes_a_mapping_with_its_types(dressing: str) -> None:
    assert FORM.read(dressing.replace("{}", json.dumps(GOOD))) == {"": GOOD}


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ('{"name": "a", "count": 5,}', {"name": "a", "count": 5}),
        ('{"name": "a" "count": -5}', {"name": "a", "count": -5}),
        ("{'name': 'a', 'count': 5, 'part': 0.5, 'sure': true}", None),
        ('{"name": "a", "count": "5",}', "count: '5' is not of type 'integer'"),
        ('{"name": 7, "count": 5,}', "name: 7 is not of type 'string'"),
    ],
)
def test_a_mended_reply_keeps_its_types(reply: str, value: Any) -> None:
    kinds = {"name": "text", "count": "integer", "part?": "number", "sure?": "boolean"}
    form = ReplyFormat("json", schema=schema_of(kinds))
    if isinstance(value, str):
        with pytest.raises(ReplyError) as refused:
            form.read(reply)
        assert value in str(refused.value)
    else:
        wanted = value or {"name": "a", "count": 5, "part": 0.5, "sure": True}
        found = form.read(reply)[""]
        assert found == wanted
        assert [type(one) for one in found.values()] == [type(one) for one in wanted.values()]


@given(
    st.fixed_dictionaries(
        {
            "department": st.sampled_from(["billing", "technical"]),
            "urgency": st.integers(-(10**30), 10**30),
            "sure": st.booleans(),
            "weight": st.floats(allow_nan=False, allow_infinity=False),
            "reasons": st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
            "who": st.just({"name": "x"}),
        }
    )
)
def test_every_value_that_keeps_to_it_comes_back_as_it_was(value: dict[str, Any]) -> None:
    assert FORM.read(json.dumps(value)) == {"": value}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"department": "sales"}, "department: 'sales' is not one of ['billing', 'technical']"),
        ({"urgency": "2"}, "urgency: '2' is not of type 'integer'"),
        ({"reasons": ["a", 1]}, "reasons.1: 1 is not of type 'string'"),
        ({"who": {}}, "who: 'name' is a required property"),
        ({"extra": 1}, "Additional properties are not allowed ('extra' was unexpected)"),
        ({"weight": float("nan")}, "it holds a number that is none"),
        ({"note": "\ud83d"}, "it holds half a character"),
    ],
)
def test_what_does_not_keep_to_it_is_refused_in_the_words_of_the_validator(
    changed: Mapping[str, Any], told: str
) -> None:
    with pytest.raises(ReplyError) as refused:
        FORM.read(json.dumps({**GOOD, **changed}))
    assert told in str(refused.value)


def test_a_reply_that_was_cut_off_is_none() -> None:
    with pytest.raises(ReplyError) as refused:
        FORM.read(json.dumps(GOOD), cut=True)
    assert refused.value.kind == "truncated"


def node(form: ReplyFormat, *replies: str | Reply, attempts: int = 2) -> tuple[Any, ScriptedLLM]:
    forward = PromptForward(Ask(PROMPTS, "forward/node.jinja", "forward", form, attempts))
    llm = ScriptedLLM({"forward": replies})
    view = View("triage", ("ticket",), (), {"instruction": "Decide."})
    operands = Operands({"ticket": "Help!"}, {"instruction": "Decide."})
    return asyncio.run(forward.forward(view, operands, llm)).value, llm


def test_the_prompt_names_the_fields_and_what_is_wrong_is_said_with_the_next_try() -> None:
    bad = {**GOOD, "department": "sales"}
    value, llm = node(FORM, json.dumps(bad), json.dumps(GOOD))
    assert value == GOOD
    first, second = (request.messages[-1] for request in llm.requests)
    assert first.content.endswith(
        "Reply with one JSON object and nothing else. It holds your output, in these fields:\n"
        '- "department": one of "billing", "technical"\n'
        '- "urgency": a whole number\n'
        '- "sure": true or false\n'
        '- "weight": a number\n'
        '- "reasons": a list, each of it a text\n'
        '- "who": an object {"name": a text, "mail": a text}\n'
        '- "note": a text; may be left out'
    )
    assert "department: 'sales' is not one of ['billing', 'technical']" in second.content
    assert '{"department": ..., "urgency": ..., ' in second.content
    assert first.form == second.form == FORM.schema.text  # type: ignore[union-attr]


def test_what_is_wrong_to_the_last_attempt_is_no_value() -> None:
    with pytest.raises(NodeFailed) as failed:
        node(FORM, "billing", "billing")
    assert failed.value.kind == "malformed"


def test_the_form_is_sent_as_a_response_format_and_is_a_part_of_the_request() -> None:
    spec = ModelSpec("openai/gpt-4o-mini", parameters={"temperature": 0})
    plain, formed = [Message("user", "x")], [Message("user", "x", form=FORM.schema.text)]  # type: ignore[union-attr]
    assert "response_format" not in spec.sent(plain)
    sent = spec.sent(formed)["response_format"]
    assert sent["type"] == "json_schema"
    assert sent["json_schema"]["schema"] == FORM.schema.json  # type: ignore[union-attr]
    keys = {next(spec.requests(one, 0)).key for one in (plain, formed)}
    assert len(keys) == 2
    declared = ModelSpec("openai/m", parameters={"response_format": {"type": "json_object"}})
    assert declared.sent(formed) == declared.parameters
    left_out = ModelSpec("openai/m", parameters={"response_format": None})
    assert left_out.sent(formed) == left_out.parameters


@pytest.mark.parametrize(
    ("declared", "strict"),
    [
        ({"a": "text", "b": ["x", "y"], "c": {"d": "integer[]"}}, True),
        ({"a": "text", "b?": "text"}, False),
        ({"a": {"b?": "text"}}, False),
        ({"properties": {"a": {"type": "string", "pattern": "x"}}}, False),
    ],
)
def test_only_what_a_provider_can_hold_to_the_letter_is_strict(
    declared: Mapping[str, Any], strict: bool
) -> None:
    assert json.loads(schema_of(declared).text)["json_schema"]["strict"] is strict
