"""Parameters that start from a version in MLflow's registry: `value: prompts:/NAME@ALIAS`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sgdflow.config.environment import escaped
from sgdflow.config.written import Composed
from sgdflow.errors import ConfigError
from sgdflow.secrets import masked
from sgdflow.tracking.store import check_exists, store_uri

_ADDRESS = re.compile(r"prompts:/([^/@\s]+)(?:/(\d+)|@([\w.-]+))")
_ANY = re.compile(r"prompts:/\S*")
Path = tuple[str, ...]


def registered(config: Composed) -> Composed:
    """Return the configuration with texts in place of the addresses of registered prompts.

    They are written down as texts, since an alias moves on. Raises ConfigError with all that
    cannot be had; a configuration without such an address needs no MLflow.
    """
    graph = config.get("graph")
    found = dict(_addresses(graph)) if isinstance(graph, Mapping) else {}
    if not found:
        return config
    tracking = config.get("tracking")
    uri = store_uri(tracking.get("uri") if isinstance(tracking, Mapping) else None)
    texts, problems = {}, []
    for path, address in found.items():
        try:
            texts[path] = _text(address, uri)
        except ConfigError as error:
            problems += [f"{'.'.join(('graph', *path))}: {line}" for line in str(error).split("\n")]
    if problems:
        raise ConfigError("\n".join(problems))
    written = config.written["graph"]
    for path, text in texts.items():
        graph, written = _put(graph, path, text), _put(written, path, escaped(text))
    return Composed(
        {**config.resolved, "graph": graph},
        {**config.written, "graph": written},
        config.given,
        config.lacking,
    )


def _addresses(graph: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield where parameters name a prompt, and which."""
    nodes = graph.get("nodes")
    places: dict[Path, Any] = {("parameters",): graph.get("parameters")}
    for name, node in nodes.items() if isinstance(nodes, Mapping) else ():
        if isinstance(node, Mapping):
            places["nodes", name, "parameters"] = node.get("parameters")
    for place, parameters in places.items():
        for name, value in parameters.items() if isinstance(parameters, Mapping) else ():
            own, text = ((*place, name), value)
            if isinstance(value, Mapping):
                own, text = (*own, "value"), value.get("value")
            if isinstance(text, str) and _ANY.fullmatch(text):
                yield own, text


def _text(address: str, uri: str) -> str:
    if (said := _ADDRESS.fullmatch(address)) is None:
        raise ConfigError(
            f"'{address}' names no version of a prompt. Write prompts:/NAME@ALIAS or "
            "prompts:/NAME/VERSION."
        )
    check_exists(uri)
    from sgdflow.tracking.client import client, reason_of

    name, version, alias = said.groups()
    try:
        store = client(uri)
        found = (
            store.get_prompt_version(name, version)
            if version
            else store.get_prompt_version_by_alias(name, alias)
        )
    except Exception as error:
        raise ConfigError(f"{_missing(address, uri)} ({reason_of(error)})") from None
    if found is None:
        raise ConfigError(_missing(address, uri))
    if not isinstance(found.template, str):
        raise ConfigError(f"{address} is a chat prompt; a parameter is a text. Register it as one.")
    return found.template


def _missing(address: str, uri: str) -> str:
    return (
        f"there is no {address} in {masked(uri)}. `sgdflow ui` shows the prompts there; another "
        "store is named with tracking.uri=..."
    )


def _put(tree: Any, path: Path, text: str) -> Any:
    if not path:
        return text
    return {**tree, path[0]: _put(tree[path[0]], path[1:], text)}
