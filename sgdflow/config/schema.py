"""What may stand in a configuration; every field says what it is for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from sgdflow.config.fields import (
    Conf,
    Count,
    Exchange,
    PathText,
    Reply,
    Target,
    Text,
    form_of,
    validate,
)
from sgdflow.config.graph_schema import GraphConf, NodeConf, ParameterConf, RepeatConf
from sgdflow.config.method_schema import Backward, Loss, MethodConf
from sgdflow.config.node_schema import (
    NOT,
    FieldConf,
    Forward,
    RetrieveConf,
)
from sgdflow.config.probe_schema import ProbeConf
from sgdflow.config.score_schema import AnyScore
from sgdflow.config.stop_schema import AllowanceConf

__all__ = [
    "NOT",
    "Backward",
    "Config",
    "Exchange",
    "FieldConf",
    "Forward",
    "GraphConf",
    "LLMConf",
    "Loss",
    "MethodConf",
    "Model",
    "NodeConf",
    "ParameterConf",
    "RepeatConf",
    "Reply",
    "RetrieveConf",
    "Target",
    "Task",
    "Tracking",
    "validate",
]


class Splits(Conf):
    """How many examples each split holds; null: all that is left."""

    train: Annotated[int, Field(ge=0)] | None
    """Those that steps learn from, and that the gate scores."""
    validation: Annotated[int, Field(ge=0)] | None = 0
    """Those that confirm the winner; a gate or a pool may use them instead."""
    test: Annotated[int, Field(ge=0)] | None
    """Those that decide nothing, and are scored before and after."""


class Task(Conf):
    """Examples, and how outputs are scored."""

    name: Text
    """What the task is called in records and comparisons."""
    data: Target
    """Returns the examples."""
    score: AnyScore
    """The name of a scorer, a callable, a judge (rubric), or several of them (objectives)."""
    missing: Literal["refuse", "drop", "keep"] = "refuse"
    """Rows without a value: an error, left out, or used as they are."""
    errors: Literal["stop", "zero"] = "stop"
    """What an exception of the scorer or of a code node is: the end, or a score of 0."""
    splits: Splits
    path: Any = None
    """Where the data is, for `data` to refer to as ${task.path}."""
    inputs: Any = None
    """Columns of the inputs, for `data` to refer to."""
    target: Any = None
    """Column of the expected answer, for `data` to refer to."""
    id: Any = None
    """Column of unique ids, for `data` to refer to."""


def _several(value: object) -> object:
    """Return one address as several; an empty one is none at all."""
    if value is None or value == "":
        return []
    found = value if isinstance(value, list) else [value]
    if all(isinstance(one, str) and one for one in found):
        return found
    raise ValueError("should be an address, or a list of addresses")


Addresses = Annotated[list[Text], BeforeValidator(_several)]
"""Where a model is asked; several answer alike. None: the provider's own address."""


class Model(Conf):
    """What plays a role; a field that is not given comes from llm."""

    model: Text
    """Its name in litellm's words; simulated/NAME for one that is built in."""
    api_base: Addresses = Field(default_factory=list)
    """Address of the server, or several that answer alike, instead of that of llm."""
    endpoint: Text | None = None
    """Name of who answers, instead of that of llm."""
    api_key_env: str | None = None
    """Name of the environment variable with the key, instead of that of llm."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Sent with its calls, beside those of llm; null takes one of these out."""
    sees: bool | None = None
    """Whether it can be shown images; null: as litellm knows."""


AnyModel = Annotated[
    Annotated[Text, Tag("~plain")] | Annotated[Model, Tag("~mapping")], Discriminator(form_of)
]


class ShareConf(Conf):
    """What a role may use at most."""

    concurrency: Count | None = None
    """Calls at the same time; null: as many as llm.limits lets."""
    requests_per_minute: Count | None = None
    """Calls begun in a minute; null: any number."""
    tokens_per_minute: Count | None = None
    """Tokens of prompts and replies in a minute; null: any number."""


class AgainConf(Conf):
    """What changes where a reply could not be used and is asked for once more."""

    temperature: Annotated[float, Field(ge=0)] | None = 0.5
    """In place of 0, at which the same would come again; null: it stays."""
    max_tokens: Count | None = None
    """After a cut the limit is doubled, up to this one; null: it stays."""


class LimitsConf(Conf):
    """What the client keeps to."""

    concurrency: Count = 64
    """Calls at the same time; fewer while a provider answers with 429."""
    requests_per_minute: Count | None = None
    """Calls begun in a minute; null: any number."""
    tokens_per_minute: Count | None = None
    """Tokens of prompts and replies in a minute; null: any number."""
    timeout: Annotated[float, Field(gt=0)] = 60.0
    """Seconds for one call."""
    retries: Annotated[int, Field(ge=0)] = 4
    """How often a call that failed for a reason which may pass is made again."""
    backoff: Annotated[float, Field(ge=0)] = 1.0
    """Seconds before the first retry; doubled for each further one."""
    roles: dict[str, ShareConf] = Field(default_factory=dict)
    """What a role may use of it."""
    first: Count | None = 5
    """Examples tried before all others: where all of them fail for one reason, the run stops."""
    examples: Count = 1024
    """Examples under way at once; the others wait, so that they take no memory."""
    outage: Annotated[float, Field(ge=0)] | None = 600.0
    """Seconds to wait for an endpoint that answers nobody, then the run stops; null: no waiting,
    its calls fail one by one."""
    budget: AllowanceConf = AllowanceConf()
    """What all calls of the run may take; then none is made any more."""
    shared: bool = False
    """Whether budget, requests_per_minute and tokens_per_minute hold for all jobs of a sweep
    together, and for all starts of it."""


StoreMode = Literal["use", "refresh", "off", "replay"]


def _off(value: object) -> object:
    """Return "off" where YAML has read a bare off as false."""
    return "off" if value is False else value


class StoreConf(Conf):
    """Where replies are kept."""

    mode: Annotated[StoreMode, BeforeValidator(_off)] = "use"
    """Answer from the store first; refresh: ask anew; off: no store; replay: ask nobody."""
    path: PathText | None = None
    """null: replies.db in the working directory."""
    uri: Text | None = None
    """A PostgreSQL database in place of the file, for several machines."""


class PriceConf(Conf):
    """US dollars for a million tokens."""

    prompt: Annotated[float, Field(ge=0)]
    """For tokens of the prompt."""
    completion: Annotated[float, Field(ge=0)]
    """For tokens of the reply."""
    cached: Annotated[float, Field(ge=0)] | None = None
    """For tokens of the prompt that the provider had in its cache; null: as all others."""


class AssumedConf(Conf):
    """What `sgdflow plan` takes for granted."""

    seconds: Annotated[float, Field(ge=0)] = 2.0
    """One call takes."""
    tokens: dict[str, Count] = Field(default_factory=dict)
    """Of one reply, by role; 100 where a role is not named."""
    accepted: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the proposals that are accepted, for what is expected."""
    changed: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the parameters that a proposal changes, for what is expected."""


class LLMConf(Conf):
    """Models by role."""

    name: Text
    """What the choice is called in records and comparisons."""
    api_base: Addresses = Field(default_factory=list)
    """Address of the server of all models, or several that answer alike; null: its provider's."""
    endpoint: Text | None = None
    """Name of who answers, where addresses change; null: the address."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""
    transport: Literal["auto", "litellm", "direct"] = "auto"
    """What calls go through: our own HTTP where that can be, litellm, or our own alone."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Sent with every call: temperature, max_tokens, ..."""
    models: dict[str, AnyModel]
    fallbacks: dict[str, list[AnyModel]] = Field(default_factory=dict)
    """By role: who is asked, in this order, where its model gives no reply."""
    prices: dict[str, PriceConf] = Field(default_factory=dict)
    """By model name: instead of what litellm knows."""
    check: bool = True
    """Ask every model for one word before the first call."""
    again: AgainConf = AgainConf()
    limits: LimitsConf = LimitsConf()
    store: StoreConf = StoreConf()
    assumed: AssumedConf = AssumedConf()


class Tracking(Conf):
    """Where runs are recorded."""

    kind: Literal["mlflow", "none"]
    """none: the run directory alone holds the records."""
    # A variable of the environment that is set to nothing is as good as none.
    uri: Annotated[PathText | None, BeforeValidator(lambda uri: uri or None)] = None
    """MLflow's store or server; null: mlflow.db in the working directory."""
    experiment: Annotated[Text, BeforeValidator(lambda name: "sgdflow" if name == "" else name)] = (
        "sgdflow"
    )
    """Name that runs are filed under in MLflow."""
    prompts: bool = True
    """Accepted texts become versions in MLflow's Prompt Registry."""
    traces: Annotated[int, Field(ge=0)] = 2
    """Examples of each step that are traced."""
    model: bool = True
    """Whether the best graph is logged as an MLflow model."""


class WorkersConf(Conf):
    """Processes that score the examples of a run beside it."""

    count: Annotated[int, Field(ge=0)] = 0
    """How many; 0: the run scores them itself."""
    where: Literal["here", "ray"] = "here"
    """Processes of this machine, or of a Ray cluster."""
    address: Text | None = None
    """HOST:PORT of the Ray cluster; null: one that begins and ends with the run."""


class Config(Conf):
    """A whole run."""

    seed: int = 0
    """What splits, samples and generated data are drawn from."""
    graph: GraphConf
    task: Task
    method: MethodConf
    llm: LLMConf
    tracking: Tracking
    workers: WorkersConf = WorkersConf()
    probe: ProbeConf = ProbeConf()
    parameters: str | None = None
    """File to start from (optimize) or to score (evaluate)."""
    split: Literal["train", "validation", "test"] = "test"
    """What evaluate scores."""
