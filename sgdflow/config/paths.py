"""Where shipped configuration and templates are: beside the package, or in it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def conf_folder() -> Path:
    """Return the folder of the shipped configuration."""
    return _shipped("conf")


def starters() -> Path:
    """Return the folder of the projects that a user may start from."""
    return _PACKAGE / "starters"


def skills() -> Path:
    """Return the folder of the guides for coding agents."""
    return _PACKAGE / "skills"


def shipped_document(name: str) -> Path | None:
    """Return the shipped document that is named `sgdflow/NAME`; None where there is none."""
    first, *rest = Path(name).parts or ("",)
    found = (_PACKAGE / "library" / "documents").joinpath(*rest)
    return found if first == "sgdflow" and ".." not in rest and found.is_file() else None


def own_conf(working: Path | None = None) -> Path | None:
    """Return the folder of the user's own configuration, below the working directory."""
    return _own(working or Path.cwd(), "conf")


def own_experiments(working: Path | None = None) -> Path | None:
    """Return the folder of the user's own experiments, below the working directory."""
    return _own(working or Path.cwd(), "experiments")


def group_folders(group: str) -> tuple[Path, ...]:
    """Return the folders that hold the choices of a group, the user's own first."""
    own, experiments = own_conf(), own_experiments()
    found = [own / group] if own else []
    if experiments and group == "experiments":
        found.insert(0, experiments)
    return (*(folder for folder in found if folder.is_dir()), conf_folder() / group)


def conf_folders() -> tuple[Path, ...]:
    """Return the folders of configuration; a file of the user's hides a shipped one."""
    own = own_conf()
    return (conf_folder(),) if own is None else (own, conf_folder())


def prompt_folders(working: Path) -> tuple[Path, ...]:
    """Return the template folders; the user's own, below the working directory, come first."""
    own, shipped = _own(working, "prompts"), _shipped("prompts")
    return (shipped,) if own is None else (own, shipped)


def _own(working: Path, name: str) -> Path | None:
    """Return a folder of the user's; a checkout of sgdflow has none beside the shipped ones."""
    own = working / name
    theirs = {_shipped(name).resolve(), (conf_folder() / name).resolve()}
    return own if own.is_dir() and own.resolve() not in theirs else None


def _shipped(name: str) -> Path:
    inside = _PACKAGE / f"_{name}"
    return inside if inside.is_dir() else _PACKAGE.parent / name
