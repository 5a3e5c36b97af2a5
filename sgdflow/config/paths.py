"""Where shipped configuration and templates are: beside the package, or in it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def conf_folder() -> Path:
    """Return the folder of the shipped configuration."""
    return _shipped("conf")


def own_conf(working: Path | None = None) -> Path | None:
    """Return the folder of the user's own configuration, below the working directory."""
    own = (working or Path.cwd()) / "conf"
    return own if own.is_dir() and own.resolve() != conf_folder().resolve() else None


def conf_folders() -> tuple[Path, ...]:
    """Return the folders of configuration; a file of the user's hides a shipped one."""
    own = own_conf()
    return (conf_folder(),) if own is None else (own, conf_folder())


def prompt_folders(working: Path) -> tuple[Path, ...]:
    """Return the template folders; the user's own, below the working directory, come first."""
    shipped = _shipped("prompts")
    own = working / "prompts"
    return (own, shipped) if own.is_dir() and own.resolve() != shipped else (shipped,)


def _shipped(name: str) -> Path:
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name
