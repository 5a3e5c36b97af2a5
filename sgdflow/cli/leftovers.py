"""Takes back the directories that a start has made, where nothing came of it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sgdflow.records.owner import LOCK

_MADE = "SGDFLOW_MADE"
"""Environment variable through which a job learns which directories its start has made."""
_HYDRA = ("config.yaml", "hydra.yaml", "overrides.yaml")


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What is to be taken back: a directory that was not there, and those above it."""

    folder: Path
    top: Path
    """The topmost directory that was not there either."""

    @classmethod
    def of(cls, folder: Path) -> Leftovers | None:
        """Look at a directory before anything makes it; None where it is there already."""
        folder = folder.absolute()
        if folder.exists():
            return None
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        return cls(folder, missing[-1])

    def hand_over(self) -> None:
        """Tell the job of this process."""
        os.environ[_MADE] = os.pathsep.join((str(self.folder), str(self.top)))

    def take_back(self, *others: str) -> None:
        """Remove what Hydra has written, these other files, and directories that are then empty.

        Nothing is removed where the directory holds anything else.
        """
        hydra = self.folder / ".hydra"
        files = (
            *(hydra / name for name in _HYDRA),
            *(self.folder / one for one in (LOCK, *others)),
        )
        with suppress(OSError):
            if {*self.folder.rglob("*")} - {*files, hydra}:
                return
            for file in files:
                file.unlink(missing_ok=True)
            for folder in (hydra, self.folder, *self.folder.parents):
                if folder.is_dir():
                    folder.rmdir()
                if folder == self.top:
                    return


def handed_over(folder: Path) -> Leftovers | None:
    """Return what the start of this job has made, if it made the job's directory."""
    made = os.environ.pop(_MADE, "").split(os.pathsep)
    if len(made) != 2 or Path(made[0]) != folder.absolute():
        return None
    return Leftovers(folder.absolute(), Path(made[1]))
