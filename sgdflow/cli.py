"""The command line: one word for the command, then Hydra's overrides."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence

USAGE = """\
sgdflow: semantic gradient descent for declared agent graphs

usage: sgdflow COMMAND [KEY=VALUE ...] [-m]

  optimize   optimise the parameters of a graph
  evaluate   score a graph: sgdflow evaluate parameters=RUN_DIRECTORY split=test
  plan       print what optimize would take: calls, tokens, cost, time; nothing is sent
  graph      print a graph: its nodes, prompts and parameters, as text and Mermaid
             [--picture FILE.svg or FILE.html]
  compare    print a table of recorded runs: sgdflow compare rows=method cols=task
  show       print what a run made of its parameters: sgdflow show RUN [--step N]
  export     write all that a run's graph needs into a folder: sgdflow export RUN --to DIR
  predict    answer JSON lines: sgdflow predict RUN_OR_DIR < in.jsonl > out.jsonl
  report     write a run's report.html anew: sgdflow report RUN_DIRECTORY [--out FILE]
  ui         open the MLflow UI on the recorded runs      [--port N]
  simulate   serve the simulated models over HTTP         [--port N] [--latency S]
  cache      the store of replies: info, export FILE, import FILE, prune, show KEY

  Choose per group      sgdflow optimize graph=hints task=gsm8k task.path=DIR llm=openai
  Change any value      sgdflow optimize method.stop.steps=4 task.splits.train=20
  Take an experiment    sgdflow optimize experiments=bbh task.name=word_sorting
  Sweep (-m)            sgdflow optimize -m seed=0,1,2 method.sample.count=1,2,4
  See the configuration sgdflow optimize --cfg job          all options: sgdflow optimize --help
  Shell completion      eval "$(sgdflow -sc install=bash)"
"""

# A command that leaves nothing behind: no run directory, no log file.
_NO_TRACE = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)

_GUARD = "+hydra.callbacks.guard._target_=sgdflow.tracking.guard.Guard"


def main() -> int:
    """Run the command line and return the exit code."""
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help", "help"):
        return _say(USAGE)
    if words[0] == "--version":
        from sgdflow import __version__

        return _say(f"sgdflow {__version__}\n")
    if words[0] in ("-sc", "--shell-completion"):
        return _complete(words)
    commands = _commands()
    if words[0] not in commands:
        from sgdflow.errors import did_you_mean, listed

        hint = did_you_mean(words[0], commands)
        return _complain(f"There is no command '{words[0]}'.{hint} Commands: {listed(commands)}.")
    return _guarded(commands[words[0]], words[1:])


def _commands() -> Mapping[str, Callable[[Sequence[str]], int]]:
    return {
        "optimize": _optimize,
        "evaluate": _evaluate,
        "plan": _plan,
        "graph": _graph,
        "compare": _compare,
        "show": _show,
        "export": _export,
        "predict": _predict,
        "report": _report,
        "ui": _ui,
        "simulate": _simulate,
        "cache": _cache,
    }


def _guarded(command: Callable[[Sequence[str]], int], words: Sequence[str]) -> int:
    """Turn user mistakes into one message; no traceback is theirs to read."""
    from sgdflow.errors import SgdflowError
    from sgdflow.stopping import Stopper

    Stopper().listen()
    try:
        return command(words)
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
        return _complain("Interrupted.", 130)


def _optimize(words: Sequence[str]) -> int:
    from sgdflow.app import run_hydra
    from sgdflow.commands.optimize import optimize

    return run_hydra(optimize, _guarding(words))


def _evaluate(words: Sequence[str]) -> int:
    from sgdflow.app import run_hydra
    from sgdflow.commands.optimize import evaluate

    return run_hydra(evaluate, words)


def _graph(words: Sequence[str]) -> int:
    import argparse
    from functools import partial
    from pathlib import Path

    from sgdflow.app import run_hydra
    from sgdflow.commands.look import graph

    # The rest, --help too, is Hydra's.
    parser = argparse.ArgumentParser("sgdflow graph", add_help=False, allow_abbrev=False)
    parser.add_argument("--picture", type=Path, metavar="FILE")
    asked, others = parser.parse_known_args(words)
    if asked.picture is not None:
        from sgdflow.commands.picture import check_kind

        check_kind(asked.picture)
    return run_hydra(partial(graph, picture=asked.picture), [*others, *_NO_TRACE])


def _plan(words: Sequence[str]) -> int:
    from tempfile import TemporaryDirectory

    from sgdflow.app import run_hydra
    from sgdflow.commands.look import plan

    with TemporaryDirectory() as folder:  # Hydra notes each sweep somewhere
        no_trace = [*_NO_TRACE, f"hydra.sweep.dir={folder}", "~hydra.callbacks.sweep"]
        return run_hydra(plan, [*words, *no_trace])


def _compare(words: Sequence[str]) -> int:
    from sgdflow.commands.look import compare

    return compare(words)


def _show(words: Sequence[str]) -> int:
    from sgdflow.commands.show import main as show

    return show(words)


def _export(words: Sequence[str]) -> int:
    from sgdflow.commands.takeaway import export

    return export(words)


def _predict(words: Sequence[str]) -> int:
    from sgdflow.commands.takeaway import predict

    return predict(words)


def _report(words: Sequence[str]) -> int:
    from sgdflow.commands.look import report

    return report(words)


def _ui(words: Sequence[str]) -> int:
    from sgdflow.commands.look import ui

    return ui(words)


def _simulate(words: Sequence[str]) -> int:
    from sgdflow.simulation.server import main as serve

    return serve(words)


def _cache(words: Sequence[str]) -> int:
    from sgdflow.commands.cache import main as work

    return work(words)


def _guarding(words: Sequence[str]) -> Sequence[str]:
    """Add a look into the run directory, beside other overrides, where argparse wants it."""
    at = next((i for i, word in enumerate(words) if "=" in word and word[0] != "-"), len(words))
    return [*words[:at], _GUARD, *words[at:]]


def _complete(words: Sequence[str]) -> int:
    """Answer Hydra's shell completion, which knows nothing of the command word."""
    line = os.environ.get("COMP_LINE", "")
    typed = line.split()
    if words[1:2] == ["query=bash"]:
        if len(typed) < 2 or (len(typed) == 2 and not line.endswith(" ")):
            start = typed[1] if len(typed) == 2 else ""
            return _say("\n".join(name for name in _commands() if name.startswith(start)) + "\n")
        os.environ["COMP_LINE"] = line.replace(f" {typed[1]}", "", 1)
    from sgdflow.app import run_hydra
    from sgdflow.commands.optimize import optimize

    return run_hydra(optimize, words)


def _say(text: str) -> int:
    sys.stdout.write(text)
    return 0


def _complain(text: str, code: int = 1) -> int:
    sys.stderr.write(text.rstrip() + "\n")
    return code
