"""Where shipped configuration and templates are: beside the package, or in it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def conf_folder() -> Path:
    """Return the folder of the shipped configuration."""
    return _shipped("conf")


def prompt_folders(working: Path) -> tuple[Path, ...]:
    """Return the template folders; the user's own, below the working directory, come first."""
    shipped = _shipped("prompts")
    own = working / "prompts"
    return (own, shipped) if own.is_dir() and own.resolve() != shipped else (shipped,)


def _shipped(name: str) -> Path:
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name
