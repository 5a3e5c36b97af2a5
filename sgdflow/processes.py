"""Which process this is among those that share a disk, and whether another one still runs."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def machine() -> str:
    """Return what tells this machine's processes, since its last start, from all others."""
    with suppress(OSError):
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        # Containers of one machine number their processes each by themselves.
        return f"{started} {Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


def runs(process: int) -> bool:
    """Say whether there is such a process here, and more of it than its number."""
    if os.name == "nt":  # where the question itself would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        # One that was killed keeps its number until its parent has heard of it.
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[:1] != ["Z"]
    return True
