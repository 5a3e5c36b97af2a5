"""What is typed after a command: options and settings, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from sgdflow.errors import ConfigError, did_you_mean

_INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
_TAKES: Mapping[str, tuple[str, ...]] = {
    "--cfg": ("job", "hydra", "all"),
    "--package": (),
    "--config-path": (),
    "--config-name": (),
    "--config-dir": (),
    "--experimental-rerun": (),
}
"""Options with a value, and which values there are; none: any."""
_SHORT: Mapping[str, str] = {
    "-h": "--help",
    "-c": "--cfg",
    "-p": "--package",
    "-r": "--run",
    "-m": "--multirun",
    "-sc": "--shell-completion",
    "-cp": "--config-path",
    "-cn": "--config-name",
    "-cd": "--config-dir",
    "-i": "--info",
}
_PLAIN = ("--help", "--hydra-help", "--version", "--resolve", "--run", "--multirun")
_LONG = (*_PLAIN, *_TAKES, "--info", "--shell-completion")
_SHOWN = "-m (run once with each of several values), --cfg job, --config-dir DIR, --help"


def parted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return Hydra's options and the settings; raises ConfigError for an unknown option."""
    options: list[str] = []
    settings: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            settings.append(word)
            continue
        name, equals, value = _known(word, left)
        options.append(name)
        if name in _TAKES:
            options.append(_value(name, value if equals else left.pop(0) if left else ""))
        elif name == "--info" and (equals or set(left[:1]) & {*_INFO}):
            options.append(value if equals else left.pop(0))
        elif equals and name != "--shell-completion":
            raise ConfigError(f"{name}: takes no value.")
        elif equals:
            options[-1] = word
    return options, settings


def unfollowed(options: Sequence[str], settings: Sequence[str]) -> str:
    """Say of a directory that is declared for a run or for jobs alone which one holds instead."""
    keys = [setting.partition("=")[0] for setting in settings]
    if "hydra.mode" in keys:
        return ""
    several = "--multirun" in options
    if several and "hydra.run.dir" in keys:
        instead = "with -m: hydra.sweep.dir=DIR says where jobs are kept"
        return f"hydra.run.dir is not followed {instead}."
    if not several and "hydra.sweep.dir" in keys:
        instead = "without -m: hydra.run.dir=DIR says where a run is kept"
        return f"hydra.sweep.dir is not followed {instead}."
    return ""


def repeated(settings: Sequence[str]) -> str:
    """Say which keys are set more than once, of which the last setting alone is followed."""
    found = Counter(setting.partition("=")[0].lstrip("+") for setting in settings)
    twice = [key for key, times in found.items() if times > 1]
    return f"Set more than once, and the last one is followed: {', '.join(twice)}." if twice else ""


def said_after(name: str, options: Sequence[str]) -> list[str]:
    """Return the values of an option."""
    return [value for one, value in pairwise(options) if one == name]


def _known(word: str, after: Sequence[str]) -> tuple[str, str, str]:
    """Return the whole name of an option, and what follows an = in it."""
    name, equals, value = word.partition("=")
    name = _SHORT.get(name, name)
    begun = [one for one in _LONG if len(name) > 2 and one.startswith(name)]
    if name in _LONG:
        return name, equals, value
    if len(begun) == 1:
        return begun[0], equals, value
    close = did_you_mean(name, _LONG)
    setting = name.lstrip("-")
    given = value if equals else next((one for one in after[:1] if one[:1] != "-"), "VALUE")
    dashes = "" if close else f" A setting has no dashes: {setting}={given}."
    raise ConfigError(f"{name}: there is no such option.{close}{dashes} Options: {_SHOWN}.")


def _value(name: str, value: str) -> str:
    known = _TAKES[name]
    if not value or (known and value not in known):
        wanted = f"one of {', '.join(known)}" if known else "a value"
        raise ConfigError(f"{name}: needs {wanted} after it{f', not {value!r}' if value else ''}.")
    return value
