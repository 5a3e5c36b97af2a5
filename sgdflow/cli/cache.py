"""`sgdflow cache`: look into a store of replies, take it elsewhere, thin it out."""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from sgdflow.cli.arguments import Arguments, path_of
from sgdflow.errors import ConfigError, plural
from sgdflow.llm.address import plain
from sgdflow.llm.answers import Answered, Failed, as_json, place, read_row
from sgdflow.llm.database import Replies, Row
from sgdflow.llm.models import ModelSpec, Request
from sgdflow.llm.store import DEFAULT
from sgdflow.terminal import say

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
        "claim": _claim,
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
    where.add_argument("--store", type=path_of, default=Path(DEFAULT), metavar="PATH")
    actions = parser.add_subparsers(dest="action", required=True)

    def action(name: str, does: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=does, description=does, parents=[where])

    action("info", "Say how many replies there are, by model.")
    action("export", "Copy all replies to a new file.").add_argument("file", type=path_of)
    action("import", "Add the replies of another file.").add_argument("file", type=path_of)
    claim = action("claim", "Count replies whose endpoint was not noted as those of one.")
    claim.add_argument("endpoint", help="as in llm.endpoint, or an api_base without its login")
    claim.add_argument("--of", metavar="ENDPOINT", help="count those of this endpoint instead")
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


@dataclass
class _Sum:
    """What the store holds of one model's replies from one endpoint."""

    replies: int = 0
    characters: int = 0
    days: set[str] = field(default_factory=set)


def _info(asked: argparse.Namespace) -> str:
    sums: dict[tuple[str, str], _Sum] = {}
    lost: list[str] = []
    with _open(asked.store) as replies:
        for row, found in _read(replies.rows(), lost):
            if isinstance(found, Answered):
                one = sums.setdefault((found.model, place(found)), _Sum())
                one.replies += 1
                one.characters += len(row.request) + len(row.answer)
                one.days.add(_date(row.time))
    beside = asked.store.with_name(f"{asked.store.name}-wal")
    size = sum(file.stat().st_size for file in (asked.store, beside) if file.is_file()) / 1e6
    total = sum(one.replies for one in sums.values())
    lines = [f"{asked.store}: {plural(total, 'reply')}, {size:.1f} MB"]
    for (model, where), one in sorted(sums.items()):
        days = " to ".join(dict.fromkeys([min(one.days), max(one.days)]))
        text = f"{one.characters / 1e6:.1f} MB of text"
        lines.append(f"  {model}: {plural(one.replies, 'reply')}, {text}, {days}, from {where}")
    return "\n".join([*lines, *_without(lost)])


def _read(rows: Iterable[Row], lost: list[str]) -> Iterator[tuple[Row, Answered | Failed]]:
    """Yield rows with what they hold; note the keys of those that hold no reply."""
    for row in rows:
        try:
            yield row, read_row(row)
        except ValueError:
            lost.append(row.key)


def _without(lost: Sequence[str]) -> Sequence[str]:
    """Say which rows were passed over."""
    if not lost:
        return []
    return [f"  passed over: {plural(len(lost), 'row')} without a reply ({_named(lost)})"]


def _named(keys: Sequence[str]) -> str:
    return ", ".join(keys[:_SHOWN]) + (", ..." if len(keys) > _SHOWN else "")


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(seconds))


def _export(asked: argparse.Namespace) -> str:
    if asked.file.exists():
        raise ConfigError(f"{asked.file} exists already: export to a new file.")
    new = asked.file.with_name(f"{asked.file.name}.new")
    new.unlink(missing_ok=True)
    lost: list[str] = []
    with _open(asked.store) as replies:
        with closing(Replies(new)) as copy:
            number = _copy(replies, copy, lost)
            copy.single()
        new.replace(asked.file)
    told = (
        f"{asked.file}: {plural(number, 'reply')}. A run that needs no others is reproduced with "
        f"llm.store.mode=replay llm.store.path={asked.file}"
    )
    return "\n".join([told, *_without(lost)])


def _import(asked: argparse.Namespace) -> str:
    lost: list[str] = []
    with _open(asked.file) as other, closing(Replies(asked.store)) as replies:
        before = replies.count()
        read = _copy(other, replies, lost)
        new = replies.count() - before
    told = f"{asked.store}: {plural(new, 'new reply')} of {read} in {asked.file}"
    return "\n".join([told, *_without(lost)])


def _copy(source: Replies, target: Replies, lost: list[str]) -> int:
    """Copy what the target lacks; return how many replies were read."""
    rows, number = (row for row, _ in _read(source.rows(), lost)), 0
    while batch := list(islice(rows, _AT_ONCE)):
        target.put(batch)
        number += len(batch)
    return number


def _claim(asked: argparse.Namespace) -> str:
    """Store replies once more, as those of a named endpoint."""
    lost: list[str] = []
    claimed: list[Row] = []
    unknown: list[str] = []
    with _open(asked.store, write=True) as replies:
        for row, found in _read(replies.rows(), lost):
            if not isinstance(found, Answered) or found.endpoint != _who(asked.of, found.model):
                continue
            if content := _content(row):
                claimed.append(_as_of(_who(asked.endpoint, found.model) or "", row, found, content))
            else:
                unknown.append(row.key)
        before = replies.count()
        replies.put(claimed)
        new = replies.count() - before
    named = plain(asked.endpoint) if "://" in asked.endpoint else asked.endpoint
    told = f"{asked.store}: {plural(new, 'reply')} now counted as those of {named}, too"
    return "\n".join([told, *_not_counted(unknown), *_without(lost)])


def _who(endpoint: str | None, model: str) -> str | None:
    """Return how requests to a model note an endpoint that is given by its address or name."""
    if endpoint is None:
        return None
    address, name = (endpoint, None) if "://" in endpoint else (None, endpoint)
    return ModelSpec(model, address, endpoint=name).answers


def _content(row: Row) -> Mapping[str, Any] | None:
    """Return the request of a row; None where its key is not that of what is stored."""
    try:
        content = json.loads(row.request)
    except (ValueError, RecursionError):
        return None
    known = isinstance(content, dict) and Request.of(content).key == row.key
    return content if known else None


def _as_of(endpoint: str, row: Row, found: Answered, content: Mapping[str, Any]) -> Row:
    """Return the row that it would be, had this endpoint answered."""
    others = {name: value for name, value in content.items() if name != "endpoint"}
    request = Request.of({**others, "endpoint": endpoint} if endpoint else others)
    return Row(
        request.key, row.model, request.text, as_json(replace(found, endpoint=endpoint)), row.time
    )


def _not_counted(keys: Sequence[str]) -> Sequence[str]:
    """Say which replies no other request can be made of."""
    if not keys:
        return []
    why = "whose request is not stored as it was sent: it held a secret, or was changed"
    return [f"  not counted: {plural(len(keys), 'reply')} {why} ({_named(keys)})"]


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
    try:
        return _words(rows[0])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{asked.store}: {rows[0].key} holds no reply ({error}).") from None


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
            f"{row.model}, {parameters}, sample {json.dumps(request['sample'])}, {when}"
            + (f", from {place(found)}" if isinstance(found, Answered) else ""),
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
