"""Reads what is typed after a command that takes no configuration."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import NoReturn

from sgdflow.errors import ConfigError, did_you_mean
from sgdflow.homes import expanded


class Arguments(argparse.ArgumentParser):
    """argparse, with its complaints in words that can be followed."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        told = self._told(message)
        usage = " ".join(self.format_usage().removeprefix("usage: ").split())
        raise ConfigError(f"{self.prog}: {told} Usage: {usage}")

    def _told(self, message: str) -> str:
        if match := re.match(r"the following arguments are required: (.*)", message):
            names = [name for name in match[1].split(", ") if name != "overrides"]
            return f"needs {', '.join(names)}."
        if match := re.match(r"unrecognized arguments: (.*)", message):
            wrong = match[1].split()[0]
            return f"does not know {wrong}.{did_you_mean(wrong, self._option_string_actions)}"
        if match := re.match(
            r"argument \S+: invalid choice: '(.*?)' \(choose from (.*)\)", message
        ):
            known = [name.strip("' ") for name in match[2].split(",")]
            return f"there is no '{match[1]}'.{did_you_mean(match[1], known)}"
        if match := re.match(r"argument (\S+): invalid (?:int|float|\w+) value: '(.*)'", message):
            return f"{match[1]}: '{match[2]}' is no such number."
        return f"{message.removeprefix('argument ')}."


def path_of(word: str) -> Path:
    """Return the file or folder that a word names; its ~ is a home folder."""
    try:
        return expanded(word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{word}': {error}") from None
