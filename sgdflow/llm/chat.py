"""A request in OpenAI's chat protocol: where it goes, what it holds, who it is from."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from sgdflow import __version__
from sgdflow.llm import Message
from sgdflow.llm.address import is_own, with_login
from sgdflow.llm.endpoints import AZURE, OLLAMA, PATH, VERSION, azure_key, azure_url, ollama_url
from sgdflow.llm.failures import Failure, Noticed
from sgdflow.llm.models import FORM, ModelSpec

PLAIN = frozenset({"openai", "hosted_vllm"})
"""Whose endpoints, and those of all who are called so, speak the protocol and nothing else."""
PROVIDERS = PLAIN | OLLAMA | {AZURE}
"""Whose endpoints speak the protocol."""
NO_KEY_NEEDED = "no-key-needed"
_OPENAI = "https://api.openai.com/v1"
_IN_ORDER = (
    "functions", "function_call", "temperature", "top_p", "stream", "stream_options", "stop",
    "max_tokens", "max_completion_tokens", "modalities", "prediction", "audio",
    "presence_penalty", "frequency_penalty", "logit_bias", "user", "web_search_options",
    FORM, "seed", "tools", "tool_choice", "logprobs", "top_logprobs", "parallel_tool_calls",
)  # fmt: skip
"""Parameters in the order in which litellm sends them: a body is the same, letter by letter."""
_FOR_US = frozenset({"extra_headers", "headers", "extra_body", "supports_system_message"})
_FOR_AZURE = _FOR_US | {VERSION}
_CHANGED = {"functions", "function_call", "tools", "tool_choice", "user", "web_search_options"}
AS_THEY_ARE = frozenset(_IN_ORDER) - _CHANGED | {
    "extra_headers", "extra_body", "supports_system_message", "min_p", "top_k",
    "repetition_penalty", "chat_template_kwargs",
}  # fmt: skip
"""Parameters that litellm sends as they are, too."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a model's requests go, and what their headers say."""

    url: str
    headers: Mapping[str, str]


def target(spec: ModelSpec, key: str | None, environ: Mapping[str, str]) -> Target:
    """Return where a model is asked; raises Noticed where there is no key to ask with."""
    headers = {
        "accept": "*/*",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "user-agent": f"sgdflow/{__version__}",
    }
    if spec.api_base is None and spec.provider in (AZURE, "hosted_vllm"):
        raise Noticed(Failure("unreachable", f"{spec.provider} has no address but api_base"))
    if spec.provider == AZURE:
        return _azure(spec, key, environ, headers)
    api_base, key, parameters = with_login(spec.api_base, key, spec.parameters)
    if spec.provider in OLLAMA:
        key = key or (None if spec.api_base else environ.get("OLLAMA_API_KEY"))
        api_base = ollama_url(api_base, environ)
    elif spec.api_base is None:
        # Only the provider itself gets what stands in the environment.
        key = key or environ.get("OPENAI_API_KEY")
        if not key:
            raise Noticed(Failure("authentication", "OPENAI_API_KEY is not set"))
        for name in ("organization", "project"):
            if value := environ.get(f"OPENAI_{name.upper()}"):
                headers[f"openai-{name}"] = value
    url, login = _without_login(_full(api_base or _OPENAI))
    headers["authorization"] = login or f"Bearer {key or NO_KEY_NEEDED}"
    return Target(url, headers | _declared(parameters))


def _azure(
    spec: ModelSpec, key: str | None, environ: Mapping[str, str], headers: dict[str, str]
) -> Target:
    """Return where a deployment is asked: its key has a header of its own."""
    declared = _declared(spec.parameters)
    url, login = _without_login(azure_url(spec, spec.api_base or "", environ))
    if login:
        headers["authorization"] = login
    elif not {"authorization", "api-key"} & declared.keys():
        key = key or azure_key(spec, environ)
        if not key and is_own(AZURE, spec.api_base):
            raise Noticed(Failure("authentication", "AZURE_API_KEY is not set"))
        headers["api-key"] = key or NO_KEY_NEEDED
    return Target(url, headers | declared)


def _declared(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the declared headers."""
    found: dict[str, str] = {}
    for more in ("headers", "extra_headers"):
        declared = (parameters.get(more) or {}).items()
        found |= {str(name).lower(): str(value) for name, value in declared}
    return found


def content(spec: ModelSpec, messages: Sequence[Message], parameters: Mapping[str, Any]) -> bytes:
    """Return the body of a request; null leaves a parameter out."""
    given = {name: value for name, value in parameters.items() if value is not None}
    if given.get("stream"):
        # The numbers of tokens come at its end, if they are asked for.
        given = {"stream_options": {"include_usage": True}, **given}
    said = list(messages)
    if given.get("supports_system_message") is False:
        said = list(_without_system(messages))
    told = [{"role": one.role, "content": parts(one)} for one in said]
    body = {"model": spec.model.partition("/")[2], "messages": told}
    body |= {name: given[name] for name in _IN_ORDER if name in given}
    body |= given.get("extra_body") or {}
    # What was put in by hand is not taken back.
    for_us = _FOR_AZURE if spec.provider == AZURE else _FOR_US
    for name, value in given.items():
        if name not in for_us and name not in body:
            body[name] = value
    return json.dumps(body).encode()


def understood(
    spec: ModelSpec, parameters: Mapping[str, Any], takes_schema: Callable[[], bool]
) -> Mapping[str, Any]:
    """Return the parameters without a schema that the model does not take; its prompt has it."""
    if FORM not in parameters or FORM in spec.parameters or takes_schema():
        return parameters
    return {name: value for name, value in parameters.items() if name != FORM}


def parts(said: Message) -> Any:
    """Return what a message says, with its images behind the text."""
    if not said.images:
        return said.content
    shown = ({"type": "image_url", "image_url": {"url": image}} for image in said.images)
    return [{"type": "text", "text": said.content}, *shown]


def _without_system(messages: Sequence[Message]) -> Iterator[Message]:
    """Yield messages, each system message as a part of the one after it."""
    before = ""
    for number, said in enumerate(messages):
        if said.role != "system":
            yield Message(said.role, before + said.content, images=said.images)
            before = ""
        elif number + 1 < len(messages) and messages[number + 1].role != "system":
            before = f"{said.content} "
        else:
            yield Message("user", said.content)


def _full(api_base: str) -> str:
    """Return the address that is asked, which may have been declared as a whole."""
    parts = urlsplit(api_base.strip())
    path = parts.path.rstrip("/")
    path = path if path.endswith(PATH) else f"{path}/{PATH}"
    return urlunsplit(parts._replace(path=path, fragment=""))


def _without_login(url: str) -> tuple[str, str]:
    """Return an address without the user in it, and the header that names him."""
    parts = urlsplit(url)
    login, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, ""
    token = base64.b64encode(":".join(map(unquote, login.split(":", 1))).encode()).decode()
    return urlunsplit(parts._replace(netloc=host)), f"Basic {token}"
