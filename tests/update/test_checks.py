"""Texts that are of no use are refused before the gate, and others are not."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from sgdflow.errors import ReplyError
from sgdflow.update import Item
from sgdflow.update.checks import check_text

QUERY = "Is the following sentence plausible? 'Tom Brady scored a three pointer in overtime.'"
SHORT = "not ( True ) and ( False ) is"
BEFORE = "Solve the problem."


def item(**given: str) -> Item:
    return Item("1", "answer", given, "No", ())


SHOWN = (item(question=QUERY, hint_1="It is about basketball."), item(question=SHORT))


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("Name the sport of the person and that of the action; compare them.", None),
        # It speaks of what the member never sees.
        ("Use the feedback to compare sports.", 'says "the feedback"'),
        ("Correct what these gradients show: name the sport.", 'says "these gradients"'),
        ("Follow the gradients given.", 'says "the gradients"'),
        ("Name the sport, as in the examples above.", 'says "the examples above"'),
        ("Name the sport. Give feedback to the user in one line.", None),
        ("Based on feedback, name the sport.", 'says "Based on feedback"'),
        ("Address feedback that was missed: name the sport.", 'says "Address feedback"'),
        ("According to previous feedback, name the sport.", "never sees"),
        ("Name the sport. Use the previous feedback.", 'says "the previous feedback"'),
        ("Name the sport. Take its feedback into account.", 'says "Take its feedback"'),
        ("Name the sport. Use the critic\u2019s feedback.", "never sees"),
        ("Incorporate the critic's comments: name the sport.", 'says "the critic\'s comments"'),
        ("Follow the suggestions of the critic: name the sport.", "never sees"),
        ("Summarise the customer's feedback.", None),
        ("Based on the customer's feedback, name the sport.", None),
        ("Address feedback from the customer politely.", None),
        ("Summarise the feedback from patients.", None),
        ("Classify the feedback left by customers.", None),
        ("Use gradient descent to fit the line.", None),
        ("Summarise the recent feedback of users.", None),
        ("Use user feedback to rank the sports.", None),
        ("Quote the film critics' comments.", None),
        # It copies a query, whole or in a part; an invented example is welcome.
        (
            "Compare sports. Example: 'Tom Brady scored a three pointer in overtime.' is not.",
            "copies",
        ),
        (
            "Compare sports. Example: 'Mary Moe scored a home run in the ninth.' fits baseball.",
            None,
        ),
        ("First the parentheses. Example: not ( True ) and ( False ) is False.", "copies"),
        ("First the parentheses. Example: not ( False ) or False is True.", None),
        # It says nothing new.
        ("Solve the given problem carefully and give the correct answer.", "says no more"),
        ("Think step by step, then answer.", "says no more"),
        ("Determine the result.", "says no more"),
        ("Determine the answer to the question.", "says no more"),
        ("Analyze the problem and compute the correct solution.", "says no more"),
        (
            "Read the problem carefully, analyze it and provide the right answer.",
            "says no more",
        ),
        ("Resolve the task at hand.", "says no more"),
        ("Consider what is asked; you should arrive at the best possible answer.", "says no more"),
        # It says something in few words.
        ("Read the amounts from left to right and add them.", None),
        ("Read the question from right to left.", None),
        ("Determine the result to two digits.", None),
        ("Analyze the problem, compute the answer and round it.", None),
        ("Provide the answer in the hand of the child.", None),
        ("Do not give reasoning.", None),
        (BEFORE, None),  # that it is unchanged is seen elsewhere
    ],
)
def test_what_is_refused(text: str, refused: str | None) -> None:
    with nullcontext() if refused is None else pytest.raises(ReplyError, match=refused):
        check_text(text, BEFORE, SHOWN)


def test_what_stood_there_before_is_not_held_against_a_text() -> None:
    before = f"{BEFORE} Use the feedback. Example: {QUERY}"
    check_text(f"{before} Name the sport first.", before, SHOWN)


def test_a_refused_text_says_what_to_write_instead() -> None:
    told = []
    for text in ("Use the feedback.", f"Mind sports. {QUERY}", "Answer the problem."):
        with pytest.raises(ReplyError) as refused:
            check_text(text, BEFORE, SHOWN)
        told.append(str(refused.value).partition("; ")[2])
    assert told == [
        "state the rule itself",
        "use an example of your own or none",
        "put in the rules or steps that the failures lacked",
    ]


@pytest.mark.parametrize("text", ["Use the feedback.", "Mind the critic's comments."])
def test_a_predecessor_of_that_name_may_be_spoken_of(text: str) -> None:
    check_text(text, BEFORE, (item(feedback="Too long.", critic="Too short."),))
    with pytest.raises(ReplyError, match="never sees"):
        check_text(text, BEFORE, (item(f="Too long.", c="Too short."),))


STOOD = "Join what was filled in. Be quick. Never guess."


@pytest.mark.parametrize(
    "text",
    [
        "Join what was filled in. Never guess.",  # a sentence was cut, others kept
        "Join what was filled in.",
        "Join what was filled in. Be quick. Never guess. Red comes first.",
    ],
)
def test_a_cut_is_a_change_like_an_addition(text: str) -> None:
    check_text(text, STOOD, ())


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("Be quick. Never guess. Join what was filled in, step by step.", STOOD),
        ("Think carefully, and give the correct answer.", "Work out a hint that helps."),
        ("Join carefully what was filled in.", "Join what was filled in."),
    ],
)
def test_other_words_for_the_same_are_none(text: str, before: str) -> None:
    with pytest.raises(ReplyError, match="it says no more than the instruction"):
        check_text(text, before, ())


def test_another_worked_reply_is_a_change_without_a_new_word() -> None:
    reply = "Take 2 steps: now at 2. Turn left: still at 2. Take 1 step: now at 3."
    again = "Turn left: still at 2. Turn left: still at 2. Take 1 step: now at 1."
    check_text(f"Walk.\n{reply}\n{again}", f"Walk.\n{reply}\nTurn left: still at 1.", ())
