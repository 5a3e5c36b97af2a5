"""The words KEY=VALUE of a user, made readable for Hydra's grammar."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from hydra.errors import HydraException

from sgdflow.config.openings import opened
from sgdflow.config.paths import conf_folders, group_folders
from sgdflow.errors import ConfigError, listed
from sgdflow.homes import expanded

_KEY = re.compile(r"(?:\+\+|\+|~)?[^\s=+~,\[\](){}'\":]+")
_FORM = "Write KEY=VALUE, without spaces around the =."
_OPENING = ("[", "{", "(", "'", '"')


def readable(words: Sequence[str]) -> list[str]:
    """Return words that Hydra can read, a plain text in quotes where it would stumble over it.

    Raises ConfigError that says of each other word what is wrong with it.
    """
    found: list[str] = []
    lines: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if (override := parsed(word)) is not None:
            found.append(word)
            if override.key_or_group in groups() and not override.is_delete():
                lines.extend(_no_choice(word, override.value()))
        elif (text := _as_text(word)) is not None:
            found.append(text)
        elif "=" in word[1:]:
            lines.append(_unreadable(word))
        else:
            lines.append(_no_setting(word, _value_after(left)))
    if lines:
        raise ConfigError("\n".join(lines))
    return opened([(word, parsed(word)) for word in found])


def parsed(word: str) -> Override | None:
    """Return the override that a word says, None where Hydra cannot read it."""
    try:
        return OverridesParser.create().parse_override(word)
    except (HydraException, ValueError):
        return None


def groups() -> list[str]:
    """Return the groups of which one choice is taken."""
    found = {path.name for one in conf_folders() for path in one.iterdir() if path.is_dir()}
    return sorted(found - {"experiments"})


def typed(key: str, value: str) -> str:
    """Return what is typed in a shell to give a key a text."""
    return shlex.quote(quoted(key, value))


def quoted(key: str, value: str) -> str:
    """Return the setting that gives a key a text."""
    return f"{key}={_in_quotes(value)}"


def said_of(words: Sequence[str]) -> Mapping[str, object]:
    """Return the settings among the words by their keys; several values of one are a list."""
    found: dict[str, object] = {}
    for word in words:
        override = None if word.startswith("-") else parsed(word) or parsed(_as_text(word) or "")
        if override is not None:
            value = override.value()
            if isinstance(value, ChoiceSweep):
                value = [Override._convert_value(one) for one in value.list]
            found[override.key_or_group] = value
    return found


def _as_text(word: str) -> str | None:
    """Return a word whose value can only be text with it in quotes, None for another one."""
    key, equals, value = word.partition("=")
    # A comma may part several values, and ~ stands for a folder.
    if not equals or "," in value or value.startswith(("~", *_OPENING)):
        return None
    quoted = f"{key}={_in_quotes(value)}"
    return quoted if _KEY.fullmatch(key) and parsed(quoted) is not None else None


def _in_quotes(value: str) -> str:
    """Return a text as Hydra's grammar quotes it; backslashes count only before a quote."""
    mark = "'" if '"' in value and "'" not in value else '"'
    escaped = re.sub(rf"(\\*){mark}", rf"\1\1\\{mark}", value)
    trailing = len(escaped) - len(escaped.rstrip("\\"))
    return mark + escaped + "\\" * trailing + mark


def _no_choice(word: str, value: object) -> Iterator[str]:
    """Say what is wrong with a value of which no choice of a group can have the name."""
    key, _, text = word.partition("=")
    if isinstance(value, list):
        yield f"{word}: takes one choice. To run with each: -m {key}={text[1:-1]}"
    elif value is None:
        folders = group_folders(key.lstrip("+"))
        names = {file.stem for one in folders for file in one.glob("*.yaml")}
        yield f"{word}: takes one choice. There are: {listed(sorted(names))}."


def _value_after(left: list[str]) -> str:
    """Take the value of a setting that was written with spaces; "" where none follows."""
    if left and left[0].startswith("="):
        sign = left.pop(0)
        return sign[1:] or (left.pop(0) if left else "")
    return left.pop(0) if left and "=" not in left[0] else ""


def _no_setting(word: str, value: str) -> str:
    key = word.removesuffix("=")
    choices = [f"{group}={key}" for group in _having(key)]
    instead = f"{key}={value}" if value else " or ".join(sorted(set(choices)))
    hint = f" Did you mean {shlex.quote(instead)}?" if instead else ""
    return f"{word}: is no setting. {_FORM}{hint}"


def _having(name: str) -> Iterator[str]:
    """Yield the groups that have a choice of this name."""
    for group in (*groups(), "experiments"):
        if any(file.stem == name for one in group_folders(group) for file in one.glob("*.yaml")):
            yield group


def _unreadable(word: str) -> str:
    key, _, value = word.partition("=")
    if not _KEY.fullmatch(key):
        return f"{word}: {key!r} is no key. {_FORM}"
    if value.startswith("~"):
        told = f"{word}: ~ means nothing here. Write the whole path"
        try:
            return f"{told}: {shlex.quote(f'{key}={expanded(value)}')}"
        except ValueError:
            return f"{told}; nobody has this home: {value.partition('/')[0]}"
    if value.startswith(("[", "{")):
        whole = "[first, second]" if value[0] == "[" else "{name: value, name: value}"
        return (
            f"{word}: the value cannot be read. Write '{key}={whole}'; put texts within it into "
            'quotes ("...") where they hold more than plain letters, digits and spaces.'
        )
    text = value.strip(value[0]) if value[:1] in ("'", '"') else value
    told = f"{word}: the value cannot be read. Put it into quotes: {typed(key, text)}"
    if "," not in text:
        return told
    several = ",".join(_in_quotes(one.strip()) for one in text.split(","))
    return f"{told}; several values (with -m): {shlex.quote(f'{key}={several}')}"
