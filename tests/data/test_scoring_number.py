"""The number scorer against what models write: an output, a target and its score."""

from __future__ import annotations

from typing import Any

import pytest

from sgdflow.data import scoring

NUMBERS = [
    # plain forms
    ("18", "18", 1),
    ("18.", "18", 1),
    ("18.00", "18", 1),
    ("18", "18.0", 1),
    ("017", "17", 1),
    ("1,080", "1080", 1),
    ("1080", "1,080", 1),
    ("1{,}080", "1080", 1),
    ("1\\,080", "1080", 1),
    ("1\u202f080", "1080", 1),
    ("1,234,567.50", "1234567.5", 1),
    ("$18", "18", 1),
    ("€1,080.00", "1080", 1),
    ("18%", "18", 1),
    ("18km", "18", 1),
    (".5", "0.5", 1),
    ("1.8e1", "18", 1),
    ("**18**", "18", 1),
    ("_18_", "18", 1),
    ("Rs.500", "500", 1),
    ("19", "18", 0),
    ("1800", "18", 0),
    ("1.18", "18", 0),
    ("1234568", "1234567", 0),
    # signs
    ("-5", "-5", 1),
    ("\u22125", "-5", 1),
    ("-$5", "-5", 1),
    ("$-5", "-5", 1),
    ("5", "-5", 0),
    ("-5", "5", 0),
    ("- 5 apples", "5", 1),
    ("COVID-19", "19", 1),
    ("(2)-5 remains", "5", 1),
    # what is no number
    ("3/4", "4", 0),
    ("3/4", "3", 0),
    ("\\frac{3}{4}", "4", 0),
    ("3-4", "4", 0),
    ("3-4", "-4", 0),
    ("3\u20134 hours", "4", 0),
    ("5 + 3", "3", 0),
    ("$9 * $2", "2", 0),
    ("2021-05-01", "1", 0),
    ("H2O", "2", 0),
    ("eighteen", "18", 0),
    # the last number, or the one after the last equals sign of the last sentence
    ("She has 16 eggs and eats 3. She sells the rest for 26 dollars.", "26", 1),
    ("16 - 3 - 4 = 9 eggs. 9 * 2 = $18 every day.", "18", 1),
    ("3 * 2 = 6. So the total is 18.", "18", 1),
    ("Total = 18 dollars for 7 days.", "18", 1),
    ("x = 18", "18", 1),
    ("18 = 9 * 2", "18", 1),
    ("<<48+24=72>>72 clips", "72", 1),
    ("10 / 3 ≈ 3.33", "3.33", 1),
    ("It takes 3-4 steps, 20 in all", "20", 1),
    ("There are 4 balls. The probability is 3/4.", "4", 0),
    # marks
    ("The answer is 18.", "18", 1),
    ("The answer is 18 dollars for 9 eggs.", "18", 1),
    ("The answer is 9 * 2 = 18", "18", 1),
    ("The answer is 18. I checked it: 9 * 2 = 18 and 5 + 6 = 11.", "18", 1),
    ("The final answer to the question is: 18 (9 eggs)", "18", 1),
    ("**Answer:** 18\n\nThere were 9 eggs.", "18", 1),
    ("**Answer**: $18", "18", 1),
    ("Answer (in dollars): 18, not 20", "18", 1),
    ("Answer = 18, not 20", "18", 1),
    ("Answer:\n18\nExplanation: 9 eggs", "18", 1),
    ("#### 18\nThat is for 7 days", "18", 1),
    ("#### Step 1\n9 * 2 = 18", "18", 1),
    ("Thus $\\boxed{18}$ for 7 days", "18", 1),
    ("The answer is 12. Wait: 9 * 2 = 18. The answer is 18.", "18", 1),
    ("Answer: think. 16 - 3 = 13. Then 13 * 2 = 26.", "26", 1),
    ("The answer is 3/4", "3", 0),
    ("Let me answer this question: he is 5 and she is 6. Together 11", "11", 1),
    # numbering of lists
    ("The total is 18:\n1. add\n2. multiply", "18", 1),
    ("Answer:\n1. 18 eggs", "18", 1),
    ("1. Add 9 and 9 to get 18.\n2. Done.", "18", 1),
    ("1. That is all.", "1", 1),
    ("18. That is all.", "18", 1),
    # outputs that are no text
    (18, "18", 1),
    (18.0, 18, 1),
    (None, "18", 0),
    ("", "0", 0),
    (float("inf"), "0", 0),
]


@pytest.mark.parametrize(("output", "target", "score"), NUMBERS)
def test_number(output: Any, target: Any, score: float) -> None:
    assert scoring.number(output, target) == score
