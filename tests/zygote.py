"""Starts commands in a fraction of a second: forks of a process that has imported everything.

Reads a JSON list of words a line, runs it as a command line of sgdflow in a child of its own,
and says the child's id and then how it ended. A command that comes with its folder and environment
is waited for: all that is said is how it ended.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def run(words: Sequence[str], output: Path) -> None:
    from sgdflow.cli.main import main

    where = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(where, 1)
    os.dup2(where, 2)
    sys.argv = ["sgdflow", *words]
    code = 70
    try:
        code = main()
    except SystemExit as error:
        if not isinstance(error.code, int):
            sys.stderr.write(f"{error}\n")
        code = error.code if isinstance(error.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_in(asked: Mapping[str, Any]) -> None:
    """Run a command as `python -m sgdflow` does in a folder, to its very end."""
    if asked["program"] == "passed":
        from passed import main
    else:
        from sgdflow.cli.main import main

    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, (file, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (asked["out"], os.O_WRONLY), (asked["err"], os.O_WRONLY))
    ):
        os.dup2(os.open(file, flags), number)
    sys.argv = [asked["program"], *asked["words"]]
    sys.path[0] = asked["folder"]
    code = 1
    try:
        code = main()
    except SystemExit as error:
        if isinstance(error.code, str):
            sys.stderr.write(f"{error.code}\n")
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    import sgdflow.cli.app
    import sgdflow.cli.optimize
    import sgdflow.runs.run
    import sgdflow.tracking.mlflow  # noqa: F401
    from sgdflow.tracking.client import quieten

    quieten()
    import mlflow  # noqa: F401

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    children: dict[int, int] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, dict):
            pid = os.fork()
            if pid == 0:
                run_in(asked)
            _, status = os.waitpid(pid, 0)
            sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        elif isinstance(asked, int):
            _, status = os.waitpid(asked, 0)
            sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        else:
            pid = os.fork()
            if pid == 0:
                run(asked[1:], Path(asked[0]))
            children[pid] = pid
            sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
