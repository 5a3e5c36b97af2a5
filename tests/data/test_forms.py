"""How the targets of a whole task are taken, and what is right under each taken."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from sgdflow.data import scoring
from sgdflow.data.scoring import any_of, like_target

LETTERS = ["A", "B", "C", "D"]
DAY = datetime.date(2021, 5, 1)

# Targets of a task; what is said of them; outputs for the first target with their scores.
TASKS: dict[str, tuple[list[Any], str, list[tuple[Any, float]]]] = {
    "decimals as text": (
        ["3.5", "45.00", "-2.5", "1,200.5"],
        "4 numbers",
        [("3.50", 1), ("The answer is 3.5 metres.", 1), ("7 / 2 = 3.5", 1), ("3", 0), ("35", 0)],
    ),
    "two decimals": (["45.00", "3"], "2 numbers", [("45", 1), ("$45.00", 1), ("45.01", 0)]),
    "negative": (["-2.5"], "1 number", [("-2.5", 1), ("\u22122.50", 1), ("2.5", 0)]),
    "thousands": (["1,200.5"], "1 number", [("1200.5", 1), ("$1,200.50", 1), ("1,200", 0)]),
    "numbers of JSON": ([42.0, 3, 1e3], "3 numbers", [("42", 1), ("42.0", 1), ("43", 0)]),
    "database decimals": (
        [Decimal("45.00"), Decimal("1E+2")],
        "2 numbers",
        [("45", 1), (Decimal("45.0"), 1), (45.0, 1), ("4500", 0)],
    ),
    "money and percent": (["$18", "7%"], "2 numbers", [("18 dollars", 1), ("17", 0)]),
    "long numbers differ in the last digit": (
        ["12345678901", 12345678902],
        "2 numbers",
        [("12345678901", 1), ("12,345,678,901", 1), ("12345678902", 0)],
    ),
    "tiny numbers": (["6.6e-34"], "1 number", [("6.6e-34", 1), ("0", 0), ("6.7e-34", 0)]),
    "leading zeros": (
        ["02134", "10001"],
        "2 codes with leading zeros",
        [("02134", 1), ("The ZIP code is 02134.", 1), ("2134", 0), ("002134", 0)],
    ),
    "agents": (["007", "9"], "2 codes with leading zeros", [("007", 1), ("7", 0), ("0007", 0)]),
    "bare letters": (
        ["B", *LETTERS],
        "5 option letters",
        [
            ("(B)", 1),
            ("Option B", 1),
            ("B) Paris", 1),
            ("**B**", 1),
            ("b", 1),
            ("The answer is B.", 1),
            ("(A)", 0),
            ("Bologna", 0),
        ],
    ),
    "letters in brackets": (["(B)", "(A)"], "2 option letters", [("B", 1), ("C", 0)]),
    "bold letters": (["**B**", "**A**"], "2 option letters", [("(B)", 1), ("A", 0)]),
    "options in words": (["Option B", "Option A"], "2 option letters", [("B", 1), ("A", 0)]),
    "options with their texts": (
        ["B) Paris", "A) Rome"],
        "2 option letters",
        [("B", 1), ("(B) Paris", 1), ("Paris", 1), ("A) Paris", 0), ("Rome", 0)],
    ),
    "lower-case options": (["b", "a"], "2 option letters", [("b) Paris", 1), ("a) Rome", 0)]),
    "yes and no": (["Yes", "no"], "2 yes or no", [("yes, plausible", 1), ("No", 0), ("true", 0)]),
    "Y and N": (["Y", "N"], "2 yes or no", [("Y", 1), ("yes", 1), ("N", 0), ("no", 0)]),
    "truth values": (
        [True, False],
        "2 true or false",
        [("True", 1), ("yes", 1), ("It is true.", 1), ("not true", 0), ("false", 0), (True, 1)],
    ),
    "false": (
        [False],
        "1 true or false",
        [("false", 1), ("No", 1), ("That is not true.", 1), ("It isn't true", 1), ("True", 0)],
    ),
    "TRUE of a spreadsheet": (["TRUE", "FALSE"], "2 true or false", [("true", 1), ("No", 0)]),
    "T and F": (["T", "F"], "2 true or false", [("T", 1), ("True", 1), ("F", 0), ("False", 0)]),
    "yes beside true": (["yes", True], "2 true or false", [("true", 1), ("no", 0)]),
    "dates": (
        ["2021-05-01", "2021-12-25"],
        "2 dates",
        [
            ("May 1, 2021", 1),
            ("It was on the 1st of May 2021.", 1),
            ("2021/5/1", 1),
            ("05/01/2021", 1),
            ("01.05.2021", 1),
            ("2021-05-02", 0),
            ("May 2021", 0),
            ("From 2021-01-01 on? No. The answer is: 1 May 2021, a Saturday", 1),
        ],
    ),
    "dates of a database": (
        [DAY, datetime.datetime(2021, 5, 1), "2021-05-01 00:00:00", "2021-05-01T00:00:00Z"],
        "4 dates",
        [("May 1, 2021", 1), ("2021-05-01", 1), (DAY, 1), ("2021-06-01", 0)],
    ),
    "dates with the day first": (
        ["01/05/2021", "25/12/2021"],
        "2 dates, day first: 05/01 is January 5",
        [("1 May 2021", 1), ("2021-05-01", 1), ("01/05/2021", 1), ("2021-01-05", 0)],
    ),
    "dates with the month first": (
        ["05/01/2021", "12/25/2021"],
        "2 dates, month first: 05/01 is May 1",
        [("1 May 2021", 1), ("05/01/2021", 1), ("01/05/2021", 0)],
    ),
    "times of day are texts": (
        [datetime.datetime(2021, 5, 1, 12, 30)],
        "1 text",
        [("2021-05-01 12:30:00", 1), ("2021-05-01", 0)],
    ),
    "texts": (["Paris", "the sum 4"], "2 texts", [("paris.", 1), ("The answer is: Paris", 1)]),
}
UNSURE: dict[str, tuple[list[Any], str, list[tuple[Any, float]]]] = {
    "a few numbers among texts": (
        ["1987", "Paris", "Rome", "the Seine"],
        "1 looks like a number, 3 are text: taken as text",
        [("1987", 1), ("In the year 1987", 0), ("1,987", 0)],
    ),
    "a gap among numbers": (
        ["18", "21", "unknown"],
        "2 numbers; 1 other ('unknown') is compared as text",
        [("18.0", 1), ("The answer is: 18 eggs.", 1), ("17", 0), ("unknown", 0)],
    ),
    "titles among options": (
        ["Monsters, Inc", "(B)", "(C)", "Up", "(A)"],
        "3 option letters; 2 others (the first: 'Monsters, Inc') are compared as text",
        [("Monsters, Inc.", 1), ("(B)", 0), ("The answer is Monsters, Inc", 1)],
    ),
    "options beside a title": (
        ["(B)", "Monsters, Inc", "(C)"],
        "2 option letters; 1 other ('Monsters, Inc') is compared as text",
        [("B", 1), ("Option B", 1), ("(A)", 0)],
    ),
    "letters for true and false beside a text": (
        ["T", "F", "T", "F", "T", "unclear from the text"],
        "5 true or false; 1 other ('unclear from the text') is compared as text",
        [("True", 1), ("The statement is false.", 0), ("t", 1), ("false", 0)],
    ),
    "letters for yes and no beside a text": (
        ["n", "Y", "N", "unclear"],
        "3 yes or no; 1 other ('unclear') is compared as text",
        [("No, it is not.", 1), ("n", 1), ("Yes", 0), ("unclear", 0)],
    ),
    "numbers and letters": (
        ["7", "8", "B"],
        "2 numbers; 1 other ('B') is compared as text",
        [("7", 1), ("7.0", 1)],
    ),
    "a code and a decimal": (
        ["007", "1.5"],
        "1 code with leading zeros; 1 other ('1.5') is compared as text",
        [("007", 1), ("7", 0)],
    ),
    "many forms": (
        ["7", "B", "yes", "2021-05-01", "Paris"],
        "1 looks like a number, 1 like an option letter, 1 like yes or no, 1 like a date, 1 is "
        "text: taken as text",
        [("7", 1), ("7.0", 0)],
    ),
    "decimal commas": (
        ["0,5", "12,25", "3"],
        "2 look like numbers with a decimal comma (write a point), 1 like a number: taken as text",
        [("0,5", 1), ("0.5", 0)],
    ),
    "dates both ways": (
        ["25/12/2021", "12/25/2021"],
        "2 dates, with the day first in some and the month in others: taken as text",
        [("25/12/2021", 1), ("2021-12-25", 0)],
    ),
    "dates that could be read both ways": (
        ["05/01/2021"],
        "1 date, month first: 05/01 is May 1",
        [("1 May 2021", 1), ("5 January 2021", 0)],
    ),
}
ANY_OF: dict[str, tuple[list[Any], str, list[tuple[Any, float]]]] = {
    "acceptable answers": (
        [["New York", "NYC"], ["Rome"]],
        "2 lists of acceptable answers: 3 texts",
        [("NYC", 1), ("the answer is New York.", 1), ("Rome", 0), ("", 0)],
    ),
    "acceptable numbers": (
        [[4, 4.5], 5],
        "2 lists of acceptable answers: 3 numbers",
        [("4.50", 1), ("It is 4", 1), ("5", 0)],
    ),
    "a list as JSON in a field": (
        ['["Paris", "Lutetia"]', '["Rome"]'],
        "2 lists of acceptable answers: 3 texts",
        [("Lutetia", 1), ("Rome", 0)],
    ),
}


@pytest.mark.parametrize("task", [*TASKS, *UNSURE])
def test_all_targets_of_a_task_are_taken_in_one_way(task: str) -> None:
    targets, said, outputs = {**TASKS, **UNSURE}[task]
    taken = like_target.take(targets)
    assert (taken.said, taken.unsure) == (said, task in UNSURE)
    scores = [(output, taken.score(output, targets[0])) for output, _ in outputs]
    assert scores == outputs
    assert scoring.tried(taken.score, targets) == {}
    for target in targets:
        assert taken.score(target, target) == 1


@pytest.mark.parametrize("task", ANY_OF)
def test_one_of_several_acceptable_answers_is_enough(task: str) -> None:
    targets, said, outputs = ANY_OF[task]
    taken = any_of.take(targets)
    assert (taken.said, taken.unsure) == (said, False)
    assert [(output, taken.score(output, targets[0])) for output, _ in outputs] == outputs
    assert any_of(outputs[0][0], targets[0]) == 1


def test_a_decision_is_the_tasks_not_the_rows() -> None:
    """2134 alone is a number; among codes it is one of them."""
    assert like_target("02134", "2134") == 1
    assert like_target.take(["2134", "02134"]).score("02134", "2134") == 0
    assert like_target("In 1987", "1987") == 1
    assert like_target.take(["1987", "Paris", "Rome"]).score("In 1987", "1987") == 0


UNUSABLE = [
    ("code", "12a", "target '12a' is not a code of digits such as '02134'"),
    ("true_false", "maybe", "target 'maybe' is not true or false"),
    ("true_false", 1, "target 1 is not true or false"),
    ("date", "2021-02-30", "target '2021-02-30' is not a date such as '2021-05-01'"),
    ("date", "soon", "target 'soon' is not a date such as '2021-05-01'"),
    ("number", Decimal("NaN"), "target Decimal('NaN') is not a number"),
    ("any_of", [], "target [] holds no acceptable answer"),
    ("any_of", [[]], "target [] is a list, not a text to compare with"),
    ("text", {"a": 1}, "target {'a': 1} is not a text to compare with"),
    ("like_target", ["a", "b"], "target ['a', 'b'] is a list, not a text to compare with"),
]


@pytest.mark.parametrize(("scorer", "target", "message"), UNUSABLE)
def test_targets_are_tried_before_there_is_an_output(
    scorer: str, target: Any, message: str
) -> None:
    assert scoring.tried(scoring.SCORERS[scorer], ["2", target]).get(1) == message


def test_a_long_target_is_shown_by_its_beginning() -> None:
    told = scoring.tried(scoring.number, ["x" * 10_000])[0]
    assert told.startswith("target 'xxx")
    assert len(told) < 140


@pytest.mark.parametrize(
    ("output", "day_first", "score"),
    [("05/01/2021", None, 1), ("01/05/2021", True, 1), ("01/05/2021", False, 0)],
)
def test_who_declares_the_order_of_dates_is_followed(
    output: str, day_first: bool | None, score: float
) -> None:
    assert scoring.date(output, "2021-05-01", day_first=day_first) == score
