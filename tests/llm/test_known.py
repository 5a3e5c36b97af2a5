"""What workers tell the run of what they have come to know."""

from __future__ import annotations

from sgdflow.llm import Reply
from sgdflow.llm.known import Known


def test_what_is_new_is_told_once_also_after_all_was_forgotten() -> None:
    known = Known(())
    told = []
    for key in ("a", "b", "c"):
        known.answered.keep(key, Reply(key))
        told.append(dict(known.part().answered))
        if key == "b":
            known.forget()
    assert told == [{key: Reply(key)} for key in ("a", "b", "c")]
