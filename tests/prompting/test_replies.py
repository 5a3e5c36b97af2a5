"""What a model wrote is read back exactly, or refused with a reason; never something in between."""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sgdflow.errors import ReplyError
from sgdflow.prompting.dressing import unfenced_like
from sgdflow.prompting.replies import ReplyFormat

bounded = settings(derandomize=True, deadline=None, database=None, max_examples=150)
often = settings(bounded, max_examples=1000)

TAGGED = ReplyFormat("tagged", "g")
NUMBERED = ReplyFormat("numbered")
JSON = ReplyFormat("json")
TEXT = ReplyFormat("text")
NO_JSON = "it is not one JSON object"
AT = "starting at: line 1 column"
NO_VALUE = "Expecting value: line 1 column 1 (char 0)"
COMMA = "Expecting ',' delimiter: line 1 column"
KEY = "Expecting property name enclosed in double quotes: line 1 column"
NO_JSON_AT_7 = f"{NO_JSON} ({COMMA} 13 (char 12))"
DIFFER = "JSON objects that differ; write exactly one"
TWICE = "stands 2 times; write it exactly once"
TWELVE = tuple(f"hint_{i}" for i in range(1, 13))

# Texts as models write them: several lines, code, templates, other tags, any script.
PIECES = (
    *("\n", "\n\n", "\r\n", " ", "\t", "\x00", "é", "日本語", "🙂", "\u200b", "\u202e"),
    *("{", "}", "{{ 7*7 }}", "{% raise %}", "${oc.env:HOME}", "$1", "\\", "\\n", "\\1", '"', "'"),
    *("<output>", "</output>", "<hint name='hint_1'>", "</hint>", "<think>", "</think>", "&lt;"),
    *("Hint 1", "Hint 10", "hint_1", "(hint_1)", "1. ", "10) ", "1.", "7", "```", "```json\n"),
)
writing = st.text(st.characters(codec="utf-8"), max_size=8)
texts = st.lists(st.sampled_from(PIECES) | writing, min_size=1, max_size=12).map("".join)


@st.composite
def replies_by_name(draw: st.DrawFn) -> dict[str, str]:
    names = draw(st.sampled_from([TWELVE, TWELVE[:2], ("hint_10", "hint_1"), ("a.b", "a+b", "ab")]))
    return {name: draw(texts.filter(str.strip)) for name in names}


def stripped(by_name: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, text.strip()) for name, text in by_name.items()]


@bounded
@given(replies_by_name(), st.sampled_from("'\""), st.randoms())
def test_tagged_reply_is_read_as_it_was_written(
    written: dict[str, str], quote: str, shuffle: random.Random
) -> None:
    parts = [f"<g name={quote}{n}{quote}>{t}</g>" for n, t in written.items()]
    shuffle.shuffle(parts)
    reply = "First I weigh 1. the zone and 10. the weight.\n" + "\n".join(parts)
    assert [*TAGGED.read(reply, [*written]).items()] == stripped(written)


@bounded
@given(texts.filter(str.strip))
@example("answer 7")
def test_tagged_reply_of_one_text_is_read_as_it_was_written(written: str) -> None:
    assert TAGGED.read(f"So:\n<g>{written}</g>") == {"": written.strip()}


@bounded
@given(replies_by_name(), st.sampled_from(".)"), st.booleans())
def test_numbered_reply_is_read_as_it_was_written(
    written: dict[str, str], mark: str, labelled: bool
) -> None:
    # Lists within a text, and what ends thoughts, are another test's matter.
    written = {n: re.sub(r"(?m)^[ \t]*(?=[\d(:])", "- ", t) for n, t in written.items()}
    written = {n: t.replace("</think>", "</thin>") for n, t in written.items()}
    lines = [
        f"{i}{mark} {f'({name}) ' if labelled else ''}{text}"
        for i, (name, text) in enumerate(written.items(), 1)
    ]
    reply = "I thought of these:\n1. one idea\n2. another\n\nHere they are:\n" + "\n".join(lines)
    assert [*NUMBERED.read(reply, [*written]).items()] == stripped(written)


@bounded
@given(replies_by_name(), st.booleans(), st.sampled_from(["{}", "```json\n{}\n```", "\n{}\n"]))
def test_json_reply_is_read_as_it_was_written(
    written: dict[str, str], escaped: bool, around: str
) -> None:
    reply = json.dumps(dict(reversed(written.items())) | {"extra": 1}, ensure_ascii=escaped)
    read = JSON.read(around.replace("{}", reply), [*written])
    assert [*read.items()] == stripped(written)


@bounded
@given(texts.map(lambda text: text.replace("think>", "thin>")).filter(str.strip))
def test_text_reply_is_the_whole_reply(written: str) -> None:
    assert TEXT.read(written) == {"": written.strip()}


SOUP = (
    *("<output>", "</output>", '<output name="a">', "<output name='b'>", "<think>", "</think>"),
    *("1. ", "2. ", "\n1) ", "\n2. ", "(a) ", "(b)", "{", "}", '"a"', '"b"', '"output"', ": ", ","),
    *("[", "]", "```json\n", "\n```", "\n", "x", "y", " "),
)


@often
@given(
    st.lists(st.sampled_from(SOUP) | writing, max_size=25).map("".join),
    st.sampled_from([TEXT, ReplyFormat("tagged"), NUMBERED, JSON]),
    st.sampled_from([(), ("a",), ("a", "b")]),
)
def test_any_reply_is_read_whole_or_refused(
    reply: str, form: ReplyFormat, names: Sequence[str]
) -> None:
    if not form.accepts(names):
        return
    try:
        read = form.read(reply, names)
    except ReplyError:
        return
    assert [*read] == [*(names or [""])]
    assert all(text and text == text.strip() for text in read.values())
    if form != JSON:
        assert all(text in reply for text in read.values())


def numbered(numbers: Sequence[int]) -> str:
    return "\n".join(f"{number}. text {number}" for number in numbers)


def tags(numbers: Sequence[int]) -> str:
    return "\n".join(f'<g name="hint_{n}">text {n}</g>' for n in numbers)


def as_json(numbers: Sequence[int]) -> str:
    return json.dumps({f"hint_{n}": f"text {n}" for n in numbers})


WRITE = {"tagged": tags, "numbered": numbered, "json": as_json}


@pytest.mark.parametrize("missing", range(1, 13))
@pytest.mark.parametrize("form", [TAGGED, NUMBERED, JSON], ids=lambda form: form.format)
def test_one_of_twelve_is_missed_by_its_own_number(form: ReplyFormat, missing: int) -> None:
    write, whole = WRITE[form.format], range(1, 13)
    assert form.read(write(whole), TWELVE) == {f"hint_{n}": f"text {n}" for n in whole}
    rest = [n for n in whole if n != missing]
    with pytest.raises(ReplyError) as refused:
        form.read(write(rest), TWELVE)
    assert (
        str(refused.value)
        == {
            "tagged": f'<g name="hint_{missing}"> is missing',
            "json": f"the JSON object holds no string for hint_{missing}",
            "numbered": f"its last list is numbered {', '.join(map(str, rest))}, not 1 to 12"
            if missing > 1
            else "no line starts with '1.'",
        }[form.format]
    )


# What a reply is read as, by name; a text in place of a mapping is the reason for refusing it.
ONE: tuple[str, ...] = ()
AB = ("a", "b")
Expected = Mapping[str, str] | str
TRAPS: Sequence[tuple[ReplyFormat, Sequence[str], str, Expected]] = [
    # Nothing that was asked for is there: the reply itself must not become the text.
    (TAGGED, ONE, "Say that east costs 7.", "<g> is missing"),
    (TAGGED, ONE, "", "<g> is missing"),
    (TAGGED, ONE, "<improved>x</improved>", "<g> is missing"),
    (TAGGED, ONE, "<G>x</G>", "<g> is missing"),
    (TAGGED, ONE, '<g name="a">x</g>', "<g> is missing"),
    (TAGGED, AB, "<g>x</g>", '<g name="a"> is missing'),
    (TAGGED, AB, "<g name=a>x</g>", '<g name="a"> is missing'),
    (TAGGED, AB, '<g name="a">x</g>', '<g name="b"> is missing'),
    (NUMBERED, AB, "x and y", "no line starts with '1.'"),
    (NUMBERED, AB, "1.5 is x\n2.5 is y", "no line starts with '1.'"),
    (JSON, ONE, "7", "it is not a JSON object"),
    (JSON, ONE, "[7]", "it is not a JSON object"),
    (JSON, ONE, "It is 7.", f"{NO_JSON} ({NO_VALUE})"),
    (JSON, ONE, "", f"{NO_JSON} ({NO_VALUE})"),
    (JSON, AB, '{"a": "x"}', "the JSON object holds no string for b"),
    (JSON, AB, '{"a": true, "b": null}', "the JSON object holds no string for a, b"),
    (JSON, ONE, '{"output": {"x": {"y": 1}}}', "the JSON object holds no string for output"),
    (TEXT, ONE, " \n", "it is empty where output should be"),
    # Something is there twice: nobody knows which counts.
    (TAGGED, ONE, "<g>x</g> or <g>y</g>", f"<g> {TWICE}"),
    (TAGGED, ("a",), "<g name='a'>x</g><g name=\"a\">x</g>", f'<g name="a"> {TWICE}'),
    (TAGGED, ONE, "<g>End with </g> always.</g>", "</g> stands 2 times after <g>"),
    (JSON, ONE, '{"output": "x", "output": "y"}', "the JSON object holds output more than once"),
    (JSON, ONE, '{"output": "x"} or {"output": "y"}', f"it holds 2 {DIFFER}"),
    (JSON, ONE, '[{"output": "x"}, {"output": "y"}]', f"it holds 2 {DIFFER}"),
    (NUMBERED, AB, "1. x\n2. y\n2. z", "its last list is numbered 1, 2, 2, not 1 to 2"),
    (NUMBERED, AB, "1. x\n2. y\n3. z", "its last list is numbered 1, 2, 3, not 1 to 2"),
    (NUMBERED, AB, "1. x\n3. y", "its last list is numbered 1, 3, not 1 to 2"),
    # Cut short: what follows, or the next text, is not the answer.
    (TAGGED, ONE, "<g>x", "</g> is missing after <g>"),
    (TAGGED, AB, '<g name="a">x\n<g name="b">y</g>', '</g> is missing after <g name="a">'),
    (TAGGED, AB, '<g name="a">x</g>\n<g name="b">y', '</g> is missing after <g name="b">'),
    (JSON, ONE, '{"output": "x', f"{NO_JSON} (Unterminated string {AT} 12 (char 11))"),
    # Empty.
    (TAGGED, ONE, "<g> \n</g>", "it is empty where g should be"),
    (TAGGED, AB, '<g name="a"></g><g name="b">y</g>', "it is empty where a should be"),
    (NUMBERED, AB, "1. (a)\n2. (b)", "it is empty where a, b should be"),
    (JSON, AB, '{"a": "x", "b": " "}', "it is empty where b should be"),
    # Another's answer, and numbers inside an answer.
    (NUMBERED, AB, "1. (b) y\n2. (a) x", "line 1 is for b, not a"),
    (NUMBERED, AB, "1. (a) x\n2. (b) y:\n1. p\n2. q", {"a": "x", "b": "y:\n1. p\n2. q"}),
    (NUMBERED, AB, "1. (a) x, see 2. below\n2. (b) y", {"a": "x, see 2. below", "b": "y"}),
    # Reasoning before the answer.
    (TAGGED, ONE, "It was 5, so\n1. east\n<g>x</g>", {"": "x"}),
    (NUMBERED, AB, "Plan:\n1. p\n2. q\n3. r\n\n1. x\n2. y", {"a": "x", "b": "y"}),
    (NUMBERED, AB, "1. x\n1. x\n2. y", {"a": "x", "b": "y"}),
    (TAGGED, ONE, "<think>Maybe <g>z</g>?</think><g>x</g>", {"": "x"}),
    (TAGGED, ONE, "<thinking>\n<g>z\n</thinking>\n<g>x</g>", {"": "x"}),
    (NUMBERED, AB, "<think>1. p\n2. q\n3. r</think>\n1. x\n2. y", {"a": "x", "b": "y"}),
    (JSON, ONE, '<think>{"output": "z"}</think>\n{"output": "x"}', {"": "x"}),
    (TEXT, ONE, "<think>Maybe z.</think>\n\nx", {"": "x"}),
    (TEXT, ONE, "<think>Maybe z.</think>", "it is empty where output should be"),
    (TEXT, ONE, "<think>x", "its reasoning never ended, so the answer is missing"),
    (TAGGED, ONE, "\n<think>So <g>x</g>", "its reasoning never ended, so the answer is missing"),
    (TAGGED, ONE, "<THINK>Maybe <g>z</g>?</THINK><g>x</g>", {"": "x"}),
    (JSON, ONE, '[THINK]{"output": "z"}[/THINK]{"output": "x"}', {"": "x"}),
    (TEXT, ONE, "<thought>Maybe z.</thought>x", {"": "x"}),
    # Reasoning whose opening tag the chat template wrote.
    (TAGGED, ONE, "Maybe <g>z</g>?</think><g>x</g>", {"": "x"}),
    (TAGGED, ONE, "Between <g> tags, so\n</think>\n\n<g>x</g>", {"": "x"}),
    (NUMBERED, AB, "1. p\n2. q\n3. r\n</think>\n\n1. x\n2. y", {"a": "x", "b": "y"}),
    (JSON, ONE, 'Maybe {"output": "z"}?</think>{"output": "x"}', {"": "x"}),
    (JSON, ONE, 'A { too many.</think>{"output": "x"}', {"": "x"}),
    (TEXT, ONE, "Maybe z.\n</think>\n\nx", {"": "x"}),
    (TEXT, ONE, "Maybe z.\n</think>", "it is empty where output should be"),
    (TAGGED, ONE, "Maybe <g>z</g>?</think> I cannot.", "<g> is missing"),
    (JSON, ONE, 'Maybe {"output": "z"}?</think> No.', f"{NO_JSON} ({NO_VALUE})"),
    # A text that speaks of thinking keeps what it says; instructions often do.
    (TAGGED, ONE, "<g>Use <think></think>.</g>", {"": "Use <think></think>."}),
    (NUMBERED, AB, "1. Use <think></think>.\n2. y", {"a": "Use <think></think>.", "b": "y"}),
    (JSON, ONE, '{"output": "Use <think></think>."}', {"": "Use <think></think>."}),
    (TEXT, ONE, "Use <think></think>.", {"": "Use <think></think>."}),
    (TAGGED, ONE, "<g>Think, then </think>.</g>", {"": "Think, then </think>."}),
    (NUMBERED, AB, "1. End with </think>.\n2. y", {"a": "End with </think>.", "b": "y"}),
    (JSON, ONE, '{"output": "Think, </think>."}', {"": "Think, </think>."}),
    (TEXT, ONE, "End with </think>.", {"": "End with </think>."}),
    # Names are no patterns; both kinds of quotes; blanks in the tag; tags of other names.
    (TAGGED, ("a.c",), '<g name="abc">x</g>', '<g name="a.c"> is missing'),
    (TAGGED, AB, "<g  name = 'a' >x</g><g name=\"b\">y</g>", {"a": "x", "b": "y"}),
    (TAGGED, ("a",), '<g name="c">z</g><g name="a">x</g><gradient>z</gradient>', {"a": "x"}),
    # The end of the reply is the end of the last text.
    (NUMBERED, AB, "1. x\n2. costs 7", {"a": "x", "b": "costs 7"}),
    (NUMBERED, AB, "1. x\n2. costs 7\n", {"a": "x", "b": "costs 7"}),
    (TAGGED, ONE, "<g>\ncosts 7</g>", {"": "costs 7"}),
    (TEXT, ONE, "costs 7", {"": "costs 7"}),
    # JSON in a fence, and JSON in JSON.
    (JSON, ONE, '```json\n{"output": "x"}\n```', {"": "x"}),
    (JSON, ONE, '```\n{"output": "x"}\n```', {"": "x"}),
    (JSON, ONE, '```JSON\n{"output": "x"}\n```\n\nLet me know!', {"": "x"}),
    (JSON, ONE, 'First {x}, then:\n~~~ json5\n{"output": "x"}\n~~~', {"": "x"}),
    (JSON, ONE, 'Two cases {a, "b:\n```\n{"output": "x"}\n```', {"": "x"}),
    (JSON, ONE, 'Here you go: {"output": "x"}', {"": "x"}),
    (JSON, ONE, 'For {"zone": "east"} it is {"output": "x"}.', {"": "x"}),
    (JSON, ONE, '{"output": "x"}\n{"output": "x"}', {"": "x"}),
    (JSON, ONE, '[{"output": "x"}]', {"": "x"}),
    (JSON, ONE, '\ufeff{"output": "x"}', {"": "x"}),
    (JSON, ONE, '{"output": "use {y} and }{"}, as asked', {"": "use {y} and }{"}),
    (JSON, ONE, '{"output": "Add,\nthen\tround"}', {"": "Add,\nthen\tround"}),
    (JSON, ONE, '{"output": 007}', NO_JSON_AT_7),
    (JSON, AB, '{"a": 7, "b": 1200.50}', {"a": "7", "b": "1200.50"}),
    # Not quite JSON: mended where only punctuation is wrong, not where words would be guessed.
    (JSON, ONE, '{"output": "x",}', {"": "x"}),
    (JSON, ONE, "So: {'output': 'x', 'reasoning': 'y'}", {"": "x"}),
    (JSON, ONE, '```\n{output: "x"}\n```', {"": "x"}),
    (JSON, ONE, '{"output": "Say "yes", then add"}', {"": 'Say "yes", then add'}),
    (JSON, ONE, r'{"output": "\( x \) \n and \u00e9"}', {"": "\\( x \\) \n and é"}),
    (JSON, AB, '{"a": "x" "b": "y"}', {"a": "x", "b": "y"}),
    (JSON, ONE, '{"output": "use "a": 1 and "b": 2."}', {"": 'use "a": 1 and "b": 2.'}),
    (JSON, ONE, '{"output": "use "a": 1, "b": 2"}', f"{NO_JSON} ({COMMA} 18 (char 17))"),
    (JSON, ONE, '{"output": "a" "b"}', f"{NO_JSON} ({COMMA} 16 (char 15))"),
    (JSON, ONE, "{'output': 'it's 7'}", f"{NO_JSON} ({KEY} 2 (char 1))"),
    (JSON, ONE, '{"output": "x" // the price\n}', f"{NO_JSON} ({COMMA} 16 (char 15))"),
    (JSON, ONE, "{'output': 'x', 'output': 'y'}", f"{NO_JSON} ({KEY} 2 (char 1))"),
    (JSON, ONE, "{'output': 'x', 'more': {'b': 1}", f"{NO_JSON} ({KEY} 2 (char 1))"),
    (JSON, ONE, r'{"output": "{\"x\": {\"y\": \"}\"}}"}', {"": '{"x": {"y": "}"}}'}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "names", "reply", "expected"),
    TRAPS,
    ids=[f"{form.format} {reply[:50]!r}" for form, _, reply, _ in TRAPS],
)
def test_traps(
    form: ReplyFormat, names: Sequence[str], reply: str, expected: Mapping[str, str] | str
) -> None:
    try:
        read: Mapping[str, str] | str = form.read(reply, names)
    except ReplyError as error:
        read = str(error)
    assert read == expected


@pytest.mark.parametrize(
    ("form", "reply"),
    [
        (JSON, "[" * 100_000),
        (JSON, '{"a": ' * 100_000),
        (NUMBERED, "1. x\n" + "1" * 5000 + ". y"),
        # Half of a surrogate pair is no text: it could be neither stored nor sent.
        (JSON, r'{"output": "\ud83d"}'),
        (ReplyFormat("tagged"), "<output>\ud83d</output>"),
    ],
    ids=["depth-list", "depth-object", "digits-line", "half-json", "half-tagged"],
)
def test_replies_that_break_parsers_are_refused_like_others(form: ReplyFormat, reply: str) -> None:
    with pytest.raises(ReplyError):
        form.read(reply, ("a", "b") if form == NUMBERED else ())


MEGABYTES = 5 * 2**20
LONG = {
    "braces": "{" * MEGABYTES,
    "pairs": "{}" * (MEGABYTES // 2),
    "brackets": "[" * MEGABYTES,
    "quotes": '{"' * (MEGABYTES // 2),
    "escaped": '{"' + r"\"" * (MEGABYTES // 2),
    "keys": "{" + ",".join(f'"k{i}": {i}' for i in range(MEGABYTES // 20)) + "}",
    "digits": '{"output": ' + "1" * MEGABYTES + "}",
    "lines": "1. x\n" * (MEGABYTES // 5),
    "openings": "<output>" * (MEGABYTES // 8),
    "closings": "<output>" + "</output>" * (MEGABYTES // 9),
    "names": '<output name="a' * (MEGABYTES // 15),
    "blanks": "<output" + " " * MEGABYTES,
    "line ends": "```" + "\n" * MEGABYTES,
    "fences": "```\n" * (MEGABYTES // 4),
    "thoughts": "<think></think>" * (MEGABYTES // 15),
    "opened": "<think>" * (MEGABYTES // 7),
    "closed": "</think>\n" * (MEGABYTES // 9),
    "words": "and so on " * (MEGABYTES // 10),
}
WORST = {
    name: text[:200_000] + "}" * text[:200_000].count("{")
    for name, text in LONG.items()
    if "{" in text
}


ALL_FORMS = (
    *(TEXT, NUMBERED, JSON, ReplyFormat("json", partial=True), ReplyFormat("tagged")),
    ReplyFormat("tagged", untagged="whole"),
    ReplyFormat("tagged", untagged="last_line", truncated="keep"),
)


def refused(form: ReplyFormat, reply: str, names: Sequence[str]) -> str:
    try:
        form.read(reply, names)
    except ReplyError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "reply", [*LONG.values(), *WORST.values()], ids=[*LONG, *map("{} closed".format, WORST)]
)
def test_long_replies_are_read_or_refused_in_time_and_a_short_message(reply: str) -> None:
    # Linear reading takes well below a second; what is quadratic takes hours.
    began = time.process_time()
    for form in ALL_FORMS:
        for names in ((), ("a", "b")):
            if form.accepts(names):
                assert len(refused(form, reply, names)) < 1000
    assert time.process_time() - began < 20


FENCED = [
    ("```\nAdd.\n```", "Add.", "Add."),
    ("```text\nAdd.\n```", "Say.", "Add."),
    ("```Add.```", "Say.", "Add."),
    ("~~~ md\nAdd `x`.\n\nThen.\n~~~", "Say.", "Add `x`.\n\nThen."),
    # A fence within the text is a part of it, and so is one that the text had before.
    ("Add:\n```\nx\n```", "Say.", "Add:\n```\nx\n```"),
    ("```a\nx\n```\nand\n```\ny\n```", "Say.", "```a\nx\n```\nand\n```\ny\n```"),
    ("```\nAdd.\n```", "```\nSay.\n```", "```\nAdd.\n```"),
    ("```\n```", "Say.", "```\n```"),
]


@pytest.mark.parametrize(("written", "current", "text"), FENCED)
def test_fence_around_a_rewrite_is_no_part_of_it(written: str, current: str, text: str) -> None:
    assert unfenced_like(written, current) == text


def test_formats_say_how_many_texts_they_carry() -> None:
    forms = {form.format: form for form in (TEXT, TAGGED, NUMBERED, JSON)}
    carries = {name: [form.accepts(n) for n in ((), ("a",), AB)] for name, form in forms.items()}
    assert carries == {
        "text": [True, False, False],
        "tagged": [True, True, True],
        "numbered": [False, True, True],
        "json": [True, True, True],
    }


def test_a_reply_is_read_with_work_in_proportion_to_its_names() -> None:
    """Counted are calls of functions: a pattern of its own for each name takes hundreds of them."""

    def work(number: int) -> int:
        names = [f"member_{i}" for i in range(number)]
        text = "".join(f'<g name="{name}">\nof {name}\n</g>\n' for name in names)
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        TAGGED.read(text, names)  # what is kept of a first time is there
        sys.setprofile(count)
        try:
            found = TAGGED.read(text, names)
        finally:
            sys.setprofile(None)
        assert found == {name: f"of {name}" for name in names}
        return calls

    assert work(800) < 9 * work(100)
