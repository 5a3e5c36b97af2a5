"""Who answers at an address, and what an address and headers say of the one who asks."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

from sgdflow.errors import ConfigError
from sgdflow.secrets import looks_secret, masked

_OWN: Mapping[str, tuple[str, ...]] = {
    "anthropic": ("api.anthropic.com",),
    "azure": (".azure.com", ".azure-api.net"),
    "azure_ai": (".azure.com", ".azure-api.net"),
    "cohere": ("api.cohere.com", "api.cohere.ai"),
    "deepseek": ("api.deepseek.com",),
    "fireworks_ai": ("api.fireworks.ai",),
    "gemini": ("generativelanguage.googleapis.com",),
    "groq": ("api.groq.com",),
    "mistral": ("api.mistral.ai",),
    "openai": ("api.openai.com",),
    "openrouter": ("openrouter.ai",),
    "together_ai": ("api.together.xyz", "api.together.ai"),
    "xai": ("api.x.ai",),
}
"""The hosts of providers, or how they end."""
_SUFFIXES = ("_API_BASE", "_BASE_URL")
_PORTS = {"http": 80, "https": 443}


def of_environment(provider: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the variable that leads a provider's calls elsewhere, and where to."""
    names = [f"{provider.upper()}{suffix}" for suffix in reversed(_SUFFIXES)]
    return next(((name, environ[name]) for name in names if environ.get(name)), None)


def is_own(provider: str, api_base: str | None) -> bool:
    """Say whether a provider is asked at its own address."""
    if api_base is None:
        return True
    if "${" in api_base:
        return False
    host = (urlsplit(api_base).hostname or "").lower()
    return any(
        host.endswith(own) if own.startswith(".") else host == own or host.endswith(f".{own}")
        for own in _OWN.get(provider, ())
    )


@lru_cache(maxsize=64)
def answering(provider: str, api_base: str | None, name: str | None = None) -> str:
    """Return what tells apart who answers: a declared name, or the address.

    It is empty for the provider's own address.
    """
    if name:
        return name
    return "" if api_base is None or is_own(provider, api_base) else plain(api_base)


def problem(api_base: str) -> str:
    """Say what is wrong with an address; empty where nothing is."""
    if "${" in api_base:  # what it refers to is not set yet
        return ""
    try:
        parts = urlsplit(api_base)
        if parts.hostname and parts.scheme and parts.port != 0:
            return ""
    except ValueError as error:
        return f"api_base={masked(api_base)} is no address: {error}."
    meant = f"http://{api_base}" if "://" not in api_base else "http://localhost:8000/v1"
    return f"api_base={masked(api_base)} is no address. Did you mean {masked(meant)}?"


def plain(api_base: str) -> str:
    """Return an address as it stands for who answers there: without logins, keys, small matters."""
    if "${" in api_base:
        return api_base
    parts = urlsplit(api_base.strip())
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    if parts.port and parts.port != _PORTS.get(parts.scheme.lower()):
        host += f":{parts.port}"
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    asked = [pair for pair in parse_qsl(parts.query) if not _tells_who_asks(pair[0])]
    return urlunsplit((parts.scheme.lower(), host, path, urlencode(sorted(asked)), ""))


def with_login(
    api_base: str | None, key: str | None, parameters: Mapping[str, Any]
) -> tuple[str | None, str | None, Mapping[str, Any]]:
    """Return address, key and parameters so that a declared authorization is sent.

    litellm sends the key as an authorization of its own, whatever headers say.
    """
    headers = dict(parameters.get("extra_headers") or {})
    name = next((name for name in headers if str(name).lower() == "authorization"), None)
    if name is None:
        return api_base, key, parameters
    kind, _, secret = str(headers.pop(name)).strip().partition(" ")
    parameters = {**parameters, "extra_headers": headers}
    if kind.lower() == "bearer":
        return api_base, secret.strip(), parameters
    if kind.lower() == "basic" and api_base is not None:
        return _logged_in(api_base, secret.strip()), key, parameters
    raise ConfigError(
        "The header Authorization can be sent as 'Bearer TOKEN' or, where api_base says where to, "
        "as 'Basic TOKEN'; this one begins otherwise."
    )


def has_login(api_base: str | None) -> bool:
    """Say whether an address holds a user."""
    return api_base is not None and "@" in urlsplit(api_base).netloc


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment declares for an address."""
    parts = urlsplit(url)
    with suppress(OSError, UnicodeError):
        if proxy_bypass(parts.hostname or ""):
            return None
    proxies = getproxies()
    found = proxies.get(parts.scheme.lower()) or proxies.get("all")
    return f"http://{found}" if found and "://" not in found else found


def proxied(api_base: str) -> bool:
    """Say whether a proxy of the environment is asked in place of an address."""
    return proxy_of(api_base) is not None


async def unreachable(api_base: str, seconds: float) -> str:
    """Say why no connection to an address can be made; empty where one can, or a proxy makes it."""
    parts = urlsplit(api_base)
    host, scheme = parts.hostname or "", parts.scheme.lower()
    if scheme not in _PORTS or proxied(api_base):
        return ""
    try:
        async with asyncio.timeout(seconds):
            _, writer = await asyncio.open_connection(host, parts.port or _PORTS[scheme])
        writer.close()
    except TimeoutError:
        return f"no connection within {seconds:g} seconds"
    except (OSError, UnicodeError) as error:
        return str(error)
    return ""


def _logged_in(api_base: str, token: str) -> str:
    try:
        user, _, password = base64.b64decode(token, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise ConfigError(
            "The header Authorization is no 'Basic TOKEN' (base64 of USER:PASSWORD)."
        ) from None
    parts = urlsplit(api_base)
    host = parts.netloc.rpartition("@")[2]
    login = f"{quote(unquote(user), safe='')}:{quote(password, safe='')}"
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


def _tells_who_asks(name: str) -> bool:
    return name.lower() in ("key", "sig", "signature") or looks_secret(name)
