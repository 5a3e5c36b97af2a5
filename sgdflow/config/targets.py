"""Resolves what `_target_` names, or is."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sgdflow.config.schema import GraphConf, Target
from sgdflow.errors import ConfigError, did_you_mean, raised_at
from sgdflow.executor.functions import Function


def resolve(target: Target, where: str) -> Function:
    """Return the callable with its constants; raises ConfigError naming the config key."""
    if target.given is not None:
        return Function(target.given, target.target, target.constants)
    path = f"{where}._target_"
    module_name, _, name = target.target.rpartition(".")
    if not module_name:
        raise ConfigError(
            f"{path}: '{target.target}' is not a dotted path such as package.module.name."
        )
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{path}: cannot import '{module_name}' ({error}). Modules are looked for in "
            f"{Path.cwd()} and among the installed packages."
        ) from error
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{path}: importing '{module_name}' raised {type(error).__name__}: {error}"
            f"{raised_at(error)}."
        ) from error
    return Function(_attribute(module, name, path, module_name), target.target, target.constants)


def _attribute(module: Any, name: str, path: str, module_name: str) -> Callable[..., Any]:
    found = getattr(module, name, None)
    if found is None:
        public = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(f"{path}: '{module_name}' has no '{name}'.{did_you_mean(name, public)}")
    if not callable(found):
        raise ConfigError(f"{path}: '{module_name}.{name}' cannot be called.")
    result: Callable[..., Any] = found
    return result


def unreachable(conf: GraphConf) -> Iterator[str]:
    """Yield which callables of a graph nobody else can import, each with where it stands."""
    for name, node in conf.nodes.items():
        for side in ("forward", "backward"):
            target = getattr(node, side)
            if isinstance(target, Target) and not _reachable(target):
                yield (
                    f"graph.nodes.{name}.{side}: {target.target} cannot be imported from "
                    "elsewhere. Put it into a module of its own."
                )


def _reachable(target: Target) -> bool:
    """Say whether the name of a callable that was given leads to it."""
    module, _, name = target.target.rpartition(".")
    given = target.given
    return given is None or (
        module != "__main__" and getattr(sys.modules.get(module), name, None) is given
    )
