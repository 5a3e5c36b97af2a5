"""Reads YAML and JSON that may come from anybody: plain data, bounded in time and memory.

The only place that reads YAML, apart from what Hydra composes from the user's own files.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sgdflow.config.paths import conf_folder, own_conf, own_experiments
from sgdflow.errors import ConfigError

_CHARACTERS = 8 * 2**20
"""Of a YAML file, or of a JSON file that is one document."""
LINE = 64 * 2**20
"""Characters of one line of JSON."""
_VALUES = 300_000
"""Of a YAML file, where each alias counts as all that it stands for."""
_PARTS = 5_000_000
"""Commas and brackets of a JSON text, each of which makes an object in memory."""
_FOLLOWED = 10_000
"""Values that the aliases of a file may stand for which Hydra reads, much more slowly."""
_DEPTH = 100
_DIGITS = 100
_LONG = 10_000
_NUMERIC = "+-.:_0123456789abcdefABCDEFxX"
"""What a number of more than _LONG characters may hold; shorter ones YAML itself tells apart."""
_CORE = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")
)
_NUMBERS = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_choices(folder: Path) -> None:
    """Raise ConfigError for files of a user's own folder of configuration that have no bounds.

    Hydra reads them itself, and would follow every alias.
    """
    groups = [path.name for path in conf_folder().iterdir() if path.is_dir()]
    below = (file for group in groups for file in (folder / group).rglob("*.yaml"))
    for file in sorted([*folder.glob("*.yaml"), *below]):
        _check_choice(file)


def check_own() -> None:
    """Raise ConfigError for such files of the project; what is not for sgdflow is left alone."""
    own, experiments = own_conf(), own_experiments()
    if own is not None:
        groups = [path.name for path in conf_folder().iterdir() if path.is_dir()]
        files = [own / "config.yaml"] if (own / "config.yaml").is_file() else []
        files += [file for group in groups for file in (own / group).rglob("*.yaml")]
        for file in sorted(files):
            _check_choice(file)
    for file in sorted(experiments.glob("*.yaml")) if experiments is not None else ():
        _check_choice(file)


def _check_choice(file: Path) -> None:
    try:
        found = _loaded(_text(file), str(file), _FOLLOWED)
    except yaml.MarkedYAMLError:
        return  # said where it is chosen, with a hint; what is not chosen stands in nobody's way
    if not isinstance(found, dict | None):
        what = "a list" if isinstance(found, list) else "one value"
        raise unreadable(str(file), f"it holds {what}, not KEY: VALUE in each line")


def read_mapping(file: Path) -> Mapping[str, Any]:
    """Return what a YAML or JSON file holds; raises ConfigError."""
    found = read(file)
    if not isinstance(found, dict):
        raise ConfigError(f"{file} holds no mapping.")
    return found


def read(file: Path) -> Any:
    """Return what a YAML or JSON file holds; raises ConfigError."""
    text = _text(file)
    return from_json(text, str(file)) if file.suffix == ".json" else from_yaml(text, str(file))


def from_yaml(text: str, name: str, followed: int = _VALUES) -> Any:
    """Return the plain data of a YAML text; raises ConfigError that begins with the name."""
    try:
        return _loaded(text, name, followed)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        raise unreadable(name, f"{line}{error.problem}") from error


def _loaded(text: str, name: str, followed: int) -> Any:
    """Return the data of a YAML text; raises MarkedYAMLError where it is none."""
    try:
        _check(text, name, followed)
        return yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise unreadable(name, str(error)) from error


def from_json(text: str, name: str) -> Any:
    """Return the data of a JSON text; raises ConfigError that begins with the name."""
    if sum(map(text.count, ",[{")) > _PARTS:
        raise unreadable(name, f"it holds more than {_PARTS:,} values")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise unreadable(name, "it is nested too deeply") from error
    except ValueError as error:
        raise unreadable(name, str(error)) from error


def read_lines(file: Path, cut: Callable[[], None] = lambda: None) -> Iterator[Any]:
    """Yield what each line of JSON holds; raises ConfigError that names the line.

    A last line that a kill has cut off is left out, and `cut` called. Raises FileNotFoundError.
    """
    check_regular(file)
    number = 0
    try:
        with file.open(encoding="utf-8", newline="\n") as lines:
            while line := lines.readline(LINE + 1):
                number += 1
                name = f"{file}, line {number}"
                if len(line) > LINE:
                    raise unreadable(name, f"it has more than {LINE:,} characters")
                if not line.endswith("\n"):
                    cut()
                elif line.strip():
                    yield from_json(line, name)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(f"{file}, line {number + 1}", str(error)) from error


def _text(file: Path) -> str:
    try:
        check_regular(file)
        size = file.stat().st_size
        if size > _CHARACTERS:
            raise unreadable(str(file), f"it has {size:,} bytes, {_CHARACTERS:,} at most are read")
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {file}.") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise unreadable(str(file), f"line {line}: not UTF-8. Save it as UTF-8") from error
    except OSError as error:
        raise unreadable(str(file), str(error)) from error


def check_regular(file: Path) -> None:
    """Raise ConfigError for what would never end, or wait for somebody: pipes, devices."""
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode):
        what = "a directory" if stat.S_ISDIR(mode) else "no regular file"
        raise unreadable(str(file), f"it is {what}")


def _check(text: str, name: str, followed: int) -> None:
    """Raise ConfigError for YAML that is not plain data of a bounded size."""
    if len(text) > _CHARACTERS:
        raise unreadable(name, f"it has more than {_CHARACTERS:,} characters")
    counting = _Counting(name, followed)
    for event in yaml.parse(text, Loader=_Loader):
        counting.see(event)


class _Counting:
    """Counts the values of a YAML text as they would be after its aliases were followed."""

    def __init__(self, name: str, followed: int) -> None:
        self._name = name
        self._most, self._followed = followed, 0
        self._values = 0
        self._open: list[tuple[str | None, int]] = []
        self._sizes: dict[str, int] = {}
        self._keys: list[set[str] | None] = []
        """Of each mapping that is open, None for a list."""
        self._key = [False]
        """Whether a key comes next, likewise."""

    def see(self, event: yaml.Event) -> None:
        """Count one event; raises ConfigError."""
        if isinstance(event, yaml.NodeEvent):
            self._see_key(event)
        match event:
            case yaml.AliasEvent(anchor=anchor):
                if any(anchor == opened for opened, _ in self._open):
                    raise self._refused(event, f"*{anchor} stands for something that holds it")
                self._values += self._sizes.get(anchor or "", 1)
                self._followed += self._sizes.get(anchor or "", 1)
            case yaml.ScalarEvent(anchor=anchor):
                self._check_scalar(event)
                self._values += 1
                self._sizes[anchor or ""] = 1
            case yaml.SequenceStartEvent(anchor=anchor) | yaml.MappingStartEvent(anchor=anchor):
                self._check_tag(event)
                mapping = isinstance(event, yaml.MappingStartEvent)
                self._keys.append(set() if mapping else None)
                self._key.append(mapping)
                self._open.append((anchor, self._values))
                self._values += 1
                if len(self._open) > _DEPTH:
                    raise self._refused(event, f"it is nested more than {_DEPTH} levels deep")
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                anchor, before = self._open.pop()
                self._keys.pop()
                self._key.pop()
                self._sizes[anchor or ""] = self._values - before
        if self._values > _VALUES:
            raise self._refused(event, f"it holds more than {_VALUES:,} values, aliases followed")
        if self._followed > self._most:
            raise self._refused(event, f"its aliases stand for more than {self._most:,} values")

    def _see_key(self, event: yaml.NodeEvent) -> None:
        """Refuse a key that stands in its mapping already: YAML takes the last of them."""
        keys = self._keys[-1] if self._keys else None
        if keys is None:
            return
        if self._key[-1] and isinstance(event, yaml.ScalarEvent):
            if event.value in keys and event.value != "<<":
                raise self._refused(event, f"the key '{event.value[:60]}' stands there twice")
            keys.add(event.value)
        self._key[-1] = not self._key[-1]

    def _check_scalar(self, event: Any) -> None:
        self._check_tag(event)
        value = str(event.value)
        if len(value) <= _DIGITS or (event.style and event.tag is None):
            return
        if len(value) > _LONG:
            number = not value.strip(_NUMERIC)
        else:
            tag: Any = event.tag or _PLAIN.resolve(yaml.ScalarNode, value, (True, False))
            number = tag in _NUMBERS
        if number:
            raise self._refused(event, f"a number of {len(value):,} characters")

    def _check_tag(self, event: Any) -> None:
        if event.tag not in (None, "!", *_CORE):
            raise self._refused(
                event, f"the tag {event.tag}; only texts, numbers, lists and mappings are read"
            )

    def _refused(self, event: Any, what: str) -> ConfigError:
        return unreadable(self._name, f"line {event.start_mark.line + 1}: {what}")


_PLAIN: Any = yaml.resolver.Resolver()


def unreadable(name: str, why: str) -> ConfigError:
    """Return the error; YAML and JSON say on further lines what nobody needs."""
    return ConfigError(f"{name} cannot be read: {why.strip().split(chr(10))[0][:200].rstrip('.')}.")
