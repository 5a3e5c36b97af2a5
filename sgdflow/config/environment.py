"""References to the environment in a configuration, `${oc.env:NAME}`: followed, or left alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

Path = tuple[str, ...]

_REFERENCE = "${oc.env:"
_NAMES = re.compile(r"\$\{oc\.env:([^,}]+)")
_ESCAPED = re.compile(r"\\(\\\\)*\$\{")


class Unset(Exception):
    """Report that a variable is not set; `str` is its name."""


def mapped(data: Any, change: Callable[[Path, Any], Any], path: Path = ()) -> Any:
    """Return nested data with every value in it changed."""
    if isinstance(data, Mapping):
        return {key: mapped(value, change, (*path, str(key))) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [mapped(value, change, (*path, str(at))) for at, value in enumerate(data)]
    return change(path, data)


def reference(name: str) -> str:
    """Return what stands for a variable."""
    return f"{_REFERENCE}{name}}}"


def names(value: Any) -> Sequence[str]:
    """Return the variables that a written value refers to."""
    if not isinstance(value, str) or _REFERENCE not in value:
        return ()
    return [name.strip() for name in _NAMES.findall(_ESCAPED.sub("", value))]


def escaped(value: Any) -> Any:
    """Return a value as it is read back: a text may hold what only looks like a reference."""
    return _escape(value) if isinstance(value, str) and _REFERENCE in value else value


def with_values(config: DictConfig, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the configuration with everything in it resolved."""
    with _looked_up(environ):
        return _plain(config)


def with_references(config: DictConfig) -> Mapping[str, Any]:
    """Return the configuration resolved, but for what comes from the environment."""
    marks = _Marks()
    with _resolvers({"oc.env": marks.env, "oc.decode": marks.decode}):
        found: Mapping[str, Any] = mapped(_plain(config), lambda _, value: marks.written(value))
    return found


def followed(value: Any, environ: Mapping[str, str]) -> Any:
    """Return what a written value stands for; raises Unset, ValueError where it is malformed."""
    if not isinstance(value, str) or _REFERENCE not in value:
        return value
    try:
        with _looked_up(environ):
            return OmegaConf.create({"value": value})["value"]
    except OmegaConfBaseException as error:
        if unset := next((name for name in names(value) if name not in environ), None):
            raise Unset(unset) from None
        raise ValueError(f"{value} cannot be read: {error}") from None


class _Marks:
    """Stands in for the environment while a configuration is resolved: gives signs, no values."""

    def __init__(self) -> None:
        self._sign = uuid4().hex
        self._texts: list[str] = []

    def env(self, key: str, *default: Any) -> str:
        """Return the sign for a variable."""
        words = [self._text(key), *map(self._printed, default)]
        return self._mark(f"{_REFERENCE}{','.join(words)}}}")

    def decode(self, expr: Any, _parent_: Any, _node_: Any) -> Any:
        """Return what a text says, or a sign where it comes from the environment."""
        if isinstance(expr, str) and self._sign in expr:
            return self._mark(f"${{oc.decode:{self._text(expr)}}}")
        return oc.decode(expr, _parent_, _node_)

    def written(self, value: Any) -> Any:
        """Return a resolved value as it is written."""
        if isinstance(value, str) and self._sign in value:
            before = rf"(\\+)(?={self._sign}\d)"
            return self._text(re.sub(before, r"\1\1", _escape(value)))
        return escaped(value)

    def _mark(self, text: str) -> str:
        self._texts.append(text)
        return f"{self._sign}{len(self._texts) - 1}{self._sign}"

    def _text(self, marked: str) -> str:
        signs = f"{self._sign}(\\d+){self._sign}"
        return re.sub(signs, lambda found: self._texts[int(found[1])], marked)

    def _printed(self, value: Any) -> str:
        if not isinstance(value, str):
            return "null" if value is None else str(value)
        quoted = self._text(value).replace("'", "\\'")
        return f"'{quoted}'"


def _plain(config: DictConfig) -> Mapping[str, Any]:
    resolved = OmegaConf.to_container(config, resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def _escape(text: str) -> str:
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", text)


@contextmanager
def _looked_up(environ: Mapping[str, str]) -> Iterator[None]:
    """Let ${oc.env:...} look into this mapping."""

    def env(key: str, *default: Any) -> Any:
        if key in environ:
            return environ[key]
        if not default:
            raise KeyError(f"Environment variable '{key}' not found")
        return default[0] if default[0] is None else str(default[0])

    with _resolvers({"oc.env": env}):
        yield


@contextmanager
def _resolvers(others: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Let other functions stand in for OmegaConf's own, which the process has only once."""
    for name, resolver in others.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        OmegaConf.register_new_resolver("oc.decode", oc.decode, replace=True)
