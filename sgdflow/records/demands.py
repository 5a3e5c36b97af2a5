"""What a folder asks for beyond sgdflow's own functions and a provider's own address."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sgdflow.config.paths import shipped_document
from sgdflow.config.written import references
from sgdflow.secrets import masked

_FUNCTIONS = frozenset(
    {
        "sgdflow.library.graphs.layered",
        "sgdflow.library.tools.calculate",
        "sgdflow.library.tools.fill",
        "sgdflow.library.tools.first",
        "sgdflow.library.tools.keywords",
        "sgdflow.simulation.forms.graph",
        "sgdflow.simulation.tariff.desk",
    }
)
_SCORERS = frozenset(
    f"sgdflow.data.scoring.{name}"
    for name in (
        *("like_target", "number", "code", "option", "yes_no", "true_false", "date", "exact"),
        *("text", "any_of"),
    )
)
_DATA = frozenset(
    {"sgdflow.data.table", "sgdflow.data.gsm8k", "sgdflow.data.bbh", "sgdflow.data.liar"}
    | {"sgdflow.data.given.lost"}
    | {"sgdflow.simulation.tariff.orders", "sgdflow.simulation.forms.papers"}
)
OWN: Mapping[str, Collection[str]] = {
    "graph": _FUNCTIONS | _SCORERS,
    "task.score": _SCORERS,
    "task.data": _DATA,
}
"""Functions that do nothing but compute or, below task.data, read examples: by where they stand."""
_KEYS: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("api.anthropic.com", "ANTHROPIC_API_KEY"),
    "cerebras": ("api.cerebras.ai", "CEREBRAS_API_KEY"),
    "cohere": ("api.cohere.com", "COHERE_API_KEY"),
    "deepseek": ("api.deepseek.com", "DEEPSEEK_API_KEY"),
    "fireworks_ai": ("api.fireworks.ai", "FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"),
    "gemini": ("generativelanguage.googleapis.com", "GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "groq": ("api.groq.com", "GROQ_API_KEY"),
    "mistral": ("api.mistral.ai", "MISTRAL_API_KEY"),
    "openai": ("api.openai.com", "OPENAI_API_KEY"),
    "openrouter": ("openrouter.ai", "OPENROUTER_API_KEY"),
    "perplexity": ("api.perplexity.ai", "PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "together_ai": ("api.together.xyz", "TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
    "xai": ("api.x.ai", "XAI_API_KEY"),
}
"""A provider's own host, and the variables that hold its key."""
_HERE = frozenset({"hosted_vllm", "ollama", "ollama_chat"})
"""Providers that are servers of one's own."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ADDRESS = re.compile(r"https?://[\w.\-\[\]:]+(?:/[\w.\-/]*)?")
_PARAMETERS = frozenset(
    {"frequency_penalty", "logit_bias", "max_completion_tokens", "max_tokens", "min_p"}
    | {"presence_penalty", "reasoning_effort", "repetition_penalty", "response_format", "seed"}
    | {"stop", "temperature", "thinking", "top_k", "top_p", "verbosity"}
)
"""What says how to write, and nothing of where anything is sent."""


@dataclass(frozen=True)
class Folder:
    """A configuration that came with a folder, as it is written, and what the user said to it."""

    config: Mapping[str, Any]
    working: Path
    code: Path | None = None
    said: Collection[str] = field(default_factory=tuple)
    """Keys of the user's own overrides: what stands there is his."""
    documents: bool = False
    """Whether it brings along what its nodes search."""

    def demands(self, *parts: str) -> Iterator[str]:
        """Yield in words what these parts of the configuration would do."""
        for part in parts:
            if not self._is_said(part):
                yield from self._targets(self.config.get(part), part)
        if "graph" in parts and not self._is_said("graph"):
            yield from self._names(self.config.get("graph"))
            yield from self._documents(_mapping(self.config.get("graph")))
        if "llm" in parts and not self._is_said("llm"):
            yield from self._models(_mapping(self.config.get("llm")))
        if "task" in parts and not self._is_said("task"):
            yield from self._examples()
        written = {part: self.config.get(part) for part in parts}
        for key, names in references(written).items():
            if not self._is_said(key):
                yield from (f"use the environment variable {name} ({key})" for name in names)

    def _is_said(self, key: str) -> bool:
        return any(key == said or key.startswith(f"{said}.") for said in self.said)

    def _targets(self, value: Any, key: str) -> Iterator[str]:
        for name, inner in _mapping(value).items():
            below = f"{key}.{name}"
            if name != "_target_":
                yield from self._targets(inner, below)
            elif inner not in self._own(key) and not self._is_said(below):
                yield f"run {inner}{self._brought(str(inner))} ({below})"
        for inner in value if isinstance(value, list) else ():
            yield from self._targets(inner, key)

    def _own(self, key: str) -> Collection[str]:
        return next((own for place, own in OWN.items() if f"{key}.".startswith(f"{place}.")), ())

    def _brought(self, target: str) -> str:
        """Say where the folder brings the code of a function along."""
        if self.code is None:
            return ""
        name = target.split(".")[0]
        found = [one for one in (f"{name}.py", name) if (self.code / one).exists()]
        return f", which is in {self.code / found[0]}" if found else ""

    def _names(self, graph: Any) -> Iterator[str]:
        """Yield names that lead out of the folder where they are taken for a part of a path."""
        said = _mapping(graph)
        names = {"graph.name": said.get("name"), "graph.output": said.get("output")}
        for node, declared in _mapping(said.get("nodes")).items():
            names[f"graph.nodes.{node}"] = node
            for side in ("forward", "backward"):
                prompt = _mapping(_mapping(declared).get(side)).get("prompt")
                names[f"graph.nodes.{node}.{side}.prompt"] = prompt
            for parameter in _mapping(_mapping(declared).get("parameters")):
                names[f"graph.nodes.{node}.parameters"] = parameter
        names |= {f"graph.parameters.{name}": name for name in _mapping(said.get("parameters"))}
        names["graph.forward.prompt"] = _mapping(said.get("forward")).get("prompt")
        for key, name in names.items():
            if isinstance(name, str) and _leaves(name, within=key.endswith("prompt")):
                yield f"use a name that leads out of the folder: '{name}' ({key})"

    def _documents(self, graph: Mapping[str, Any]) -> Iterator[str]:
        for node, declared in _mapping(graph.get("nodes")).items():
            forward, key = (
                _mapping(_mapping(declared).get("forward")),
                f"graph.nodes.{node}.forward",
            )
            path, model = forward.get("retrieve"), forward.get("embeddings")
            if path is not None and not self._is_brought(path):
                if shipped_document(str(path)) is None:
                    yield f"read {path} and send it to the models ({key}.retrieve)"
            if model is not None and not self._is_brought(model):
                yield f"read the embedding model {model} ({key}.embeddings)"

    def _is_brought(self, path: Any) -> bool:
        parts = re.split(r"[/\\]", str(path))
        return self.documents and parts[0] == "documents" and ".." not in parts

    def _models(self, llm: Mapping[str, Any]) -> Iterator[str]:
        for role, declared in _mapping(llm.get("models")).items():
            yield from self._model(declared, llm, f"llm.models.{role}")
        for role, several in _mapping(llm.get("fallbacks")).items():
            for declared in several if isinstance(several, list) else ():
                yield from self._model(declared, llm, f"llm.fallbacks.{role}")
        uri = _mapping(llm.get("store")).get("uri")
        if uri is not None and not self._is_said("llm.store.uri"):
            yield f"keep replies in {masked(str(uri))} (llm.store.uri)"
        path = _mapping(llm.get("store")).get("path")
        if path is not None and not self._is_said("llm.store.path"):
            if not self._within(str(path)):
                yield f"keep replies in {path} (llm.store.path)"

    def _within(self, path: str) -> bool:
        """Return whether a path stays in the working directory."""
        try:
            return (self.working / path).resolve().is_relative_to(self.working.resolve())
        except (OSError, RuntimeError, ValueError):  # a link to itself; a zero byte
            return False

    def _model(self, declared: Any, llm: Mapping[str, Any], key: str) -> Iterator[str]:
        own = declared if isinstance(declared, dict) else {"model": declared}
        model = str(own.get("model"))
        address, at = _either(own, llm, "api_base", key)
        variable, named = _either(own, llm, "api_key_env", key)
        provider = model.partition("/")[0]
        host, *usual = _KEYS.get(provider, ("",))
        known = provider in _KEYS or provider in _HERE or provider == "simulated"
        with_key = f", with the key in {variable}" if variable else ""
        if address and not self._is_said(at):
            for one in address if isinstance(address, list) else [address]:
                here = not variable and _host(one) in _LOOPBACK
                if not here and _host(one) != host:
                    yield f"send all inputs to {one}{with_key} ({at})"
        elif variable and variable not in usual and not self._is_said(named):
            yield f"send the key in {variable} to {address or provider} ({named})"
        if (not known or "://" in model) and not self._is_said(key):
            yield f"send all inputs to wherever {model} is{with_key} ({key})"
        for place, where in ((own, key), (llm, "llm")):
            for name in _mapping(place.get("parameters")):
                if name not in _PARAMETERS and not self._is_said(f"{where}.parameters.{name}"):
                    yield f"hand {name} to {provider} ({where}.parameters.{name})"

    def _examples(self) -> Iterator[str]:
        for name, value in _mapping(_mapping(self.config.get("task")).get("data")).items():
            if name == "path" and value is not None and not self._is_said("task.data.path"):
                yield f"read {value} and send it to the models (task.data.path)"


def links(folder: Path, names: Collection[str] | None = None) -> Iterator[str]:
    """Yield in words what leads out of a folder, or is no plain file.

    `names` are the files that matter; None: all there are.
    """
    root = folder.resolve()
    found = [folder / name for name in names] if names is not None else list(_files(folder))
    for path in found[:_MOST]:
        try:
            target = path.resolve()
        except (OSError, RuntimeError):  # a link to itself
            target = Path("/")
        if not target.is_relative_to(root):
            yield f"follow a link out of the folder: {path} -> {target}"
        elif path.exists() and not (path.is_file() or path.is_dir()):
            yield f"open {path}, which is no plain file"
        elif path.is_file() and path.stat().st_size > _BYTES and names is None:
            yield f"read {path}, which has {path.stat().st_size:,} bytes"
    if len(found) > _MOST:
        yield f"look through more than {_MOST:,} files"


_MOST, _BYTES = 10_000, 8 * 2**20


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(place) / name
            count += 1
            if count > _MOST:
                return


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _either(own: Mapping[str, Any], llm: Mapping[str, Any], name: str, key: str) -> tuple[Any, str]:
    """Return what a model says of itself, or else llm for all models, and where it stands."""
    return (own[name], f"{key}.{name}") if own.get(name) else (llm.get(name), f"llm.{name}")


def _host(address: object) -> str:
    """Return the host, empty for anything that not all programs read alike."""
    if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
        return ""
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _leaves(name: str, *, within: bool) -> bool:
    parts = re.split(r"[/\\]", name)
    return (
        ".." in parts
        or "\0" in name
        or (":" in parts[0] or not parts[0] if within else len(parts) > 1)
    )
