"""Replies read where their meaning is plain, and asked for again in a way that can help."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from sgdflow.config.paths import prompt_folders
from sgdflow.errors import NodeFailed, ReplyError
from sgdflow.llm import Message, Reply
from sgdflow.llm.models import Again, ModelSpec
from sgdflow.llm.scripted import Said, ScriptedLLM
from sgdflow.prompting.ask import Answered, Ask, repeats_itself
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts

PROMPTS = Prompts(prompt_folders(Path(__file__).parent))
WHOLE = ReplyFormat(untagged="whole")
LAST = ReplyFormat(untagged="last_line")
FAIL = ReplyFormat()

# What was said, and what each way takes it for; None: it is refused.
READINGS: dict[str, tuple[str, str | None, str | None, str | None]] = {
    "the form": ("So: <output> yes </output> That is all.", "yes", "yes", "yes"),
    "no tags": ("It is so.\nAnswer: yes", "It is so.\nAnswer: yes", "Answer: yes", None),
    "no tags, blank end": ("It is so.\n\nyes\n \n", "It is so.\n\nyes", "yes", None),
    "never closed": ("I think.\n<output>\nyes\nsurely", "yes\nsurely", "yes\nsurely", None),
    "never opened": ("It is so.\nyes</output>", "It is so.\nyes", "yes", None),
    "twice the same": ("<output>yes</output> So <output>yes</output>", "yes", "yes", None),
    "twice, the last open": ("<output>yes</output>\n<output>yes", "yes", "yes", None),
    "two that differ": ("<output>yes</output> or <output>no</output>", None, None, None),
    "the form told": ("Between <output> and </output>: <output>yes</output>", None, None, None),
    "closed twice": ("<output>yes</output></output>", "yes", "yes", None),
    "a closing tag inside": ("<output>use </output> twice</output>", None, None, None),
    "capitals": ("<Output>yes</OUTPUT>", "yes", "yes", None),
    "with an attribute": ('<output name="answer">yes</output>', "yes", "yes", None),
    "empty tags": ("yes <output></output>", None, None, None),
    "thoughts alone": ("<think>yes</think>", None, None, None),
    "thoughts, then no tags": ("<think>no?</think>\nyes", "yes", "yes", None),
}  # fmt: skip


@pytest.mark.parametrize(("text", "whole", "last", "strict"), READINGS.values(), ids=READINGS)
def test_a_reply_is_read_where_its_meaning_is_plain(
    text: str, whole: str | None, last: str | None, strict: str | None
) -> None:
    for form, wanted in ((WHOLE, whole), (LAST, last), (FAIL, strict)):
        if wanted is None:
            with pytest.raises(ReplyError) as refused:
                form.read(text)
            assert refused.value.kind == "malformed"
        else:
            assert form.read(text) == {"": wanted}


@pytest.mark.parametrize(
    "said",
    [
        "Reasoning: It rains.\nSo yes.",
        "**Reasoning:** It rains.\nSo yes.",
        "\n## Reasoning:\nIt rains.\nSo yes.",
    ],
)
def test_an_untagged_reply_hands_on_what_it_says_without_the_label_that_was_asked_for(
    said: str,
) -> None:
    """The next member is told to begin with the same label, and copied what stood behind it."""
    first = replace(WHOLE, reasoning="first")
    assert first.read(said) == {"": "It rains.\nSo yes."}
    assert WHOLE.read(said) == {"": said.strip()}, "nothing asked for the label"
    assert first.read("No reasoning: it rains.") == {"": "No reasoning: it rains."}
    assert first.read("**Reasoning:** **Rain**, so yes.") == {"": "**Rain**, so yes."}
    with pytest.raises(ReplyError, match="it is empty where output should be"):
        first.read("Reasoning:")


@pytest.mark.parametrize("shown", ["...", "\u2026", " . . . "])
def test_dots_in_the_place_of_an_output_are_none(shown: str) -> None:
    for form, said in ((FAIL, "It is so. "), (WHOLE, ""), (LAST, "\n")):
        with pytest.raises(ReplyError, match="which stands for the output"):
            form.read(f"{said}<output>{shown}</output>")
        assert form.read("<output>yes ...</output>") == {"": "yes ..."}
    with pytest.raises(ReplyError, match="which stands for the output"):
        WHOLE.read(f'<output name="a">so</output><output name="b">{shown}</output>', ["a", "b"])


def test_what_stands_before_a_copied_form_is_the_output_where_tags_may_be_missing() -> None:
    """A small model puts all that it has to say under Reasoning, and fills in nothing."""
    said = "Reasoning: It rains.\nSo yes.\n\n<output>...</output>"
    assert WHOLE.read(said) == {"": "Reasoning: It rains.\nSo yes."}
    assert replace(WHOLE, reasoning="first").read(said) == {"": "It rains.\nSo yes."}
    assert LAST.read(said) == {"": "So yes."}
    assert WHOLE.read(said.replace("output>", 'output name="a">', 1), ["a"]) == {
        "a": "Reasoning: It rains.\nSo yes."
    }


def test_a_reply_that_copies_the_form_it_was_shown_is_asked_for_again() -> None:
    first = replace(WHOLE, reasoning="first")
    variables: dict[str, object] = {"predecessors": {}, "parameters": {}, "system": None}
    prompt = Ask(PROMPTS, "forward/node.jinja", "forward", first).messages(variables)[-1].content
    copied = next(line for line in prompt.splitlines() if line.startswith("<output>"))
    with pytest.raises(ReplyError, match=r"it repeats '.+', which stands for the output"):
        first.read(copied)
    assert first.read(f"Reasoning: so.\n\n{copied}") == {"": "so."}


def test_several_texts_are_never_guessed_at() -> None:
    with pytest.raises(ReplyError, match='<output name="a"> is missing'):
        WHOLE.read("a is one, b is two", ["a", "b"])
    assert WHOLE.read('<output name="a">one', ["a"]) == {"a": "one"}


KEEP = ReplyFormat(untagged="whole", truncated="keep")
CUT: dict[str, tuple[ReplyFormat, str, str | None]] = {
    "in the text": (WHOLE, "I think.\n<output>yes, be", None),
    "without tags": (WHOLE, "I think, theref", None),
    "after the text": (WHOLE, "<output>yes</output> And now I", "yes"),
    "after a gradient": (FAIL, "<output>yes</output> And now I", None),
    "kept, in the text": (KEEP, "I think.\n<output>yes, be", "yes, be"),
    "kept, without tags": (KEEP, "I think, theref", "I think, theref"),
    "kept, in thoughts": (KEEP, "<think>I think, theref", None),
    "text": (ReplyFormat("text"), "I think, theref", None),
    "kept text": (ReplyFormat("text", truncated="keep"), "I think, theref", "I think, theref"),
}


@pytest.mark.parametrize(("form", "text", "wanted"), CUT.values(), ids=CUT)
def test_a_cut_off_text_is_used_only_where_that_is_declared(
    form: ReplyFormat, text: str, wanted: str | None
) -> None:
    if wanted is None:
        with pytest.raises(ReplyError, match="it was cut off at the token limit") as refused:
            form.read(text, cut=True)
        assert refused.value.kind == "truncated"
    else:
        assert form.read(text, cut=True) == {"": wanted}


# Asking again


def asked(form: ReplyFormat, *said: Said, names: Sequence[str] = ()) -> ScriptedLLM:
    """Ask for one reply, or one for each name, in up to three attempts."""
    llm = ScriptedLLM({"forward": said})
    ask = Ask(PROMPTS, "reply/again.jinja", "forward", form)  # any template will do

    async def work() -> Answered:
        variables = {"reason": "it is the first", "truncated": False}
        return await ask.send(llm, "answer", variables, names, sample=7)

    with suppress(NodeFailed):
        asyncio.run(work())
    return llm


JSON_FORM = """{"a": "...", "b": "..."}"""
FORMS = {
    "tagged": (FAIL, (), "<output>...</output>"),
    "by name": (
        ReplyFormat(tag="gradient"),
        ("a", "b"),
        '<gradient name="a">...</gradient>\n<gradient name="b">...</gradient>',
    ),
    "numbered": (ReplyFormat("numbered"), ("a", "b"), "1. (a) ...\n2. (b) ..."),
    "json": (ReplyFormat("json"), ("a", "b"), JSON_FORM),
    "reasoned": (replace(FAIL, reasoning="first"), (), "Reasoning: ...\n<output>...</output>"),
    "reasoned json": (
        ReplyFormat("json", reasoning="first"),
        (),
        '{"reasoning": "...", "output": "..."}',
    ),
}


@pytest.mark.parametrize(("form", "names", "example"), FORMS.values(), ids=FORMS)
def test_the_form_is_repeated_with_an_empty_example(
    form: ReplyFormat, names: Sequence[str], example: str
) -> None:
    bad = "no " * 5000
    llm = asked(form, bad, bad, bad, names=names)
    first, second, third = llm.requests
    assert [request.sample for request in llm.requests] == [7, 1007, 2007]
    # The conversation does not grow, and the bad reply is quoted in part.
    assert second.messages == third.messages
    *before, said, again = second.messages
    assert tuple(before) == first.messages
    assert said.content.startswith("no no no")
    assert "14,399 characters left out" in said.content
    assert len(said.content) < 700
    assert again.again
    start = "Your last reply could not be used: "
    end = ". Write it once more, whole, in this form, with your own words in place of the dots:\n"
    assert again.content.startswith(start)
    assert again.content.endswith(end + example)
    assert "shorter" not in again.content


def test_after_a_cut_a_shorter_reply_is_asked_for_with_more_room() -> None:
    rambling = " ".join(map(str, range(400)))
    llm = asked(WHOLE, Reply(rambling, truncated=True), Reply(rambling, truncated=True), "yes")
    assert [r.messages[-1].longer for r in llm.requests] == [0, 1, 2]
    said = llm.requests[1].messages[-1].content
    assert said.startswith(
        "Your last reply could not be used: it was cut off at the token limit. Be much shorter, "
        "and do not repeat yourself. Write it once more, whole, in this form"
    )
    # What took the room is not asked for again.
    reasoned = asked(replace(WHOLE, reasoning="first"), Reply(rambling, truncated=True), "yes")
    assert reasoned.requests[1].messages[-1] == llm.requests[1].messages[-1]


def test_a_reply_that_goes_round_in_circles_gets_no_more_room() -> None:
    circles = Reply(
        "First. " + "Then I go left, then I go right, then I turn. " * 40, truncated=True
    )
    llm = asked(WHOLE, circles, "yes")
    assert llm.requests[1].messages[-1].longer == 0
    assert repeats_itself(circles.text)
    assert not repeats_itself("Then I go left. " * 3)
    assert not repeats_itself(" ".join(map(str, range(400))))


AGAIN = Message("user", "Once more.", again=True)


@pytest.mark.parametrize(
    ("declared", "changes", "message", "sent"),
    [
        (
            {"temperature": 0, "seed": 3},
            Again(),
            Message("user", "?"),
            {"temperature": 0, "seed": 3},
        ),
        ({"temperature": 0, "seed": 3}, Again(), AGAIN, {"temperature": 0.5, "seed": 3}),
        ({"temperature": 0}, Again(None), AGAIN, {"temperature": 0}),
        ({"temperature": 1}, Again(), AGAIN, {"temperature": 1}),
        ({}, Again(0.5, 2000), Message("user", "!", again=True, longer=1), {}),
        ({"max_tokens": 700}, Again(0.5, 2000), AGAIN, {"max_tokens": 700}),
        (
            {"max_tokens": 700},
            Again(0.5, 2000),
            Message("user", "!", again=True, longer=1),
            {"max_tokens": 1400},
        ),
        (
            {"max_completion_tokens": 700},
            Again(0.5, 2000),
            Message("user", "!", again=True, longer=2),
            {"max_completion_tokens": 2000},
        ),
        (
            {"max_tokens": 700},
            Again(0.5, 500),
            Message("user", "!", again=True, longer=2),
            {"max_tokens": 700},
        ),
    ],
)
def test_what_is_sent_moves_where_it_is_asked_again(
    declared: dict[str, int], changes: Again, message: Message, sent: dict[str, float]
) -> None:
    spec = ModelSpec("openai/any", parameters=declared, again=changes)
    assert spec.sent([Message("user", "Q?"), message]) == sent
    moved = spec.parameters_of([message], 1000)
    assert moved.get("seed", 0) == sent.get("seed", -1000) + 1000
    # A reply that was asked for in another way is no reply to this request.
    (plain,) = ModelSpec("openai/any", parameters=declared, again=Again(None)).requests(
        [message], 1
    )
    (changed,) = spec.requests([message], 1)
    assert (plain.key == changed.key) == (sent == declared)
