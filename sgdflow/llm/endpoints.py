"""Azure's and Ollama's ways to speak OpenAI's chat protocol: addresses, keys, what is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from sgdflow.llm.address import is_own
from sgdflow.llm.models import FORM, ModelSpec

PATH = "chat/completions"
AZURE = "azure"
OLLAMA = frozenset({"ollama", "ollama_chat"})
VERSION = "api_version"
"""The parameter that goes into Azure's address, not into the body."""
_OLLAMA_AT = "http://localhost:11434"
_OLLAMA_BASE = "OLLAMA_API_BASE"
_NEWEST = "2025-02-01-preview"
"""The version of Azure's interface where none is declared: litellm's."""
_DATED = re.compile(r"(\d{4}-\d{2})-\d{2}(-preview)?")
_SCHEMAS_SINCE = "2024-08"
_CHANGED = re.compile(
    r"gpt-?[56]|o[134]|_series|audio|search|codex|computer-use|gpt-?3|claude|command|mistral|/"
)
"""Names of deployments for which litellm changes parameters, or asks in another way."""
_OTHER_KEYS = ("AZURE_AD_TOKEN", "AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_USERNAME")
_OF_AZURE = frozenset({
    "temperature", "top_p", "stream", "stream_options", "stop", "max_tokens",
    "max_completion_tokens", "presence_penalty", "frequency_penalty", "logit_bias", FORM, "seed",
    "logprobs", "top_logprobs", "extra_headers", VERSION,
})  # fmt: skip
_OF_OLLAMA = frozenset({
    "temperature", "top_p", "stream", "stream_options", "stop", "max_tokens", FORM, "seed",
    "extra_headers",
})  # fmt: skip
IGNORED = frozenset({
    "format", "keep_alive", "min_p", "mirostat", "mirostat_eta", "mirostat_tau", "num_batch",
    "num_ctx", "num_gpu", "num_gqa", "num_keep", "num_predict", "num_thread", "repeat_last_n",
    "repeat_penalty", "system", "template", "tfs_z", "think", "top_k", "typical_p",
})  # fmt: skip
"""Options of Ollama's own protocol, which it silently leaves out of account in OpenAI's."""


def azure_key(spec: ModelSpec, environ: Mapping[str, str]) -> str | None:
    """Return the environment's key, which only Azure itself or the environment's address gets."""
    if spec.provider != AZURE or not (spec.moved or is_own(AZURE, spec.api_base)):
        return None
    return environ.get("AZURE_OPENAI_API_KEY") or environ.get("AZURE_API_KEY") or None


def azure_url(spec: ModelSpec, api_base: str, environ: Mapping[str, str]) -> str:
    """Return where a deployment is asked."""
    parts = urlsplit(api_base.strip())
    path = parts.path.rstrip("/")
    if "/openai/deployments/" not in f"{path}/":
        deployment = quote(spec.model.partition("/")[2], safe="")
        path = f"{path.removesuffix('/openai')}/openai/deployments/{deployment}"
    path = path if path.endswith(PATH) else f"{path}/{PATH}"
    query = dict(parse_qsl(parts.query))
    query.setdefault("api-version", _version(spec, environ))
    return urlunsplit(parts._replace(path=path, query=urlencode(query), fragment=""))


def ollama_url(api_base: str | None, environ: Mapping[str, str]) -> str:
    """Return where Ollama speaks OpenAI's protocol, given its address in one of its forms."""
    parts = urlsplit((api_base or environ.get(_OLLAMA_BASE) or _OLLAMA_AT).strip())
    path = parts.path.rstrip("/").removesuffix("/api/chat").removesuffix("/api/generate")
    path = path if path.endswith(("/v1", PATH)) else f"{path}/v1"
    return urlunsplit(parts._replace(path=path))


def left_to_litellm(spec: ModelSpec, environ: Mapping[str, str]) -> bool:
    """Say whether something about such a model cannot be done in OpenAI's protocol alone."""
    asked = spec.parameters
    if spec.provider == "ollama":
        return True  # a completion there, in a template of litellm's
    if spec.provider in OLLAMA:
        # Where these are not said it takes 1, and in its own protocol what its model declares.
        said = asked.get("temperature"), asked.get("top_p")
        elsewhere = not spec.api_base and bool(environ.get(_OLLAMA_BASE))
        return elsewhere or bool(asked.keys() - _OF_OLLAMA) or (said[0] != 0 and None in said)
    dated = _DATED.fullmatch(_version(spec, environ))
    parts = urlsplit(spec.api_base or "")
    return (
        not spec.api_base
        or bool(asked.keys() - _OF_AZURE)
        or _CHANGED.search(spec.model.partition("/")[2]) is not None
        or dated is None
        or dated[1] < _SCHEMAS_SINCE
        or any(environ.get(name) for name in _OTHER_KEYS)
        # Addresses of other forms, which litellm tells apart.
        or "/openai" in parts.path
        or bool(parts.query)
        or parts.hostname == "gateway.ai.cloudflare.com"
    )


def _version(spec: ModelSpec, environ: Mapping[str, str]) -> str:
    return str(spec.parameters.get(VERSION) or environ.get("AZURE_API_VERSION") or _NEWEST)
