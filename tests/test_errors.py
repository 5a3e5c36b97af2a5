"""Errors that come from other processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from copy import deepcopy
from inspect import signature
from typing import Any

from sgdflow.errors import SgdflowError
from sgdflow.runs.hands import Ended
from sgdflow.tracking.ui import UIError


def kinds(kind: type[SgdflowError]) -> Iterator[type[SgdflowError]]:
    yield kind
    for other in kind.__subclasses__():
        yield from kinds(other)


def test_every_error_is_the_same_in_another_process() -> None:
    known: dict[str, Any] = {"message": "what is wrong", "why": "it is wrong", "kind": "server"}
    known |= {"calls": ("an exchange",), "behind": "server"}
    every = {*kinds(SgdflowError)}
    assert {Ended, UIError} < every
    for kind in every:
        own = kind.__init__ is not Exception.__init__
        asked = [*signature(kind.__init__).parameters][1:] if own else ["message"]
        error = kind(*(known[name] for name in asked))
        for again in (pickle.loads(pickle.dumps(error)), deepcopy(error)):
            assert type(again) is kind
            assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))
