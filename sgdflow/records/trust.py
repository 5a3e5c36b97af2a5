"""Whose a folder is: what this user's sgdflow has made is known again, all else is not."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from sgdflow.config.documents import from_yaml
from sgdflow.errors import ConfigError, bounded
from sgdflow.records.demands import Folder, links
from sgdflow.records.folder import UNCONFIRMED, as_yaml
from sgdflow.records.source import DOCUMENTS, Source
from sgdflow.records.texts import TEXTS

TRUST = "let what somebody else has made run its own code and choose addresses and keys"
"""What the option of the commands says."""
_PARTS = ("graph", "llm", "task", "method", "seed")
_READ = (
    "config.yaml", "parameters.yaml", "initial.yaml", "result.json", "steps.jsonl", "calls.jsonl",
    "examples.jsonl", TEXTS, "report.html", "report.html.new", UNCONFIRMED,
)  # fmt: skip
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Made:
    """A list, outside of all folders, of what this user's sgdflow has made.

    It holds a digest of the configuration, and for an exported folder of its templates and
    code: whoever changes these makes another folder of it, whoever copies it does not.
    """

    file: Path | None
    """None: nothing is known, and nothing noted."""

    @classmethod
    def by_user(cls, environ: Mapping[str, str]) -> Made:
        """Return the list of whoever runs this program."""
        said = environ.get("XDG_STATE_HOME") or environ.get("LOCALAPPDATA")
        home = environ.get("HOME") or environ.get("USERPROFILE")
        if not said and not home:
            return cls(None)
        state = Path(said) if said else Path(home or "") / ".local" / "state"
        return cls(state / "sgdflow" / "made")

    def note(self, config: Mapping[str, Any], folder: Path | None = None) -> None:
        """Remember a configuration that asks for anything, and what is in an exported folder.

        A list that cannot be written costs a --trust later, and nothing now.
        """
        if self.file is None:
            return
        try:
            written = from_yaml(as_yaml(config), "the configuration")
        except ConfigError:  # larger than what is read back
            return
        asks = Folder(written, Path.cwd()).demands("graph", "llm", "task", "method")
        if next(asks, None) is None or self.knows(written, folder):
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self.file.open("a", encoding="ascii") as lines:
                lines.write(f"{_digest(written, folder)}\n")
        except OSError:
            return

    def knows(self, config: Mapping[str, Any], folder: Path | None = None) -> bool:
        """Return whether it has been made here."""
        if self.file is None:
            return False
        wanted = f"{_digest(config, folder)}\n"
        try:
            with self.file.open(encoding="ascii") as lines:
                return any(line == wanted for line in lines)
        except (OSError, UnicodeDecodeError):
            return False


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a folder asks for, and how the user goes on; nothing is run before it was checked."""

    name: str
    """As the user named the folder."""
    path: Path
    folder: Folder
    exported: bool = False

    def check(self, *parts: str) -> None:
        """Raise ConfigError with all that these parts of the configuration ask for."""
        asks = dict.fromkeys(self.folder.demands(*parts))
        asks |= dict.fromkeys(links(self.path, None if self.exported else _READ))
        if not asks:
            return
        lines = bounded([f"  - {ask}" for ask in list(asks)[:_SHOWN]])
        if len(asks) > _SHOWN:
            lines.append(f"  - and {len(asks) - _SHOWN} more")
        own = " Or choose the models yourself, such as llm=openai." if _about_models(asks) else ""
        raise ConfigError(
            "\n".join(
                [
                    f"{self.name} is not known to be made here by you, and asks for more than "
                    "sgdflow's own functions and a provider's own address. It would",
                    *lines,
                    "Nothing of that was done. Look at it; if you want all of it, say the same "
                    f"with --trust (in Python: trust=True).{own}",
                ]
            )
        )


def doubted(
    name: str, source: Source, working: Path, overrides: Sequence[str], made: Made
) -> Doubt | None:
    """Return what is to be checked of a folder, None where the user's own sgdflow has made it."""
    exported = source.path if source.exported else None
    if made.knows(source.config, exported):
        return None
    said = [word.lstrip("+").split("=")[0] for word in overrides]
    folder = Folder(source.config, working, source.code, said, source.exported)
    return Doubt(name, source.path, folder, source.exported)


def check_looking(
    name: str, path: Path, config: Mapping[str, Any], made: Made, *, generates: bool = True
) -> None:
    """Raise ConfigError where looking at a run would follow links, or run what generates a graph.

    `generates`: whether the graph is going to be built.
    """
    if made.knows(config):
        return
    graph = config.get("graph")
    declared = graph.get("_target_") if isinstance(graph, Mapping) and generates else None
    only = {} if declared is None else {"_target_": declared}
    Doubt(name, path, Folder({"graph": only}, path)).check("graph")


def trusting(words: Sequence[str]) -> Sequence[str]:
    """Return the words of optimize and evaluate without --trust, which follows one link.

    It is that of parameters.yaml; what else a run brings along is checked where it is taken.
    """
    if "--trust" not in words:
        return words
    found = []
    for word in words:
        key, _, value = word.partition("=")
        file = Path(value) / "parameters.yaml"
        if key == "parameters" and file.is_symlink():
            found.append(f"parameters={file.resolve()}")
        elif word != "--trust":
            found.append(word)
    return found


def _about_models(asks: Collection[str]) -> bool:
    return any("(llm." in ask for ask in asks)


def _digest(config: Mapping[str, Any], folder: Path | None) -> str:
    said = {part: config[part] for part in _PARTS if part in config}
    digest = sha256(json.dumps(said, sort_keys=True, default=str).encode())
    for name, content in _contents(folder) if folder is not None else ():
        digest.update(f"\n{name}\n{sha256(content).hexdigest()}".encode())
    return digest.hexdigest()


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files that are shown to models or run, in order; compiled ones never are."""
    for kind in ("prompts", "code", DOCUMENTS):
        for path in sorted((folder / kind).rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                yield path.relative_to(folder).as_posix(), path.read_bytes()
