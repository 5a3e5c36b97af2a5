"""Starts commands in a fraction of a second: forks of a process that has imported everything.

Reads a JSON list of words a line, runs it as a command line of sgdflow in a child of its own,
and says the child's id and then how it ended.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path


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
        if isinstance(asked, int):
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
