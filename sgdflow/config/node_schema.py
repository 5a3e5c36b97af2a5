"""What may stand under a node's `forward`; every field says what it is for."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, PlainValidator, Tag, model_validator

from sgdflow.config.fields import Conf, Count, Exchange, Reply, Target, Text, form_of
from sgdflow.prompting.schemas import schema_of


class NodeReply(Reply):
    """The form of a node's reply, which is read wherever its meaning is plain."""

    untagged: Literal["whole", "last_line", "fail"] = "whole"
    reasoning: Literal["first", "optional", "none"] = "first"
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """The fields of a JSON reply, whose value is a mapping: a JSON Schema, or field: type."""

    @model_validator(mode="after")
    def _json_has_the_schema(self) -> Self:
        if self.schema_ is None:
            return self
        if "format" in self.model_fields_set and self.format != "json":
            raise ValueError(f"a reply with a schema has format: json, not {self.format}")
        try:
            schema_of(self.schema_)
        except ValueError as error:
            raise ValueError(f"schema: {error}") from error
        return self


class Forward(Exchange):
    """The forward function of a language-model node."""

    prompt: Text = "forward/node.jinja"
    role: Text = "forward"
    system: str = "You work carefully and do what you are asked, exactly."
    """The system message; "": none."""
    about: str = ""
    """What writers are told of the model, such as "a small model (1.5B)"."""
    reply: NodeReply = NodeReply()
    samples: Annotated[int, Field(ge=1, le=100)] = 1
    """Replies to the same prompt, of which the most frequent counts."""
    each: Text | None = None
    """The predecessor that is a list: the model is asked about each of its items."""
    most: Count = 20
    """How many items of `each` may be asked about."""
    tools: dict[str, Target] = Field(default_factory=dict)
    """Functions that the model may call before it answers, by name."""
    rounds: Annotated[int, Field(ge=1, le=50)] = 5
    """How many calls of tools it may make."""
    history: Text | None = None
    """The predecessor that holds the turns of the conversation so far: [{role, content}, ...]."""
    images: tuple[Text, ...] = ()
    """The predecessors that are images: files, or data URLs."""

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if told := self.apart():
            raise ValueError(told)
        return self

    def apart(self) -> str:
        """Return what is declared that does not go together; empty where all does."""
        if self.each is not None and self.samples > 1:
            return "has each and samples: a list of votes is not taken; choose one"
        if self.tools and (self.each is not None or self.samples > 1):
            other = "samples" if self.samples > 1 else "each"
            return f"has tools and {other}, which do not go together; choose one"
        if self.tools and self.reply.schema_ is not None:
            return "has tools, whose answer is a text; take out reply.schema"
        return ""

    def unused(self, said: Collection[str]) -> str:
        """Return which bound is said of what is not there; empty where each has its use."""
        for bound, of in (("rounds", "tools"), ("most", "each")):
            if bound in said and not getattr(self, of):
                return (
                    f"has {bound}, which means nothing without {of}; take it out, or declare {of}"
                )
        return ""


class FieldConf(Conf):
    """A node that is a field of its one predecessor; NODE.FIELD among predecessors makes one."""

    field: Text
    """Name of the field."""
    optional: bool = False
    """Whether it may be absent; then the value is null."""


class RetrieveConf(Conf):
    """A node that looks up the values of its predecessors in documents."""

    retrieve: Text
    """A file (.md, .txt, .jsonl), or a folder of such files."""
    embeddings: Text | None = None
    """A model of model2vec that ranks by meaning, null: by words (BM25); a folder, NAME on the hub,
    or NAME@REVISION."""
    count: Count = 3
    """How many passages are found at most."""


_FORMS = (("field", FieldConf, "~field"), ("retrieve", RetrieveConf, "~retrieve"))
"""Forms that one key tells apart from all others."""


NOT = "not"
"""Under it stands, in a condition, what values are not to be."""


def _condition(value: object) -> object:
    """Take a mapping from predecessors to a value, or to a list of values."""
    said = "; such as {triage.department: billing}, {language: [de, fr]}, {not: {language: en}}"
    said += ", or {_target_: MODULE.FUNCTION}"
    if not isinstance(value, dict) or not value:
        raise ValueError(f"should name predecessors and the values that they have{said}")
    inner = value.get(NOT, {NOT: True})
    if not isinstance(inner, dict) or not inner:
        raise ValueError(f"{NOT}: should name predecessors and values that they do not have{said}")
    pairs = [*value.items(), *inner.items()]
    for name, one in pairs:
        several = one if isinstance(one, list) else [one]
        scalars = all(isinstance(each, str | int | float) for each in several)
        if not isinstance(name, str) or (one is not inner and not (several and scalars)):
            raise ValueError(f"{name}: should be a value, or a list of values{said}")
    return value


def _when_form(value: object) -> str:
    return "~callable" if form_of(value) == "~callable" else "~condition"


AnyCondition = Annotated[
    Annotated[Target, Tag("~callable")]
    | Annotated[dict[str, Any], PlainValidator(_condition), Tag("~condition")],
    Discriminator(_when_form),
]


def _forward_form(value: object) -> str:
    """Tell the kinds of nodes apart; the names start with ~ and are left out of paths."""
    for key, conf, tag in _FORMS:
        if isinstance(value, conf) or (isinstance(value, dict) and key in value):
            return tag
    return form_of(value)


AnyForward = Annotated[
    Annotated[Target, Tag("~callable")]
    | Annotated[Forward, Tag("~mapping")]
    | Annotated[FieldConf, Tag("~field")]
    | Annotated[RetrieveConf, Tag("~retrieve")],
    Discriminator(_forward_form),
]
