"""What graphs and methods are both built from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sgdflow.config import schema
from sgdflow.config.targets import resolve
from sgdflow.errors import ConfigError, bounded
from sgdflow.executor.backward_functions import CallableBackward, PromptBackward
from sgdflow.executor.graph import BackwardFunction
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.schemas import schema_of
from sgdflow.prompting.templates import Prompts


@dataclass
class Problems:
    """Collects mistakes, so that a user sees all of them at once."""

    lines: list[str] = field(default_factory=list)

    def extend(self, lines: Iterator[str]) -> None:
        """Add lines that are not there yet."""
        self.lines.extend(line for line in lines if line not in self.lines)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Turn a ConfigError inside into lines."""
        try:
            yield
        except ConfigError as error:
            self.extend(iter(str(error).split("\n")))

    def check(self) -> None:
        """Raise all that was collected."""
        if self.lines:
            raise ConfigError("\n".join(bounded(self.lines)))


def ask(conf: schema.Exchange, prompts: Prompts) -> Ask:
    """Return a declared exchange."""
    return Ask(prompts, conf.prompt, conf.role, reply_format(conf.reply), conf.attempts)


def reply_format(conf: schema.Reply) -> ReplyFormat:
    """Return the form of a reply; one with a schema is JSON."""
    said = conf.model_dump()
    declared = said.pop("schema_", None)
    if declared is not None:
        said |= {"format": "json", "schema": schema_of(declared)}
    return ReplyFormat(**said)


def build_backward(
    conf: schema.Target | schema.Backward, prompts: Prompts, where: str
) -> BackwardFunction:
    """Return a backward function."""
    if isinstance(conf, schema.Target):
        return CallableBackward(resolve(conf, where))
    if conf.calls == "node" and not conf.neighbors:
        raise ConfigError(
            f"{where}: calls: node shows all predecessors at once, so neighbors: false means "
            "nothing there. Use calls: edge."
        )
    of_method = "verify" if conf.verify else "successes" if conf.successes else ""
    if of_method and where != "method.backward":
        raise ConfigError(
            f"{where}: {of_method} belongs to the method, not to a node: set "
            f"method.backward.{of_method}."
        )
    if conf.local and (conf.calls == "edge" or conf.of_parameters):
        other = "calls: edge" if conf.calls == "edge" else "of_parameters: true"
        raise ConfigError(
            f"{where}: local: true tells apart, in one call, what a node lacks itself and what its "
            f"predecessors do; it does not go together with {other}. Take one of them out."
        )
    return PromptBackward(
        ask(conf, prompts),
        conf.calls == "edge",
        conf.neighbors,
        conf.of_parameters,
        conf.rules,
        conf.local,
        conf.targets,
        conf.max_characters,
    )
