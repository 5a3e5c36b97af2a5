"""What the jobs of a multirun have said is wrong: the same mistake is told once."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Told:
    """A folder that the jobs share, also where each is a process of its own."""

    folder: Path
    """Made when there is something to tell."""

    @classmethod
    @contextmanager
    def kept(cls) -> Iterator[Told]:
        """Keep what is told for as long as the block lasts."""
        folder = Path(tempfile.gettempdir()) / f"sgdflow-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            yield cls(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def first(self, message: str, job: str, again: str) -> str:
        """Note that a job fails; return the job that was the first to fail with this message.

        `again` leads another start to the same directory.
        """
        file = self.folder / sha256(message.encode()).hexdigest()
        try:
            self.folder.mkdir(exist_ok=True)
            (self.folder / f"job {job}").write_text(again, encoding="utf-8")
            with file.open("x", encoding="utf-8") as new:
                new.write(job)
        except FileExistsError:
            return file.read_text(encoding="utf-8") or "another"
        except OSError:  # a worker on another machine
            return job
        return job

    def failed(self) -> list[str]:
        """Return the jobs that failed."""
        jobs = [path.name.removeprefix("job ") for path in self.folder.glob("job *")]
        return sorted(jobs, key=lambda job: (len(job), job))

    def again(self) -> str:
        """Return what leads another start to the same directory."""
        return (self.folder / f"job {self.failed()[0]}").read_text(encoding="utf-8")

    def crashed(self) -> None:
        """Note that a job ended in a way that is no mistake of the user's."""
        with suppress(OSError):
            self.folder.mkdir(exist_ok=True)
            (self.folder / "crashed").touch()

    def has_crashed(self) -> bool:
        """Say whether one did."""
        return (self.folder / "crashed").exists()
