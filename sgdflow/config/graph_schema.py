"""What may stand under `graph`; every field says what it is for."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    FiniteFloat,
    PlainValidator,
    PrivateAttr,
    Tag,
    model_validator,
)

from sgdflow.config.fields import (
    Conf,
    Count,
    Target,
    Text,
    Value,
    form_of,
    text_or_number,
)
from sgdflow.config.method_schema import AnyBackward
from sgdflow.config.node_schema import (
    AnyCondition,
    AnyForward,
    Forward,
)
from sgdflow.executor.constraints import DECLARED
from sgdflow.executor.demonstrations import NONE, read
from sgdflow.executor.numbers import Numbers, plain

_BOUNDS = frozenset({"min", "max", "step"})
"""What may be declared of numbers."""


def text_of_items(value: object) -> object:
    """Return a list of texts as one text, an item a line."""
    if not isinstance(value, list | tuple):
        return text_or_number(value)
    if not value:
        raise ValueError("should hold an item, or be a text")
    for number, item in enumerate(value, 1):
        if not isinstance(item, str) or not item.strip():
            raise ValueError(f"item {number} of the list should be a text that says something")
        if len(item.splitlines()) > 1:
            raise ValueError(f"item {number} of the list has several lines; an item is one line")
    return "\n".join(item.rstrip("\r\n") for item in value)  # a block of YAML ends with one


Lines = Annotated[Any, PlainValidator(text_of_items)]


class ParameterConf(Conf):
    """A parameter with more to say than its value."""

    value: Lines = None
    """The text, or the number, that it begins with; of a list each item is a line."""
    shared: Text | None = None
    """Name of one of graph.parameters, instead of a value."""
    frozen: bool = False
    """Not optimised."""
    about: str = ""
    """What the text is for, in words for whoever writes it anew."""
    max_characters: Count | None = None
    """A longer text goes back to its writer; that of method.update holds as well."""
    max_tokens: Count | None = None
    """The same in tokens, which are estimated: a quarter of the characters."""
    keep: tuple[Text, ...] = ()
    """What every text has to hold, letter by letter."""
    avoid: tuple[Text, ...] = ()
    """What no text may hold, in any case of letters."""
    placeholders: tuple[Text, ...] = ()
    """Names that every text has to hold in braces."""
    leak: Annotated[int, Field(ge=2)] | None = None
    """So many words in a row of a training example may not stand in a new text; null: any may."""
    choices: tuple[Value, ...] = ()
    """The only texts, or numbers, that it can be."""
    min: FiniteFloat | None = None
    """The smallest number that it can be."""
    max: FiniteFloat | None = None
    """The largest."""
    step: Annotated[FiniteFloat, Field(gt=0)] | None = None
    """How far apart its numbers are, from the smallest on; null: any between."""
    demonstrations: Count | None = None
    """It shows so many pieces at most of its node's own work that turned out right in training."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if self.demonstrations is not None:
            return self._chosen()
        if (self.value is None) == (self.shared is None):
            raise ValueError("needs either a value or shared: NAME")
        ruled = sorted(self.model_fields_set & (DECLARED | _BOUNDS))
        if ruled and self.shared is not None:
            raise ValueError(f"is shared; declare {ruled[0]} of graph.parameters.{self.shared}")
        if isinstance(self.value, str):
            return self._text()
        if means_nothing := [one for one in ruled if one not in {"about", "choices", *_BOUNDS}]:
            raise ValueError(f"is a number, of which {means_nothing[0]} means nothing")
        return self._numbers()

    def _text(self) -> Self:
        if bounds := sorted(self.model_fields_set & _BOUNDS):
            raise ValueError(
                f"is a text, of which {bounds[0]} means nothing; write its value as a number"
            )
        if others := [one for one in self.choices if not isinstance(one, str)]:
            raise ValueError(
                f"is a text, and {others[0]} among its choices is a number; write it in quotes"
            )
        return self

    def _numbers(self) -> Self:
        if others := [one for one in self.choices if isinstance(one, str)]:
            raise ValueError(f"is a number, and '{others[0]}' among its choices is none")
        if not self.model_fields_set & {"about", "choices", *_BOUNDS}:
            return self
        if self.choices:
            if self.model_fields_set & _BOUNDS:
                raise ValueError("has choices; leave min, max and step out")
        elif self.min is None or self.max is None or not self.min < self.max:
            raise ValueError("is a number: declare min and max, the smaller one first, or choices")
        return self

    @property
    def numbers(self) -> Numbers | None:
        """Return the numbers that it may be; None for a text, or a number without bounds."""
        if isinstance(self.value, str) or self.value is None:
            return None
        if self.choices:
            return Numbers(listed=tuple(float(one) for one in self.choices))
        if self.min is None or self.max is None:
            return None
        return Numbers(self.min, self.max, self.step)

    def _chosen(self) -> Self:
        others = sorted(self.model_fields_set & {*DECLARED, *_BOUNDS, "shared"})
        if others:
            raise ValueError(f"has demonstrations, which are chosen: {others[0]} means nothing")
        try:
            read(self.initial)
        except ValueError as error:
            raise ValueError(f"value: {error}") from error
        return self

    @property
    def initial(self) -> Any:
        """Return the value that it begins with."""
        if self.numbers is not None:
            return plain(self.value)
        return NONE if self.value is None and self.demonstrations is not None else self.value


AnyParameter = Annotated[
    Annotated[Lines, Tag("~plain")] | Annotated[ParameterConf, Tag("~mapping")],
    Discriminator(form_of),
]


class RepeatConf(Conf):
    """A loop, which is unrolled."""

    times: Annotated[int, Field(ge=1, le=50)]
    """How often the nodes between are computed."""
    instead_of: Text
    """The variable in whose place the node's value stands, from the second time on."""


def _loop(value: object) -> object:
    if not isinstance(value, dict | RepeatConf):
        raise ValueError("should be a mapping, such as {times: 3, instead_of: draft}")
    return value


class NodeConf(Conf):
    """A node."""

    predecessors: list[str]
    """Inputs and nodes whose values it is given, in this order; NODE.FIELD for a field."""
    # null takes out those of a graph that this one extends.
    parameters: Annotated[
        dict[str, AnyParameter], BeforeValidator(lambda said: {} if said is None else said)
    ] = Field(default_factory=dict)
    forward: AnyForward | None = None
    """A callable, a field of the predecessor, a search, or what differs from graph.forward."""
    backward: AnyBackward | None = None
    """A callable or a prompt, instead of the method's; null: the method's."""
    timeout: Annotated[float, Field(gt=0)] | None = None
    """Seconds that a callable may take; null: any."""
    retries: Annotated[int, Field(ge=0)] = 0
    """How often a callable that fails is called again."""
    at_once: Count | None = None
    """How many calls of a callable run at the same time; null: any number."""
    trace: bool = False
    """Whether the calls of models that a callable makes become nodes of their own."""
    when: AnyCondition | None = None
    """Values of predecessors at which the node is computed, or a callable; null: at all."""
    repeat: Annotated[RepeatConf, BeforeValidator(_loop)] | None = None
    """A loop that ends in this node."""

    @model_validator(mode="after")
    def _bounds_of_code(self) -> Self:
        set_ = sorted({"timeout", "retries", "at_once", "trace"} & self.model_fields_set)
        tools = isinstance(self.forward, Forward) and self.forward.tools
        bounds = {*set_} <= {"timeout", "retries"}
        if set_ and not (tools and bounds) and not isinstance(self.forward, Target):
            instead = {"at_once": "concurrency"}.get(set_[0], set_[0])
            limits = "" if set_[0] == "trace" else f"; calls of models have llm.limits.{instead}"
            raise ValueError(f"{set_[0]} is that of a Python callable (forward._target_){limits}")
        return self


class GraphConf(Conf):
    """A computational graph."""

    name: Text
    """What the graph is called in records and comparisons; in a file of its own, by default, as the
    file is."""
    inputs: Annotated[list[str], Field(min_length=1)]
    """Fields of an example that nodes may be given."""
    parameters: dict[str, AnyParameter] = Field(default_factory=dict)
    """Parameters that several nodes share."""
    forward: Forward = Forward()
    """What all language-model nodes have in common."""
    nodes: dict[str, NodeConf]
    """The nodes by name; every one needs a path to the output."""
    output: Text
    """The node, or NODE.FIELD, whose value is scored."""
    _written: GraphConf | None = PrivateAttr(default=None)

    @property
    def as_written(self) -> GraphConf:
        """The graph with its loops as they were declared, for what is said of a node."""
        return self._written or self

    def with_loops_written_out(self, nodes: dict[str, NodeConf]) -> GraphConf:
        """Return the graph with these nodes, which remembers those that were declared."""
        made: GraphConf = self.model_copy(update={"nodes": nodes})
        made._written = self.as_written
        return made


def shown_images(graph: GraphConf) -> frozenset[str]:
    """Return the variables that nodes are shown as images."""
    forwards = [graph.forward, *(node.forward for node in graph.nodes.values())]
    return frozenset(name for one in forwards if isinstance(one, Forward) for name in one.images)
