"""The command line: one word for the command, then Hydra's overrides."""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence

from sgdflow.errors import SgdflowError

USAGE = """\
sgdflow: semantic gradient descent for declared agent graphs

usage: sgdflow COMMAND [KEY=VALUE ...] [-m] [--project DIR]

  init       make a small project that runs at once: sgdflow init DIR [--from NAME]
  check      find what is wrong with a project, without a call
  optimize   optimise the parameters of a graph
  evaluate   score a graph: sgdflow evaluate parameters=RUN_DIRECTORY split=test
  plan       print what optimize would take: calls, tokens, cost, time; nothing is sent
  probe      ask, with a few calls, whether a run is worth it, and how to run
  graph      print a graph: its nodes, prompts and parameters, as text and Mermaid
             [--picture FILE.svg or FILE.html]
  compare    print a table of recorded runs: sgdflow compare rows=method cols=task
  show       print what a run made of its parameters: sgdflow show RUN [--step N]
  export     write all that a run's graph needs into a folder: sgdflow export RUN --to DIR
  predict    answer JSON lines: sgdflow predict RUN_OR_DIR < in.jsonl > out.jsonl
  report     write a run's report.html anew: sgdflow report RUN_DIRECTORY [--out FILE]
  ui         open the MLflow UI on the recorded runs      [--port N]
  simulate   serve the simulated models over HTTP         [--port N] [--latency S]
  skill      write a guide for coding agents: sgdflow skill [DIR]
  cache      the store of replies: info, export FILE, import FILE, claim NAME, prune, show KEY

  Choose per group      sgdflow optimize graph=hints task=gsm8k task.path=DIR llm=openai
  Change any value      sgdflow optimize method.stop.steps=4 task.splits.train=20
  Take an experiment    sgdflow optimize experiments=bbh task.name=word_sorting
  Sweep (-m)            sgdflow optimize -m seed=0,1,2 method.sample.count=1,2,4
  See the configuration sgdflow optimize --cfg job          all options: sgdflow optimize --help
  Elsewhere             --project DIR, or SGDFLOW_PROJECT=DIR: as if it were given in DIR
  Shell completion      eval "$(sgdflow -sc install=bash)"
"""

COMMANDS: Mapping[str, str] = {
    "init": "sgdflow.cli.init:init",
    "check": "sgdflow.cli.check:check",
    "optimize": "sgdflow.cli.optimize:optimize",
    "evaluate": "sgdflow.cli.optimize:evaluate",
    "plan": "sgdflow.cli.plan:plan",
    "probe": "sgdflow.cli.optimize:probe",
    "graph": "sgdflow.cli.graph:graph",
    "compare": "sgdflow.cli.browse:compare",
    "show": "sgdflow.cli.show:show",
    "export": "sgdflow.cli.takeaway:export",
    "predict": "sgdflow.cli.takeaway:predict",
    "report": "sgdflow.cli.browse:report",
    "ui": "sgdflow.cli.browse:ui",
    "simulate": "sgdflow.simulation.server:main",
    "skill": "sgdflow.cli.skill:skill",
    "cache": "sgdflow.cli.cache:cache",
}
"""Word -> the function that gets the words after it and returns the exit code."""
_SERVERS = ("ui", "simulate")
_RUNS = ("optimize", "evaluate", "probe", "plan")
_SWEEPS = ("-m", "--multirun")
_HOME = "SGDFLOW_PROJECT"
_NEW = 20_000
"""Objects that come to be before Python looks for cycles among them, in place of 700."""


def main() -> int:
    """Run the command line and return the exit code."""
    try:
        words = _at_home(sys.argv[1:])
    except SgdflowError as error:
        return _complain(str(error))
    if not words or words[0] in ("-h", "--help", "help"):
        return _say(USAGE)
    if words[0] == "--version":
        from sgdflow import __version__

        return _say(f"sgdflow {__version__}\n")
    if words[0] in ("-sc", "--shell-completion"):
        return _complete(words)
    if words[0] not in COMMANDS:
        return _complain(_no_command(words))
    return _guarded(words[0], words[1:])


def _at_home(words: Sequence[str]) -> Sequence[str]:
    """Work in the project that the words or the environment name; return the other words."""
    if not os.environ.get(_HOME) and not any(word.startswith("--project") for word in words):
        return words
    from sgdflow.config.project import enter, parted

    others, folder = parted(words)
    if others[:1] != ["init"]:
        enter(os.environ, folder)
    elif folder is not None:  # the environment may name what is to be made
        there = shlex.quote(folder)
        raise SgdflowError(
            "--project: names a project that is there, and init makes one in the folder that comes "
            f"after it. To make one in {there}: sgdflow init {there}"
        )
    return others


def _guarded(command: str, words: Sequence[str]) -> int:
    """Turn user mistakes into one message; no traceback is theirs to read."""
    shows = any(word.startswith("-") and word not in _SWEEPS for word in words)
    if command in _RUNS and sys.stderr.isatty() and not shows:
        # What follows takes a moment to import.
        sys.stderr.write("Reading the configuration ...\n")
        sys.stderr.flush()
    from sgdflow.cli.stopping import INTERRUPTED, Stopper

    # A server has others to end before itself.
    stopper = Stopper(None) if command in _SERVERS else Stopper()
    stopper.listen()
    # A run holds much and leaves few cycles: to look for them took a quarter of its CPU time,
    # and nearly a third with MLflow.
    gc.set_threshold(_NEW)
    # To take apart at the end all that MLflow has brought takes a second, and serves nobody.
    atexit.register(gc.freeze)
    # A log that cannot be written, and a letter that a terminal does not know, cost no run.
    logging.raiseExceptions = False
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        module, _, function = COMMANDS[command].partition(":")
        return stopper.leaving(int(getattr(importlib.import_module(module), function)(words)))
    except SgdflowError as error:
        return _complain(str(error))
    except SystemExit as error:  # argparse says 2 where everything else here says 1
        if error.code == 2:
            return 1
        raise
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return stopper.leaving(_complain("Interrupted.", INTERRUPTED))


def _no_command(words: Sequence[str]) -> str:
    """Say which command is meant where none comes first."""
    from sgdflow.errors import did_you_mean, listed

    if words[0].startswith("--") and "=" not in words[0] and len(words) == 1:
        hint = did_you_mean(words[0], ("--help", "--version"))
        return f"There is no option {words[0]}.{hint} Commands: {listed(COMMANDS)}."
    later = next((word for word in words if word in COMMANDS), None)
    if later is None and "=" not in words[0] and not words[0].startswith("-"):
        hint = did_you_mean(words[0], COMMANDS)
        return f"There is no command '{words[0]}'.{hint} Commands: {listed(COMMANDS)}."
    others = [word for word in words if word != later]
    said = shlex.join(["sgdflow", later or "optimize", *others])
    return f"The command comes first: {said}. Commands: {listed(COMMANDS)}."


def _complete(words: Sequence[str]) -> int:
    """Answer Hydra's shell completion, which knows nothing of the command word."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if words[1:2] == ["query=bash"]:
        if len(typed) < 2 or (len(typed) == 2 and not line.endswith(" ")):
            start = typed[1] if len(typed) == 2 else ""
            return _say("\n".join(name for name in COMMANDS if name.startswith(start)) + "\n")
        os.environ["COMP_LINE"] = line.replace(f" {typed[1]}", "", 1)
    from sgdflow.cli.app import run_hydra

    return run_hydra(lambda _: None, words)


def _say(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _complain(text: str, code: int = 1) -> int:
    from sgdflow.errors import spelt_out

    sys.stderr.write(spelt_out(text.rstrip()) + "\n")
    return code
