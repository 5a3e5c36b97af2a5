"""`sgdflow cache`: look into a store of replies, take it elsewhere, thin it out."""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from sgdflow.cli.arguments import Arguments
from sgdflow.cli.terminal import say
from sgdflow.errors import ConfigError, plural
from sgdflow.llm.database import Replies, Row
from sgdflow.llm.store import DEFAULT, Answered, Failed, read_row

_AT_ONCE = 1000
_DAY = 86400.0
_SHOWN = 10


def cache(argv: Sequence[str]) -> int:
    """Do what is asked; return the exit code."""
    asked = _arguments(argv)
    work: Mapping[str, Callable[[argparse.Namespace], str]] = {
        "info": _info,
        "export": _export,
        "import": _import,
        "prune": _prune,
        "show": _show,
    }
    try:
        say(work[asked.action](asked) + "\n")
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(f"{asked.store}: {error}") from error
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    about = "Look into the store of replies, take it elsewhere, thin it out."
    parser = Arguments(prog="sgdflow cache", description=about)
    where = Arguments(add_help=False)
    where.add_argument("--store", type=Path, default=Path(DEFAULT), metavar="PATH")
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, does: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=does, description=does, parents=[where])

    action("info", "Say how many replies there are, by model.")
    action("export", "Copy all replies to a new file.").add_argument("file", type=Path)
    action("import", "Add the replies of another file.").add_argument("file", type=Path)
    old = action("prune", "Delete old replies.")
    old.add_argument("--older-than", type=_days, required=True, metavar="DAYS")
    show = action("show", "Show a request and its reply.")
    show.add_argument("key", help="or how it begins; replay names it")
    return parser.parse_args(argv)


def _days(text: str) -> float:
    days = float(text)
    if not days >= 0:
        raise argparse.ArgumentTypeError("a number of days is at least 0")
    return days


@contextmanager
def _open(file: Path, *, write: bool = False) -> Iterator[Replies]:
    if not file.is_file():
        raise ConfigError(f"There is no store of replies at {file}. Name one with --store PATH.")
    with closing(Replies(file, write=write)) as replies:
        yield replies


def _info(asked: argparse.Namespace) -> str:
    with _open(asked.store) as replies:
        found = replies.by_model()
    total = sum(number for _, number, *_ in found)
    size = asked.store.stat().st_size / 1e6
    lines = [f"{asked.store}: {plural(total, 'reply')}, {size:.1f} MB"]
    for model, number, characters, first, last in found:
        days = " to ".join(dict.fromkeys([_date(first), _date(last)]))
        size_of = f"{characters / 1e6:.1f} MB of text"
        lines.append(f"  {model}: {plural(number, 'reply')}, {size_of}, {days}")
    return "\n".join(lines)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _export(asked: argparse.Namespace) -> str:
    if asked.file.exists():
        raise ConfigError(f"{asked.file} exists already: export to a new file.")
    new = asked.file.with_name(f"{asked.file.name}.new")
    new.unlink(missing_ok=True)
    with _open(asked.store) as replies:
        with closing(Replies(new)) as copy:
            number = _copy(replies, copy)
            copy.single()
        new.replace(asked.file)
    return (
        f"{asked.file}: {plural(number, 'reply')}. A run that needs no others is reproduced with "
        f"llm.store.mode=replay llm.store.path={asked.file}"
    )


def _import(asked: argparse.Namespace) -> str:
    with _open(asked.file) as other, closing(Replies(asked.store)) as replies:
        before = sum(number for _, number, *_ in replies.by_model())
        read = _copy(other, replies)
        new = sum(number for _, number, *_ in replies.by_model()) - before
    return f"{asked.store}: {plural(new, 'new reply')} of {read} in {asked.file}"


def _copy(source: Replies, target: Replies) -> int:
    """Copy what the target lacks; return how many replies were read."""
    rows, number = source.rows(), 0
    while batch := list(islice(rows, _AT_ONCE)):
        for row in batch:
            _check(row, source.file)
        target.put(batch)
        number += len(batch)
    return number


def _check(row: Row, file: Path) -> None:
    try:
        read_row(row)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{file}: the reply {row.key} cannot be read: {error!r}.") from error


def _prune(asked: argparse.Namespace) -> str:
    with _open(asked.store, write=True) as replies:
        number = replies.prune(time.time() - asked.older_than * _DAY)
    return f"{asked.store}: {plural(number, 'reply')} older than {asked.older_than:g} days deleted"


def _show(asked: argparse.Namespace) -> str:
    with _open(asked.store) as replies:
        rows = list(islice(replies.rows(asked.key), _SHOWN + 1))
    if not rows:
        raise ConfigError(f"{asked.store} has no reply whose key begins with {asked.key}.")
    if len(rows) > 1:
        raise ConfigError(
            f"{'More than ' if len(rows) > _SHOWN else ''}{min(len(rows), _SHOWN)} keys begin with "
            f"{asked.key}: {', '.join(row.key[:16] for row in rows[:_SHOWN])}. Give more of it."
        )
    return _words(rows[0])


def _words(row: Row) -> str:
    request, found = json.loads(row.request), read_row(row)
    parameters = json.dumps(request["parameters"], ensure_ascii=False)
    spent = found.spent
    cost = "unknown" if spent.cost is None else f"${spent.cost:g}"
    said = [f"--- {role}\n{content}" for role, content in request["messages"]]
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row.time))
    return "\n".join(
        [
            row.key,
            f"{row.model}, {parameters}, sample {json.dumps(request['sample'])}, {when}",
            f"{plural(spent.calls, 'attempt')}, {spent.usage.prompt} + "
            f"{plural(spent.usage.completion, 'token')}, cost {cost}",
            *said,
            *_outcome(found),
        ]
    )


def _outcome(found: Answered | Failed) -> Sequence[str]:
    if isinstance(found, Failed):
        return ["--- no reply", found.message]
    cut = " (cut off at the token limit)" if found.reply.truncated else ""
    # Half a character, which JSON can carry, cannot be shown.
    return [f"--- reply{cut}", found.reply.text.encode("utf-8", "replace").decode()]
