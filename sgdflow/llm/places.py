"""Where in the configuration stands what a provider did not like."""

from __future__ import annotations

import re

from sgdflow.llm.address import proxied
from sgdflow.llm.models import ModelSpec

_NO_SYSTEM = re.compile(
    r"system (?:role|message|prompt|instruction)s?\b.{0,40}(?:not |un)(?:supported|allowed|enabled)"
    r"|not support\w* .{0,40}system|developer instruction is not enabled",
    re.IGNORECASE,
)
"""How servers say that a model takes no system message."""


def address(role: str, spec: ModelSpec) -> str:
    """Say where the address stands, or may stand."""
    if spec.moved:
        return "the provider's variable for its address in the environment"
    return f"llm.models.{role}.api_base" if "api_base" in spec.own else "llm.api_base"


def reach(role: str, spec: ModelSpec) -> str:
    """Say what to do where nothing answers."""
    if spec.api_base is None:
        return "Look at this machine's network and proxy"
    proxy = ", or the proxy that the environment names for it" if proxied(spec.api_base) else ""
    return f"Start the server there, or correct {address(role, spec)}{proxy}"


def limit(role: str, spec: ModelSpec) -> str:
    """Say where the limit of tokens stands, or may stand."""
    names = ("max_tokens", "max_completion_tokens")
    name = next((name for name in names if name in spec.parameters), names[0])
    everybodys = name in spec.parameters and name not in spec.own
    return f"llm.parameters.{name}" if everybodys else f"llm.models.{role}.parameters.{name}"


def about_parameter(said: str, role: str, spec: ModelSpec) -> str:
    """Say where a parameter stands that the provider's words name, and how to leave it out."""
    if _NO_SYSTEM.search(said):
        into = "+llm.parameters.supports_system_message=false"
        return f"{into} puts the system message into the user's, for all roles."
    names = (name for name in spec.parameters if re.search(rf"\b{re.escape(name)}\b", said))
    if (name := next(names, None)) is None:
        return ""
    if name in spec.own:
        return f"{name} stands in llm.models.{role}.parameters: change it there, or take it out."
    out = f"{{model: {spec.model}, parameters: {{{name}: null}}}}"
    where = f"{name} stands in llm.parameters, for all roles."
    return f"{where} To leave it out for this one: 'llm.models.{role}={out}'"
