"""Each scorer against what models write; every row is an output, a target and its score."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sgdflow.data import scoring

OPTIONS = [
    ("(B)", "(B)", 1),
    ("(B)", "B", 1),
    ("B", "(B)", 1),
    ("b", "(B)", 1),
    ("(b)", "(B)", 1),
    ("B)", "(B)", 1),
    ("B.", "(B)", 1),
    ("**(B)**", "(B)", 1),
    ("**B**", "(B)", 1),
    ("[B]", "(B)", 1),
    ("(B) 05/01/2021", "(B)", 1),
    ("B) 05/01/2021", "(B)", 1),
    ("B. 05/01/2021", "(B)", 1),
    ("B: 05/01/2021", "(B)", 1),
    ("A", "(A)", 1),
    ("(A)", "(B)", 0),
    ("(C)", "(B)", 0),
    # marks
    ("The answer is (B).", "(B)", 1),
    ("The answer is B", "(B)", 1),
    ("the answer is b.", "(B)", 1),
    ("The answer is A", "(A)", 1),
    ("Answer: A, since it is", "(A)", 1),
    ("**Answer:** (B)", "(B)", 1),
    ("The correct option is B because of the date.", "(B)", 1),
    ("Best choice: B", "(B)", 1),
    ("(A) is too early and (C) too late. The answer is (B).", "(B)", 1),
    ("The answer is (B), not (A).", "(B)", 1),
    ("The answer is (A). Wait. The answer is (B).", "(B)", 1),
    ("$\\boxed{B}$", "(B)", 1),
    ("$\\boxed{\\text{(B)}}$", "(B)", 1),
    ("#### (B)", "(B)", 1),
    ("Answer: I think it is (B)", "(B)", 1),
    ("A: (B)", "(B)", 1),
    ("The answer is (A) or (B)", "(A)", 0),
    ("The answer is A/B.", "(A)", 0),
    ("The answer is (B), the second (B)", "(B)", 1),
    # letters that are words
    ("A dog is an animal", "(A)", 0),
    ("The answer is a dog", "(A)", 0),
    ("The answer is A dog", "(A)", 0),
    ("Answer: I do not know", "(I)", 0),
    ("The answer is I", "(I)", 1),
    ("A dog is meant, so (B)", "(B)", 1),
    ("the object(s) in f(b)", "(B)", 0),
    ("Vitamin B", "(B)", 0),
    ("The answer is X-ray", "(X)", 0),
    # several letters
    ("(A) and (B)", "(A)", 0),
    ("(A) and (B)", "(B)", 0),
    ("(A) fits, (B) does not", "(A)", 0),
    ("(A) is too early.\n(B) fits.\n\n(B)", "(B)", 1),
    ("(B)\n\n(A) is too early.", "(B)", 1),
    ("(A) is too early, I think.\nNot so the second:\n(B) 05/01/2021", "(B)", 1),
    ("(A) is wrong. (B) is correct. (C) is late.", "(B)", 1),
    ("(A) x\n(B) y\n(C) z", "(C)", 0),
    ("A) x\nB) y\nC) z", "(C)", 0),
    ("I take option B, as it fits.", "(B)", 1),
    (None, "(B)", 0),
    ("", "(B)", 0),
    ("05/01/2021", "(B)", 0),
]

YES_NO = [
    ("Yes", "Yes", 1),
    ("yes.", "Yes", 1),
    ("NO", "no", 1),
    ("**No**", "No", 1),
    ("'Yes'", "yes", 1),
    ("No", "Yes", 0),
    # the first word, the last word
    ("Yes, there is no doubt.", "Yes", 1),
    ("No, it is not a lie", "No", 1),
    ("There is no doubt: yes", "Yes", 1),
    ("I looked for proof and found none, so no.", "No", 1),
    ("No... on second thought, yes", "Yes", 0),
    ("No... on second thought, yes", "No", 0),
    ("Yes or no", "Yes", 0),
    ("Yes/No", "No", 0),
    # the middle
    ("My verdict: Yes. The speaker said otherwise before.", "Yes", 1),
    ("My verdict:\nNo\nThe speaker said so before.", "No", 1),
    ("There is no proof of it", "No", 0),
    ("One may say yes, or say no, as one likes", "Yes", 0),
    ("nothing known", "No", 0),
    # marks
    ("No proof exists. The answer is Yes.", "Yes", 1),
    ("Yes-men say so, but the final answer is: **No**", "No", 1),
    ("Answer: no because it is true", "No", 1),
    ("The answer is yes or no", "Yes", 0),
    ("The answer is open. No", "No", 1),
    ("", "No", 0),
    (None, "No", 0),
    ("true", "Yes", 0),
]

EXACT = [
    ("valid", "valid", 1),
    ("  Valid. ", "valid", 1),
    ("**valid**", "valid", 1),
    ('"valid"', "valid", 1),
    ("\u201cvalid\u201d.", "valid", 1),
    ("**`valid`.**", "valid", 1),
    ("new\n  york", "New York", 1),
    ("invalid", "valid", 0),
    ("The argument is valid", "valid", 0),
    ("Monsters, Inc", "Monsters, Inc", 1),
    ("007", "007", 1),
    ("7", "007", 0),
    ("5'", "5", 0),
    (".5", "5", 0),
    (True, "True", 1),
    ("true", True, 1),
    ("18", 18, 1),
    ("", ".", 0),
    (None, "valid", 0),
]

LIKE_TARGET = [
    ("I take (B) 05/01/2021", "(B)", 1),
    ("No. The way leads elsewhere", "No", 1),
    ("yes, plausible", "yes", 1),
    ("3 + 4 = 7", "7", 1),
    ("We get -1,234.", "-1234", 1),
    ("1080 eggs", "1,080", 1),
    ("18.0", 18, 1),
    ("True", "True", 1),
    ("The answer is True.", "True", 1),
    ("The answer is: **invalid**", "invalid", 1),
    ("$\\boxed{valid}$", "valid", 1),
    ("True", "False", 0),
    ("Monsters, Inc.", "Monsters, Inc", 1),
    ("Monsters Inc", "Monsters, Inc", 0),
    ("05/01/2021", "05/01/2021", 1),
    # brackets
    ("] ] >", "] ] >", 1),
    ("]]>", "] ] >", 1),
    ("`] ] >`", "] ] >", 1),
    ("The answer is ] ] >.", "] ] >", 1),
    ("$\\boxed{] }}$", "] }", 1),
    ("#### ] ] >", "] ] >", 1),
    ("] > ]", "] ] >", 0),
    ("< [ [ ] ] >", "] ] >", 0),
    # words
    ("barn damp dot", "barn damp dot", 1),
    ("Barn, damp, dot.", "barn damp dot", 1),
    ("barn\ndamp\ndot", "barn damp dot", 1),
    ("1. barn\n2. damp\n3. dot", "barn damp dot", 1),
    ("- barn\n- damp\n- dot", "barn damp dot", 1),
    ("The answer is:\nbarn\ndamp\ndot", "barn damp dot", 1),
    ("The answer is barn, damp, dot. They are sorted.", "barn damp dot", 1),
    ("it&t o\u2019connell r&d", "it&t o'connell r&d", 1),
    ("damp barn dot", "barn damp dot", 0),
    ("barn damp", "barn damp dot", 0),
    (None, "(B)", 0),
    (None, "] ]", 0),
    (None, "barn damp", 0),
    (None, "valid", 0),
    ("", 18, 0),
]


@pytest.mark.parametrize(("output", "target", "score"), OPTIONS)
def test_option(output: Any, target: Any, score: float) -> None:
    assert scoring.option(output, target) == score


@pytest.mark.parametrize(("output", "target", "score"), YES_NO)
def test_yes_no(output: Any, target: Any, score: float) -> None:
    assert scoring.yes_no(output, target) == score


@pytest.mark.parametrize(("output", "target", "score"), EXACT)
def test_exact(output: Any, target: Any, score: float) -> None:
    assert scoring.exact(output, target) == score


@pytest.mark.parametrize(("output", "target", "score"), LIKE_TARGET)
def test_like_target(output: Any, target: Any, score: float) -> None:
    assert scoring.like_target(output, target) == score


@pytest.mark.parametrize(
    ("scorer", "target", "message"),
    [
        ("number", "a lot", "target 'a lot' is not a number"),
        ("number", "3/4", "target '3/4' is not a number"),
        ("number", True, "target True is not a number"),
        ("number", float("nan"), "target nan is not a number"),
        ("number", None, "target None is not a text to compare with"),
        ("option", "Monsters, Inc", "target 'Monsters, Inc' is not an option letter such as '(B)'"),
        ("option", 2, "target 2 is not an option letter such as '(B)'"),
        ("yes_no", "maybe", "target 'maybe' is not 'yes' or 'no'"),
        ("yes_no", True, "target True is not 'yes' or 'no'"),
        ("exact", "  ", "target '  ' is not a text to compare with"),
        ("exact", ["valid"], "target ['valid'] is a list, not a text to compare with"),
        ("like_target", None, "target None is not a text to compare with"),
        ("like_target", float("inf"), "target inf is not a number"),
    ],
)
@pytest.mark.parametrize("output", ["18", None])
def test_unusable_target(scorer: str, target: Any, message: str, output: Any) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        getattr(scoring, scorer)(output, target)
    assert str(caught.value) == message


RUNS = """5_ 5+ 5, 1,111, . ( (A)_ A)_| | # ** __ no_ answer_ answer_to_ answer: \\frac{ 1._ 1._x|
' $ yes_no,| \\boxed{ e1 1/1/ may_1_ not_ 2021- B)_""".split()


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    "target", ["18", "(B)", "Yes", "valid", "a b", "] ]", "02134", True, "2021-05-01", "B) x"]
)
def test_degenerate_output_is_read_in_no_time(run: str, target: Any) -> None:
    piece = run.replace("_", " ").replace("|", "\n")
    started = time.perf_counter()
    assert scoring.like_target("x" + piece * 10_000 + "x", target) == 0
    assert time.perf_counter() - started < 2
