"""A graph, examples and a score given in Python: a configuration as YAML would declare it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sgdflow.config.compose import compose
from sgdflow.config.environment import escaped, mapped
from sgdflow.config.fields import name_of
from sgdflow.config.words import quoted, said_of
from sgdflow.config.written import Composed, concealed
from sgdflow.data.given import TARGET, GivenExamples
from sgdflow.errors import ConfigError

_NAME = "flow"
"""What a graph is called that has no name."""


@dataclass(frozen=True, slots=True)
class Given:
    """What stands in Python where files would stand otherwise."""

    graph: Mapping[str, Any] | str
    """A declaration, or the name of a graph's file."""
    examples: Any = None
    """None: the graph only answers."""
    score: Any = None
    """A callable, or what task.score may be; None: by the form of the targets."""
    target: str = TARGET
    id: str | None = None
    name: str = "examples"
    """The name of the task."""

    def composed(self, words: Sequence[str]) -> Composed:
        """Return the configuration with everything else as the words and the files have it."""
        if wrong := [word for word in words if not isinstance(word, str)]:
            found = type(wrong[0]).__name__
            raise ConfigError(
                f"words: expected texts such as 'llm=openai', found {found}. All else is given by "
                "name: graph={...}, examples=[...], score=function."
            )
        said = said_of(words)
        self._check_words(said)
        base = compose([*self._choices(), *words])
        own: dict[str, Any] = {}
        if isinstance(self.graph, Mapping):
            own["graph"] = {"name": _NAME, **_callables(self.graph)}
        elif not isinstance(self.graph, str):
            found = type(self.graph).__name__
            raise ConfigError(f"graph: expected a dictionary or a name, found {found}.")
        written = dict(own)
        if self.examples is not None:
            wanted = _inputs(own.get("graph", base["graph"]))
            examples = GivenExamples(self.examples, wanted, self.target, self.id)
            task = self._task(base["task"], examples, sized=_said(said, "task.splits"))
            own["task"] = {**task, "data": {"_target_": examples}}
            written["task"] = {**task, "data": examples.written()}
        hidden, more = concealed(mapped(written, _as_written))
        resolved, kept = {**base.resolved, **own}, {**base.written, **hidden}
        if self.examples is None:
            del resolved["task"], kept["task"]
        return Composed(resolved, kept, {**base.given, **more}, base.lacking)

    def _choices(self) -> list[str]:
        graph = self.graph if isinstance(self.graph, str) else "single"
        return [quoted("graph", graph), "task=table", *(f"task.{key}=null" for key in _TABLE)]

    def _check_words(self, said: Mapping[str, object]) -> None:
        """Refuse words about what is given: they would mean nothing."""
        given = {"task": "examples", "task.data": "examples", "task.name": "name"}
        given |= {f"task.{key}": "examples" for key in _TABLE}
        own = ("graph",) if isinstance(self.graph, Mapping) else ()
        lines = []
        for key in said:
            plain = key.lstrip("+~")
            if plain == "experiments":
                lines.append(f"{key}: it brings a graph and a task; sgdflow.load takes it.")
            elif plain == "graph" or plain.partition(".")[0] in own:
                lines.append(f"{key}: the graph is given in Python; change it there.")
            elif plain == "task.score" and self.score is not None:
                lines.append(f"{key}: score=... is given in Python, too. Take one of them out.")
            elif plain in given or plain.startswith("task.data."):
                argument = given.get(plain, "examples")
                lines.append(f"{key}: {argument}=... of Flow takes its place. Take the word out.")
            elif plain.startswith("task.") and self.examples is None:
                lines.append(f"{key}: there are no examples; give some with examples=[...].")
        if self.examples is None and self.score is not None:
            lines.append("score: there are no examples to score; give some with examples=[...].")
        if lines:
            raise ConfigError("\n".join(lines))

    def _task(
        self, table: Mapping[str, Any], examples: GivenExamples, *, sized: bool
    ) -> Mapping[str, Any]:
        task = {**table, "name": self.name}
        if examples.has_targets():
            task["target"] = self.target
        if self.score is not None:
            task["score"] = _score(self.score)
        return task if sized else {**task, "splits": dict(examples.sizes())}


_TABLE = ("path", "inputs", "target", "id")


def _said(said: Mapping[str, object], key: str) -> bool:
    return any(one.lstrip("+~").startswith(key) for one in said)


def _inputs(graph: Any) -> tuple[str, ...]:
    """Return the declared inputs; those of a graph that a function makes are known later."""
    found = graph.get("inputs") if isinstance(graph, Mapping) else None
    return tuple(map(str, found)) if isinstance(found, list | tuple) else ()


def _as_written(path: tuple[str, ...], value: Any) -> Any:
    return name_of(value) if callable(value) else escaped(value)


def _callables(graph: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the graph with callables, where nodes may have some, in the form that YAML has."""
    nodes = graph.get("nodes")
    if not isinstance(nodes, Mapping):
        return graph
    return {**graph, "nodes": {name: _node(node) for name, node in nodes.items()}}


def _node(node: Any) -> Any:
    if not isinstance(node, Mapping):
        return node
    sides = {side: _target(node[side]) for side in ("forward", "backward") if side in node}
    return {**node, **sides}


def _score(score: Any) -> Any:
    if isinstance(score, Mapping) and isinstance(parts := score.get("objectives"), Mapping):
        own = {
            name: {**one, "score": _target(one["score"])}
            if isinstance(one, Mapping) and "score" in one
            else one
            for name, one in parts.items()
        }
        return {**score, "objectives": own}
    return _target(score)


def _target(value: Any) -> Any:
    return {"_target_": value} if callable(value) else value
