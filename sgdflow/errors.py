"""What can go wrong.

SgdflowError
├── ConfigError          what the user declared does not fit; found before any call
│   ├── GraphError       the computational graph
│   ├── PromptError      a template
│   └── DataError        a task's files, columns or splits
├── NoResult             a run has nothing to show; the same command goes on
├── NodeFailed           one node of one example; the batch goes on
├── ScoringFailed        the scorer raised, or gave no score; the run stops
├── NothingAnswered      the first examples all failed for one reason; the run stops
├── ReplyError           a model's reply does not have the declared format
└── LLMError
    ├── CallFailed       one call, after its retries; others may still succeed
    ├── ProviderRefused  no call can succeed (key, model name, endpoint); the run stops
    ├── EndpointDown     an endpoint has answered nobody for long; the run stops, to go on later
    ├── BudgetSpent      no call is made any more; the run ends with what it has
    └── NotStored        a reply that only the store could give is not there; the run stops
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

CODE = "code"
"""The kind of a node's failure that lies in a function or a template."""
OVERFLOW = "context_window"
"""The kind of a failure of a prompt that does not fit its model; less of it may."""


class SgdflowError(Exception):
    """Say what is wrong, where it stands and what to do next, in `str(error)`.

    It can be pickled, whatever it is made of: errors come from other processes, too.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[SgdflowError], args: tuple[Any, ...]) -> SgdflowError:
    # What __init__ takes need not be what it has passed on.
    return kind.__new__(kind, *args)


class ConfigError(SgdflowError):
    """Report a declaration that cannot be run."""


class GraphError(ConfigError):
    """Report a computational graph that cannot be built."""


class PromptError(ConfigError):
    """Report a template that cannot be found, read or filled."""


class DataError(ConfigError):
    """Report task data that cannot be read or split as declared."""


class NoResult(SgdflowError):
    """Report that a run has no result, where nothing else ended it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"There is no result: {why}. Mend the cause; the same command goes on.")
        self.why = why


class NodeFailed(SgdflowError):
    """Report that a node has no value (or no gradients) for one example."""

    def __init__(
        self, message: str, calls: tuple[Any, ...] = (), kind: str = CODE, behind: str = ""
    ) -> None:
        super().__init__(message)
        self.calls = calls
        """The exchanges that were made in vain."""
        self.kind = kind
        """A short word to count by: that of a failed call, of a ReplyError, or CODE."""
        self.behind = behind
        """The kind of what kept a judge from its score; empty for all else."""


class ScoringFailed(SgdflowError):
    """Report that the scorer failed on an output."""


class NothingAnswered(SgdflowError):
    """Report that the first examples all failed for one reason."""


class ReplyError(SgdflowError):
    """Report a model reply that does not have its declared format; `kind` is a word to count by."""

    def __init__(self, message: str, kind: str = "malformed") -> None:
        super().__init__(message)
        self.kind = kind


class LLMError(SgdflowError):
    """Report a call that brought no reply."""


class CallFailed(LLMError):
    """Report one call that failed for good; `kind` is a short word to count by."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class ProviderRefused(LLMError):
    """Report that the provider will answer no call, with advice."""


class EndpointDown(LLMError):
    """Report that an endpoint answered nobody for as long as was to be waited."""


class BudgetSpent(LLMError):
    """Report that the declared hard limit lets no further call be made."""


class NotStored(LLMError):
    """Report a request without a stored reply, where nothing may be asked."""


_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def spelt_out(text: str) -> str:
    """Return the text with a spelling of what moves a cursor, hides or turns round other letters.

    Control characters, bidirectional marks and halves of characters; tabs and line ends stay.
    """
    return _UNSEEN.sub(_spelling, text)


def _spelling(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def bounded(lines: Sequence[str]) -> list[str]:
    """Return lines of a message that words of any length and number may stand in."""
    most = [
        line if len(line) <= _LINE else f"{line[: _LINE // 2]} [...] {line[-_LINE // 4 :]}"
        for line in lines[:_LINES]
    ]
    return most if len(lines) <= _LINES else [*most, f"and {len(lines) - _LINES:,} more"]


_LINE, _LINES = 1000, 100


def looked_in(path: str | Path) -> str:
    """Say where a path begins that leads nowhere; empty for one that says it itself."""
    return "" if Path(path).is_absolute() else f" Looked in: {Path.cwd()}."


def raised_at(error: BaseException) -> str:
    """Return " (tools.py, line 12)", the innermost place in code of the user's own; else nothing.

    Neither sgdflow nor what is installed is code that he could mend. Without the folder: critics
    are shown it too, and what is asked of them must not depend on the machine.
    """
    installed = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}
    others = (*map(Path, installed), Path(__file__).parent)
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        file = Path(frame.f_code.co_filename)
        if file.is_file() and not any(file.is_relative_to(other) for other in others):
            return f" ({file.name}, line {line})"
    return ""


def did_you_mean(wrong: str, known: Iterable[str], alike: float = 0.6) -> str:
    """Return " Did you mean 'x'?" for the closest known name, else an empty string."""
    names = list(known)
    close = [name for name in names if name.casefold() == wrong.casefold() and name != wrong]
    close = close or get_close_matches(wrong, names, n=1, cutoff=alike)
    return f" Did you mean '{close[0]}'?" if close else ""


def plural(number: int, noun: str) -> str:
    """Return "1 example", "2 replies", "1,000 examples"."""
    several = f"{noun[:-1]}ies" if noun.endswith("ly") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else several}"


def every(number: int, noun: str) -> str:
    """Return "the only example", "all 2 examples"."""
    return f"the only {noun}" if number == 1 else f"all {plural(number, noun)}"


def listed(names: Iterable[str]) -> str:
    """Return names as "a, b, c", or "(none)"."""
    return ", ".join(names) or "(none)"


def shortly(text: str, most: int = 60) -> str:
    """Return a text in one line and, where it is long, its beginning."""
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[:most]}..."
