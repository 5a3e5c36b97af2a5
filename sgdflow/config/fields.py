"""What all configuration is made of, and how its mistakes are told."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from sgdflow.config.siblings import fits, of_this_form, siblings
from sgdflow.config.such import FORMS, function_of, needed, such
from sgdflow.config.written import shown_at
from sgdflow.errors import ConfigError, did_you_mean, listed
from sgdflow.homes import expanded

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
_SQLITE = "sqlite:///"


def of_somebody(path: str) -> str:
    """Return a path, or the address of a database file, as it is.

    Raises ValueError where the home in it is nobody's.
    """
    expanded(path.removeprefix(_SQLITE))
    return path


PathText = Annotated[Text, AfterValidator(of_somebody)]


def text_or_number(value: object) -> object:
    """Return a text or a number; raises ValueError for anything else."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return value
    raise ValueError("should be a text or a number")


def form_of(value: object) -> str:
    """Tell the forms of a union apart; the names start with ~ and are left out of paths."""
    if not isinstance(value, dict | BaseModel):
        return "~plain"
    is_target = isinstance(value, Target) or (isinstance(value, dict) and "_target_" in value)
    return "~callable" if is_target else "~mapping"


Value = Annotated[Any, PlainValidator(text_or_number)]


class Conf(BaseModel):
    """A mapping with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what would silently count as 0 or 1."""
        if isinstance(value, bool) and _is_number(
            cls.model_fields[str(info.field_name)].annotation
        ):
            raise ValueError("should be a number")
        return value


def _is_number(annotation: object) -> bool:
    """Say whether a type is that of numbers, or of numbers and null."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    parts = get_args(annotation)
    return annotation in (int, float) or (
        bool(parts) and all(part is type(None) or _is_number(part) for part in parts)
    )


def name_of(given: Callable[..., Any]) -> str:
    """Return what a callable is called, in messages and where it is written down."""
    kind = type(given)
    name = getattr(given, "__qualname__", kind.__qualname__)
    return f"{getattr(given, '__module__', kind.__module__)}.{name}"


class Target(BaseModel):
    """A Python callable with constant keyword arguments beside it.

    It is named by its dotted path or, in Python, given itself.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    target: Text = Field(alias="_target_")
    _given: Callable[..., Any] | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _by_name(cls, value: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Keep a callable that is given beside its name, which is all that is written down."""
        given = value.get("_target_") if isinstance(value, dict) else None
        if not isinstance(value, dict) or not callable(given):
            return handler(value)
        made = handler({**value, "_target_": name_of(given)})
        made._given = given
        return made

    @property
    def given(self) -> Callable[..., Any] | None:
        """Return the callable that was given, None where its path is."""
        return self._given

    @property
    def constants(self) -> dict[str, Any]:
        """Return what stands beside `_target_`."""
        return dict(self.model_extra or {})


class Reply(Conf):
    """The form of a reply."""

    format: Literal["text", "tagged", "numbered", "json"] = "tagged"
    """Between tags, in lines 1 to n, one JSON object, or the whole reply."""
    tag: Text = "output"
    """Tag or JSON key of the text."""
    partial: bool = False
    """Whether a JSON reply may leave names out; for update rules that change some parameters."""
    untagged: Literal["whole", "last_line", "fail"] = "fail"
    """What a single text without its tags is taken for; an unclosed tag then takes what follows."""
    truncated: Literal["fail", "keep"] = "fail"
    """keep: a text that was cut off at the token limit is used as far as it goes."""
    reasoning: Literal["first", "optional", "none"] = "optional"
    """Whether the prompt asks for reasoning before the text that counts."""


class Exchange(Conf):
    """A prompt sent to a model."""

    prompt: Text
    """Template below prompts/."""
    role: Text
    """Which of llm.models answers."""
    reply: Reply = Reply()
    attempts: Count = 3
    """How often a malformed reply is asked for, in all."""


def validate(model: type[BaseModel], value: object, where: str = "") -> Any:
    """Return the validated configuration; raises ConfigError with all mistakes at once."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigError("\n".join(dict.fromkeys(_lines(error, where, model)))) from None


def _lines(error: ValidationError, where: str, model: type[BaseModel]) -> list[str]:
    lines: list[str] = []
    listing: set[tuple[int | str, ...]] = set()
    for one in error.errors():
        path = ".".join([*filter(None, [where]), *_path(one["loc"])])
        message = one["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        if one["loc"][-1:] == ("[key]",):
            parent = ".".join(path.split(".")[:-2])
            lines.append(f"{parent}: the name {one['input']!r} is no text; write it in quotes.")
        elif one["type"] == "extra_forbidden":
            place = one["loc"][:-1]
            first = place not in listing
            lines.append(_no_such_key(model, one["loc"], path, one["input"], is_first=first))
            listing.add(place)
        elif one["type"] == "union_tag_invalid" and one["ctx"]["tag"] in ("~plain", "~mapping"):
            wanted = "text" if one["ctx"]["tag"] == "~mapping" else "mapping"
            such_as, found = function_of(path, one["input"]), _short(one["input"], path)
            lines.append(f"{path}: input should be a {wanted}{such_as} (got {found}).")
        elif one["type"] in FORMS:
            such_as = such(one["type"], one["input"], path, one.get("ctx", {}))
            found = _short(one["input"], path)
            lines.append(f"{path}: input should be a {FORMS[one['type']]}{such_as} (got {found}).")
        elif one["type"] == "union_tag_invalid":
            lines.append(_no_such_form(path, one["ctx"], one["input"]))
        elif one["type"] == "missing":
            lines.append(f"{path}: is required and missing.{needed(path)}")
        else:
            message = re.sub(r" or instance of \w+| after validation, not \d+", "", message)
            message = message.replace("dictionary", "mapping").replace("tuple", "list")
            choices = re.findall(r"'([^']*)'", str(one.get("ctx", {}).get("expected", "")))
            meant = did_you_mean(str(one["input"]), choices)
            meant = needed(path) if one["type"] == "string_type" else meant
            lines.append(f"{path}: {message} (got {_short(one['input'], path)}).{meant}")
    return lines


def _no_such_key(
    model: type[BaseModel],
    location: tuple[int | str, ...],
    path: str,
    value: object,
    *,
    is_first: bool,
) -> str:
    """Say what may be meant by a wrong key; else, of the first in a mapping, which keys it has."""
    wrong, known = path.split(".")[-1], siblings(model, location)
    # Another form of the same mapping may have the very key: that is no misspelling.
    near = "" if wrong in known else did_you_mean(wrong, known)
    meant = _elsewhere(model, location, path, value, near) or near
    if not meant and is_first and (there := of_this_form(model, location)):
        meant = f" There are: {listed(there)}."
    return f"{path}: there is no such key.{meant}"


def _no_such_form(path: str, context: dict[str, Any], value: object) -> str:
    """Say that a key which chooses the form of a mapping names none."""
    key, wrong = context["discriminator"].strip("'").removesuffix("_of()"), context["tag"]
    known = [n.strip("' ~") for n in context["expected_tags"].split(",")]
    known = [name for name in known if name not in ("callable", "mapping", "plain")]
    if not isinstance(value, dict):
        found = f"(got {_short(value, path)}). There are: {listed(known)}."
        return f"{path}: should be a mapping, such as {{{key}: {known[0]}}} {found}"
    wrong = wrong.removeprefix("~")
    return (
        f"{path}.{key}: there is no '{wrong}'.{did_you_mean(wrong, known)} "
        f"There are: {listed(known)}."
    )


def _path(location: tuple[int | str, ...]) -> list[str]:
    """Leave out what pydantic adds to say which form of a union it tried."""
    added = ("~", "function-", "constrained-", "literal[")
    return [part for part in map(str, location) if not part.startswith(added)]


def _short(value: object, path: str) -> str:
    shown = repr(shown_at(path, value))
    return shown if len(shown) <= 100 else f"{shown[:100]}..."


_NODE = r"graph\.nodes\.[^.]+"
_JUDGE = r"task\.score(\.objectives\.[^.]+\.score)?"
_OBJECTIVE = r"task\.score\.objectives\.[^.]+"
_OF_A_MODEL = ("temperature", "max_tokens", "top_p", "seed")
_OF_A_SCORE = ("_target_", "rubric", "scale", "role", "prompt", "cost", "latency")
_OF_A_NODE = {
    "instruction": " It is a parameter of the node: parameters: {instruction: TEXT}.",
    "inputs": " A node is given its predecessors: predecessors: [NAME, ...].",
}
_OF_A_ROLE = {
    "model": " A node names a role (forward: {role: NAME}), and llm.models.NAME says its model.",
    "temperature": (
        " It is that of a role (llm.models.ROLE.parameters.temperature), or a parameter of the "
        "node (parameters: {temperature: {value: 0.2, min: 0, max: 1, step: 0.1}})."
    ),
    "max_tokens": " It is that of a role: llm.models.ROLE.parameters.max_tokens.",
}
"""Where what is said of models in many places is said here."""


def _elsewhere(
    model: type[BaseModel], location: tuple[int | str, ...], path: str, value: object, near: str
) -> str:
    """Say where a key belongs that stands too deep, or not deep enough; `near`: a like one here."""
    if "." not in path:
        return ""
    *above, here, wrong = path.split(".")
    if re.fullmatch(rf"{_NODE}\.\w+", path) and wrong in _OF_A_NODE:
        return _OF_A_NODE[wrong]
    if wrong == "model" and re.fullmatch(rf"{_JUDGE}\.model", path):
        return " A judge names a role (role: NAME), and llm.models.NAME says its model."
    of_node = re.fullmatch(rf"(graph\.forward|{_NODE}(\.forward)?)\.\w+", path)
    if of_node and wrong in _OF_A_ROLE:
        return _OF_A_ROLE[wrong]
    if re.fullmatch(r"llm\.models\.[^.]+\.\w+", path) and wrong in _OF_A_MODEL:
        return f" It is one of its parameters: {here}: {{parameters: {{{wrong}: ...}}}}."
    if re.fullmatch(rf"{_OBJECTIVE}\.\w+", path) and wrong in _OF_A_SCORE:
        return f" It stands below score: {here}: {{score: {{{wrong}: ...}}}}."
    outer = tuple(part for part in location if not str(part).startswith("~"))[:-1]
    if wrong in siblings(model, outer):
        place = f"stands one place further up: {'.'.join([*above, wrong])}."
        if near and not fits(model, (*outer[:-1], wrong), value):
            return near
        return f"{near} Or it {place}" if near else f" It {place}"
    inner = [
        name
        for name in siblings(model, location)
        if wrong in siblings(model, (*location[:-1], name, wrong))
    ]
    if "forward" in inner and set(inner) <= {"forward", "backward"}:
        return f" It stands below forward: {'.'.join([*above, here, 'forward', wrong])}."
    return ""
