"""Retrieval: the passages of documents that fit what the predecessors say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sgdflow.executor.graph import Computed, Node, Operands
from sgdflow.executor.places import View
from sgdflow.llm import LLM
from sgdflow.prompting.values import as_text

COUNT = "count"
"""The parameter that says how many passages are found."""
Found = Sequence[Mapping[str, str]]
"""Passages, each with its `document` and its `text`."""


class Search(Protocol):
    """Finds passages."""

    def best(self, query: str, count: int) -> Found:
        """Return at most so many passages, the best first; none that has nothing of the query."""

    def longest(self, count: int) -> Found:
        """Return the longest passages there are."""

    @property
    def digest(self) -> str:
        """Return what tells these documents apart from others."""

    @property
    def model(self) -> str | None:
        """Return what tells their embedding model apart from others; None without one."""

    def check(self, key: str) -> None:
        """Raise ConfigError where nothing can be found; `key` is that of the model."""


@dataclass(frozen=True, slots=True)
class RetrieveForward:
    """A forward function that looks up the values of its predecessors in documents."""

    search: Search
    documents: str
    """Where they are, as it was declared."""
    count: int
    """How many passages are found at most; a parameter of this name says it anew."""
    ask: None = None
    requests: int = 0
    code: str = "retrieve"

    @property
    def described(self) -> str:
        """Return what is looked for, and where."""
        return f"at most {self.count} passages of {self.documents} that fit best"

    @property
    def largest(self) -> str:
        """Return the most that can be found."""
        return str(as_text(self.search.longest(self.count)))

    async def forward(self, node: View, operands: Operands, llm: LLM) -> Computed:
        """Return the passages; an empty list where none has anything of the query."""
        query = "\n".join(str(as_text(value)) for value in operands.predecessors.values())
        return Computed(self.search.best(query, operands.parameters.get(COUNT, self.count)))

    def problems(self, node: Node) -> Iterator[str]:
        """Yield why it could look up nothing, or what it has no use for."""
        if not node.predecessors:
            yield "has nothing to look up: name the query among the predecessors."
        if others := [name for name in node.parameters if name != COUNT]:
            yield (
                f"has no use for parameters ({', '.join(others)}): what is looked up is "
                "what the predecessors say. Let a node before it write the query. How many "
                f"passages are found may be one: {COUNT}: {{value: 3, min: 1, max: 10, step: 1}}."
            )
