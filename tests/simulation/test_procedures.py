"""The procedures world: rules in plain words, slips, critics and writers, real questions."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from sgdflow.llm import Message
from sgdflow.simulation.model import answer
from sgdflow.simulation.procedures import FAMILIES, Procedures
from sgdflow.simulation.procedures.question import Question, same
from sgdflow.simulation.procedures.rules import stated
from sgdflow.simulation.procedures.situation import asks_for_step, expected_answer

RULES = {rule.name: rule for family in FAMILIES for rule in family.rules}
WORLDS = [Procedures()]
STEP = "Work out an intermediate step that helps solve the problem."
SOLVE = "Solve the problem."

PHRASINGS = {
    "second_letter": """
        If two words share the first letter, compare the second letters.
        When initials are equal, look at the next letter.
        Where the first letter is the same, the second letter decides.
        For equal first letters use the second letter to sort.
        Words starting alike must be ranked by letter two.
    """,
    "all_letters": """
        Compare the words letter by letter until they differ.
        Compare all letters of the words.
        Look past the first letter: the remaining letters decide the order.
        Keep comparing letter after letter.
        When the first letters tie, move on to the subsequent letters.
    """,
    "every_word": """
        Make sure that every word of the list appears in the answer.
        Do not leave out any word.
        Keep all words in the answer.
        All words must be in the answer.
        Don't lose any words from the list.
    """,
    "brackets_first": """
        Evaluate expressions in brackets before anything else.
        Parentheses come first.
        Simplify the content of the parentheses before the rest.
        Brackets take priority: evaluate them first.
        Solve the innermost brackets before the outer ones.
    """,
    "not_next": """
        `not` binds tighter than `and` and `or`.
        Apply every not before and and or.
        The operator not only affects the operand directly after it.
        Not is applied only to the operand immediately after it.
        The not operator takes precedence over the others.
    """,
    "every_not": """
        A double negation gives back the same value.
        `not not X` is the same as X.
        Pairs of nots cancel.
        An even number of nots changes nothing.
        Repeated nots cancel in pairs.
    """,
    "and_before_or": """
        Evaluate `and` before `or`.
        `and` binds tighter than `or`.
        And operations are done before or operations.
        Do the ands before the ors.
        The and operator is stronger than or.
    """,
    "multiply_first": """
        Multiplication comes before addition and subtraction.
        Do all multiplications first.
        Products are computed before sums and differences.
        Carry out multiplications before additions and subtractions.
        Multiplying comes first, adding later.
    """,
    "take_away_negative": """
        Minus a negative number means plus.
        Two minus signs in a row make a plus.
        Subtracting a negative is adding.
        To subtract a negative number, add its opposite positive number.
        Subtracting minus four equals adding four.
    """,
    "sign_of_product": """
        Multiplying two negatives gives a positive result.
        A negative times a negative is positive.
        The product of two negatives is a positive number.
        If you multiply two negative numbers, the result is positive.
        Negative times negative gives positive.
    """,
    "quantities": """
        Three apples count as three.
        Add the numbers of the items.
        Use the quantity of each entry, so two lamps are two.
        Respect the quantities: four stoves are four objects.
        Every entry counts with its stated number.
    """,
    "only_asked": """
        Count only the items that belong to the category in question.
        Ignore everything else than the things asked about.
        Disregard objects of another category.
        Count nothing but the things of the kind asked about.
        Only include items belonging to the category.
    """,
    "last_entry": """
        Don't forget the last item of the list.
        Include the final item.
        Remember to count the last thing in the list.
        Make sure the final item is counted.
        The last element has to be included as well.
    """,
    "backward": """
        Subtract steps backward from steps forward.
        Moving backward is the opposite of moving forward.
        Count backward steps as negative steps.
        Going backward reverses going forward.
        Steps backward are negative forward steps.
    """,
    "sideways": """
        Left and right steps are sideways.
        Count steps to the left and right separately.
        Movements to the left and right are a separate axis.
        Left and right are a second axis.
        Treat left and right steps separately from forward and backward ones.
    """,
    "turn_around": """
        'Turn around' means that you face the opposite direction.
        To turn around is a turn of 180 degrees.
        A turn around means facing backwards.
        When you turn around, your direction flips.
        Turning around is a half turn.
    """,
    "turns": """
        After turning left or right you walk in a new direction.
        Keep track of the direction you are facing after each turn.
        Turning right or left alters the direction you face.
        When turning right or left, adjust the direction in which you move.
        A left turn rotates your heading by a quarter.
    """,
    "innermost": """
        Close the brackets in reverse order.
        Close the innermost bracket first.
        Close them in the opposite order of opening: brackets opened late come first.
        Always close the last opened bracket first.
        Reverse the order of opening when you close the brackets.
    """,
    "all_open": """
        Close all open brackets.
        Go on until no bracket is left open.
        Keep closing until nothing is left open.
        Close all of the brackets that are still open.
        Every open bracket must get its closing bracket.
    """,
    "angle": """
        Angle brackets count as brackets too.
        Treat < and > as brackets.
        Also match the angle brackets.
        Angle brackets must be closed as well.
        < and > have to be matched like the other brackets.
    """,
    "accusing_a_liar": """
        Whoever says of a liar that he lies tells the truth.
        If someone says that a liar lies, that person is truthful.
        Someone who accuses a liar of lying is telling the truth.
        Calling a liar a liar is honest.
        Whoever says that a lying person lies is telling the truth.
    """,
    "accusing_the_honest": """
        Whoever says of a truthful person that she lies is a liar.
        Accusing an honest person makes one a liar.
        If X says that Y lies although Y tells the truth, X lies.
        Calling a truthful person a liar is a lie.
        A person who says that an honest person lies is lying.
    """,
    "praising_a_liar": """
        Whoever says that a liar tells the truth is lying.
        If somebody claims that a liar is honest, that person lies.
        If X says that Y tells the truth but Y lies, X lies too.
        Saying of a liar that he is truthful is a lie.
        A person who says that a lying person tells the truth is lying.
    """,
    "in_turn": """
        Apply the swaps one after the other.
        Follow the swaps in order.
        Process swaps sequentially.
        Execute the swaps in sequence.
        Do the trades one by one, updating who has what.
    """,
    "bystanders": """
        People who are not part of a swap keep what they have.
        A swap affects only the two people named.
        Whoever is not named in a swap holds on to what they have.
        People not named in a swap keep their things.
        Everybody else keeps what they have when two people swap.
    """,
    "both_sides": """
        A swap goes both ways.
        In each swap, each person gets what the other one had.
        Both partners of a swap exchange their objects.
        Both persons in a swap change what they hold.
        A trade works in both directions.
    """,
    "gap_between": """
        Check for gaps between the sightings.
        Find free time between two events.
        Look for unaccounted time between consecutive sightings.
        Look at gaps between consecutive sightings.
        Between two sightings there may be a free hour.
    """,
    "gap_after": """
        The time after the last sighting until the place closed may be free.
        Check the time between the last sighting and closing time.
        The person may also have gone between the last sighting and the closing time.
        Consider the hours between the last sighting and closing.
        The visit may fall after the last sighting and before the place shuts.
    """,
    "gap_before": """
        The time between waking up and the first sighting may be free.
        Check the time before the first sighting.
        Do not forget the period from waking up until the first sighting.
        Consider the hours between waking up and the first sighting.
        The visit may fall before the first sighting.
    """,
}

SAYS_NO_RULE = """
    Solve the problem.
    Work out an intermediate step that helps solve the problem.
    Let's think step by step.
    Be careful and check your answer before you give it.
    Answer with the option letter only.
    Answer Yes or No.
    Sort the words alphabetically.
    Count the number of objects.
    Count the objects and give the number.
    Evaluate the boolean expression and answer True or False.
    Compute the value of the expression.
    Follow the instructions and decide whether you return to the starting point.
    Close the brackets properly.
    Complete the sequence with closing brackets.
    Decide who tells the truth and who lies.
    Find out whether the last person tells the truth.
    Track the objects and say who has what at the end.
    Read the question twice, and think before you write or answer.
    You are a helpful assistant who tells the truth, and you never lie.
    Write a second letter to the editor.
    First read the question, then answer it.
    It does not matter how long it takes.
    Do not multiply before adding.
    There is no need to compare the second letters.
    Never close the innermost bracket first.
    Ignore turns left and right; they do not change the direction.
    Take your time; a good answer is worth the wait.
    Give the result of the calculation, then stop.
    Use the hints of the other members.
    Say between what times the person could have gone.
    Add a short explanation after the answer.
    Multiply your efforts and add some care.
    Open the brackets and close the door.
    The answer is a number, positive or negative.
    Explain each step in order.
    Keep your answer short.
    Write the final answer on the last line.
    Never swap the order of your sentences.
    Return only the final answer and nothing else.
    Do not forget to answer.
    Trust no one and double check everything twice.
    The list may contain several words.
    The expression may contain not, and, or.
    There may be parentheses in the expression.
    The first letter matters.
    People swap objects.
    People say of each other that they lie or tell the truth.
    Somebody woke up and went somewhere before it closed.
    Do not compare the second letters.
    Second letters are not compared.
    Angle brackets do not count as brackets.
    The signs < and > are not a pair.
    Turning around does not reverse the direction.
    Steps backward do not undo steps forward.
    Multiplication is not done before addition.
    And is not evaluated before or.
    The product of two negative numbers is not positive.
    Who calls a liar a liar does not tell the truth.
    The last entry does not count.
    Who takes no part in a swap does not keep what he holds.
    Swaps are not carried out in turn.
    Do not add up the quantities.
    You need not close every open bracket.
    The bracket opened last is not closed first.
    Two nots in a row do not cancel each other out.
    It is wrong that a not applies only to the next value.
    Forget about the order of operations.
    There is no need to count the words.
    A turn to the left does not change the direction of the steps.
    Words need not be compared letter by letter.
"""

SORT = "Sort the following words alphabetically: List: "
OBJECTS = "I have a drum, two cats, a flute, three violins, and a piano. "
NAVIGATE = "If you follow these instructions, do you return to the starting point? "
YES_NO = "\nOptions:\n- Yes\n- No"
DYCK = (
    "Complete the rest of the sequence, making sure that the parentheses are closed properly. "
    "Input: "
)
LIES = "Question: Ann {}. Bob says Ann {}. Cat says Bob {}. Does Cat tell the truth?"
SWAPS = (
    "Alice, Bob, and Claire are playing a game. At the start of the game, they are each holding a "
    "ball: Alice has a red ball, Bob has a blue ball, and Claire has a green ball.\n"
    "As the game progresses, pairs of players trade balls. First, Alice and Bob swap balls. Then, "
    "Bob and Claire swap balls. Finally, Alice and Bob swap balls. At the end of the game, {} has "
    "the\nOptions:\n(A) red ball\n(B) blue ball\n(C) green ball"
)
DAY = (
    "Today, Tim went to the park. Between what times could they have gone?\nWe know that:\n"
    "Tim woke up at {}am.\nAnn saw Tim reading from 8am to 11am.\n"
    "Bob saw Tim running from {} to 3pm.\nThe park was closed after {}pm.\n"
    "Between what times could Tim have gone to the park?\n"
    "Options:\n(A) 8am to 11am\n(B) 11am to 1pm\n(C) 3pm to 6pm\n(D) 6am to 8am"
)
TRUE, FALSE = "tells the truth", "lies"

# A question, the rules told ("+" for all of the family) and the answer worked out by hand.
WORKED = [
    (SORT + "pear apple avocado aardvark", "", "apple avocado aardvark pear"),
    (SORT + "pear apple avocado aardvark", "second_letter", "aardvark apple avocado pear"),
    (SORT + "able abbey abacus", "second_letter", "able abbey abacus"),
    (SORT + "able abbey abacus", "all_letters", "abacus abbey able"),
    (SORT + "i h g f e d c b a", "", "b c d e f g h i"),
    (SORT + "i h g f e d c b a", "every_word", "a b c d e f g h i"),
    ("True or True and False is", "", "False"),
    ("True or True and False is", "and_before_or", "True"),
    ("not False and False is", "", "True"),
    ("not False and False is", "not_next", "False"),
    ("not not True is", "not_next", "False"),
    ("not not True is", "not_next every_not", "True"),
    ("False and ( False or True ) is", "", "True"),
    ("False and ( False or True ) is", "brackets_first", "False"),
    ("((2 + 3 * 4) + (1 + 0)) =", "", "21"),
    ("((2 + 3 * 4) + (1 + 0)) =", "multiply_first", "15"),
    ("((9 - -4) + (1 + 0)) =", "", "6"),
    ("((9 - -4) + (1 + 0)) =", "take_away_negative", "14"),
    ("((-3 * -2) + (1 + 0)) =", "", "-5"),
    ("((-3 * -2) + (1 + 0)) =", "sign_of_product", "7"),
    (OBJECTS + "How many musical instruments do I have?", "", "4"),
    (OBJECTS + "How many musical instruments do I have?", "last_entry", "5"),
    (OBJECTS + "How many musical instruments do I have?", "quantities", "7"),
    (OBJECTS + "How many musical instruments do I have?", "quantities only_asked", "5"),
    (OBJECTS + "How many musical instruments do I have?", "+", "6"),
    (OBJECTS + "How many objects do I have?", "+", "8"),
    (NAVIGATE + "Take 2 steps forward. Take 2 steps backward." + YES_NO, "", "No"),
    (NAVIGATE + "Take 2 steps forward. Take 2 steps backward." + YES_NO, "backward", "Yes"),
    (NAVIGATE + "Always face forward. Take 2 steps left. Take 2 steps right.", "", "No"),
    (NAVIGATE + "Always face forward. Take 2 steps left. Take 2 steps right.", "sideways", "Yes"),
    (NAVIGATE + "Take 8 steps. Turn around. Take 8 steps." + YES_NO, "turns", "No"),
    (NAVIGATE + "Take 8 steps. Turn around. Take 8 steps." + YES_NO, "turn_around", "Yes"),
    (NAVIGATE + "Take 1 step. Turn left. Turn left. Take 1 step." + YES_NO, "", "No"),
    (NAVIGATE + "Take 1 step. Turn left. Turn left. Take 1 step." + YES_NO, "turns", "Yes"),
    (DYCK + "{ [", "", "} ]"),
    (DYCK + "{ [", "innermost", "] }"),
    (DYCK + "{ [ (", "innermost", ") ]"),
    (DYCK + "{ [ (", "innermost all_open", ") ] }"),
    (DYCK + "[ < ( )", "innermost", "]"),
    (DYCK + "[ < ( )", "innermost angle", "> ]"),
    (DYCK + "< ( )", "", "nothing"),
    (LIES.format(FALSE, TRUE, TRUE), "", "Yes"),
    (LIES.format(FALSE, TRUE, TRUE), "praising_a_liar", "No"),
    (LIES.format(FALSE, TRUE, FALSE), "", "No"),
    (LIES.format(FALSE, TRUE, FALSE), "accusing_a_liar", "Yes"),
    (LIES.format(TRUE, TRUE, FALSE), "", "Yes"),
    (LIES.format(TRUE, TRUE, FALSE), "accusing_the_honest", "No"),
    (SWAPS.format("Alice"), "", "(A)"),
    (SWAPS.format("Alice"), "in_turn", "(C)"),
    (SWAPS.format("Bob"), "in_turn", "(C)"),
    (SWAPS.format("Bob"), "both_sides", "(B)"),
    (SWAPS.format("Claire"), "", "(C)"),
    (SWAPS.format("Claire"), "bystanders", "(A)"),
    (DAY.format(8, "1pm", 3), "", "(A)"),
    (DAY.format(8, "1pm", 3), "gap_between", "(B)"),
    (DAY.format(8, "11am", 6), "gap_between", "(A)"),
    (DAY.format(8, "11am", 6), "gap_after", "(C)"),
    (DAY.format(6, "11am", 3), "gap_before", "(D)"),
]


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def understand(question: str) -> Question:
    return next(found for family in FAMILIES if (found := family.read(question)))


def section(tag: str, body: str, name: str = "") -> str:
    return f"<{tag}{f' name={json.dumps(name)}' if name else ''}>\n{body}\n</{tag}>\n"


def ask(body: str, tag: str, names: Sequence[str] = ()) -> list[Message]:
    wanted = "".join(f'\n<{tag} name="{name}">...</{tag}>' for name in names)
    form = wanted or f"End with the reply between <{tag}> and </{tag}>, written exactly once."
    return [Message("system", "Work."), Message("user", f"{body}\n# How to reply\n\n{form}\n")]


def given(variables: Mapping[str, str]) -> str:
    return "".join(section("variable", value, name) for name, value in variables.items())


def reply(messages: list[Message], tag: str) -> str:
    text = answer(WORLDS, messages)
    assert text.startswith(f"<{tag}>")
    return text.removeprefix(f"<{tag}>").removesuffix(f"</{tag}>")


def work(instruction: str, **variables: str) -> str:
    body = given(variables) + section("instruction", instruction)
    return reply(ask(body, "output"), "output")


def criticise(
    variables: Mapping[str, str],
    output: str,
    feedback: str,
    targets: Sequence[str] = ("hint_1", "hint_2"),
    instruction: str = SOLVE,
) -> dict[str, str]:
    body = section("instruction", instruction) + given(variables)
    body += section("output", output) + section("feedback", feedback)
    text = answer(WORLDS, ask(body, "gradient", targets))
    found = {}
    for name in targets:
        _, _, rest = text.partition(f'<gradient name="{name}">')
        found[name] = rest.partition("</gradient>")[0]
    return found


def rewrite(text: str, *examples: tuple[Mapping[str, str], str, str | None]) -> str:
    body = section("parameter", text, "hint")
    for variables, output, feedback in examples:
        told = section("feedback", feedback) if feedback is not None else ""
        body += section("example", given(variables) + section("output", output) + told)
    return reply(ask(body, "improved"), "improved")


def wrong(target: str) -> str:
    return f"The output is wrong. The expected answer is: {target}"


def rules_in(*texts: str) -> set[str]:
    return set(stated(RULES.values(), *texts))


# What counts as telling a rule


@pytest.mark.parametrize("name", RULES)
def test_own_sentence_states_this_rule_alone(name: str) -> None:
    assert rules_in(RULES[name].sentence) == {name}
    assert rules_in(f"It should remind the member that {RULES[name].clause}.") == {name}


@pytest.mark.parametrize(
    ("name", "phrasing"), [(n, line) for n, text in PHRASINGS.items() for line in lines(text)]
)
def test_other_phrasings_state_this_rule_alone(name: str, phrasing: str) -> None:
    assert rules_in(phrasing) == {name}
    assert rules_in(f"{SOLVE} {phrasing.upper()}\nAnswer briefly.") == {name}


def test_every_rule_has_phrasings() -> None:
    assert list(PHRASINGS) == list(RULES)
    assert all(len(lines(text)) >= 3 for text in PHRASINGS.values())


@pytest.mark.parametrize("text", lines(SAYS_NO_RULE))
def test_chatter_and_denials_state_no_rule(text: str) -> None:
    assert rules_in(text) == set()


@pytest.mark.parametrize("question", sorted({question for question, _, _ in WORKED}))
def test_rules_of_other_families_do_not_change_the_answer(question: str) -> None:
    rules = understand(question).rules
    foreign = [rule.sentence for rule in RULES.values() if rule not in rules]
    assert work(" ".join([SOLVE, *foreign]), question=question) == work(SOLVE, question=question)


@pytest.mark.parametrize(
    ("instruction", "step"),
    [
        (STEP, True),
        ("Give a hint.", True),
        ("State an intermediate result. Do not answer yet.", True),
        ("Say what to watch out for, without solving the problem.", True),
        ("Provide useful advice for whoever solves this.", True),
        (SOLVE, False),
        ("Give the answer, using the hints.", False),
        ("Answer the question. The hints may help.", False),
        ("Work through it step by step and give the final answer.", False),
        ("Do not answer with more than one word.", False),
    ],
)
def test_step_or_answer(instruction: str, step: bool) -> None:
    every_rule = " ".join(rule.sentence for rule in RULES.values())
    assert asks_for_step(instruction) is step
    assert asks_for_step(f"{instruction} {every_rule}") is step


# Workers


@pytest.mark.parametrize(("question", "told", "expected"), WORKED)
def test_worker_slips_until_told(question: str, told: str, expected: str) -> None:
    rules = understand(question).rules
    names = [rule.name for rule in rules] if told == "+" else told.split()
    instruction = " ".join([SOLVE, *(RULES[name].sentence for name in names)])
    assert work(instruction, question=question) == expected


def test_a_hint_that_reminds_counts_as_told() -> None:
    question = SORT + "pear apple avocado aardvark"
    hint = work(f"{STEP} If initials tie, compare the second letters.", question=question)
    assert rules_in(hint) == {"second_letter"}
    assert "pear" in hint
    solved = work(SOLVE, question=question, hint_1=hint, hint_2="Take your time.")
    assert solved == "aardvark apple avocado pear"


def test_a_hint_invents_no_rule_and_keeps_to_the_question() -> None:
    question = SORT + "pear apple fig"
    assert rules_in(work(STEP, question=question)) == set()
    told = f"{STEP} {RULES['second_letter'].sentence} {RULES['innermost'].sentence}"
    assert rules_in(work(told, question=question)) == set(), "no two words share a letter here"


def test_hints_pass_hints_on() -> None:
    question = "True or True and False is"
    first = work(f"{STEP} Evaluate `and` before `or`.", question=question)
    second = work(STEP, question=question, step_1_1=first)
    assert work(SOLVE, question=question, step_2_1=second) == "True"


@pytest.mark.parametrize(
    "question",
    [
        "What is the capital of France?",
        "True",
        "True False is",
        "not is",
        "( True is",
        "2 + 2",
        "(2 + ) =",
        "(2 + 2 =",
        "(" * 5000 + "2" + ")" * 5000 + " =",
        "I have several cats. How many animals do I have?",
        NAVIGATE + "Jump.",
        "Question: Ann lies. Bob says Cat lies. Does Bob tell the truth?",
        "",
    ],
)
def test_other_questions_are_left_to_others(question: str) -> None:
    assert "Nothing can be said" in work(SOLVE, question=question)


# Critics


def test_critic_asks_one_target_for_the_missing_rule() -> None:
    variables = {
        "question": "True or True and False is",
        "hint_1": "Truth values: 3.",
        "hint_2": "-",
    }
    told = criticise(variables, "False", wrong("True"))
    assert sorted(len(rules_in(text)) for text in told.values()) == [0, 1]
    assert rules_in(*told.values()) == {"and_before_or"}
    asked = next(text for text in told.values() if rules_in(text))
    assert "the output is True instead of False" in asked


def test_critic_leaves_the_question_alone() -> None:
    variables = {"question": "True or True and False is", "hint_1": "-"}
    told = criticise(variables, "False", wrong("True"), ["question", "hint_1"])
    assert "Nothing should change" in told["question"]
    assert rules_in(told["hint_1"]) == {"and_before_or"}


def test_critic_divides_several_rules_between_the_targets() -> None:
    question = DYCK + "{ [ < ("
    told = criticise({"question": question, "hint_1": "-", "hint_2": "-"}, "} ]", wrong(") > ] }"))
    assert rules_in(told["hint_1"]) == {"innermost", "angle"}
    assert rules_in(told["hint_2"]) == {"all_open"}
    alone = criticise({"question": question, "hint_1": "-"}, "} ]", wrong(") > ] }"), ["hint_1"])
    assert rules_in(alone["hint_1"]) == {"innermost", "angle", "all_open"}


def test_critic_does_not_ask_for_what_a_neighbor_or_the_instruction_states() -> None:
    variables = {"question": DYCK + "{ [ < (", "hint_1": "-", "hint_2": RULES["angle"].sentence}
    told = criticise(variables, "} ]", wrong(") > ] }"))
    assert rules_in(*told.values()) == {"innermost", "all_open"}
    told = criticise(variables, "} ]", wrong(") > ] }"), instruction=RULES["all_open"].sentence)
    assert rules_in(*told.values()) == set(), "this output does not come from what was told"
    output = work(RULES["all_open"].sentence, **variables)
    told = criticise(variables, output, wrong(") > ] }"), instruction=RULES["all_open"].sentence)
    assert rules_in(*told.values()) == {"innermost"}


def test_critic_without_the_question_can_only_repeat_what_was_expected() -> None:
    told = criticise({"hint_1": "Truth values: 3."}, "False", wrong("True"), ["hint_1"])
    assert told["hint_1"].startswith("The output should have been True.")
    assert rules_in(told["hint_1"]) == set()
    assert expected_answer([told["hint_1"]]) is None


def test_orders_of_words_show_some_rules_without_the_question() -> None:
    hint = {"hint_1": "By initial: a has able, abbey."}
    told = criticise(hint, "able abbey", wrong("abbey able"), ["hint_1"])
    assert rules_in(told["hint_1"]) == {"all_letters"}
    told = criticise(hint, "apple aardvark", wrong("aardvark apple fig"), ["hint_1"])
    assert rules_in(told["hint_1"]) == {"second_letter", "every_word"}


@pytest.mark.parametrize(
    ("output", "feedback"),
    [
        ("False", "The output is right. The expected answer is: False"),
        ("False", "The output is wrong. The expected answer is: False"),
        ("False", "The output is wrong."),
        ("True", wrong("True")),
        ("maybe", wrong("True")),
        ("False", wrong("(B)")),
    ],
)
def test_critic_asks_for_nothing_where_no_slip_explains_it(output: str, feedback: str) -> None:
    variables = {"question": "True or True and False is", "hint_1": "-", "hint_2": "-"}
    told = criticise(variables, output, feedback)
    assert rules_in(*told.values()) == set()
    assert all(told.values())


def test_critic_does_not_side_with_an_expected_answer_that_does_not_follow() -> None:
    variables = {"question": "True and not not False is", "hint_1": "-", "hint_2": "-"}
    assert work(SOLVE, **variables) == "True"
    assert rules_in(*criticise(variables, "True", wrong("False")).values())
    variables["hint_1"] = " ".join(RULES[n].sentence for n in ("every_not", "not_next"))
    assert rules_in(*criticise(variables, "False", wrong("True")).values()) == set()


def test_critic_passes_on_what_a_successor_asks_for() -> None:
    variables = {"question": "True or True and False is", "step_1_1": "-", "step_1_2": "-"}
    feedback = f"It should remind the member that {RULES['and_before_or'].clause}."
    told = criticise(variables, "Truth values: 3.", feedback, ["step_1_1", "step_1_2"], STEP)
    assert rules_in(*told.values()) == {"and_before_or"}
    assert [len(rules_in(text)) for text in told.values()].count(1) == 1


# Writers


def test_writer_puts_in_the_rule_that_a_gradient_names() -> None:
    gradient = "It should say: if two words share the first letter, compare the second letters."
    example = ({"question": SORT + "b a"}, "By initial: a has a, b has b.", gradient)
    new = rewrite(STEP, example)
    assert new.startswith(STEP)
    assert rules_in(new) == {"second_letter"}
    assert rewrite(new, example) == new
    worded = f"{STEP} Sort by the first two letters of each word."
    assert rewrite(worded, example) == worded


def test_writer_finds_the_slip_itself_from_the_loss() -> None:
    variables = {"question": "True or True and False is", "hint_1": "-"}
    assert rules_in(rewrite(SOLVE, (variables, "False", wrong("True")))) == {"and_before_or"}
    variables["hint_1"] = RULES["and_before_or"].sentence
    assert rewrite(SOLVE, (variables, "True", wrong("True"))) == SOLVE


@pytest.mark.parametrize(
    "feedback", [None, "", "Be better.", "The output is wrong.", wrong("False")]
)
def test_writer_without_ground_keeps_the_text(feedback: str | None) -> None:
    variables = {"question": "True or True and False is"}
    assert rewrite(SOLVE, (variables, "False", feedback)) == SOLVE


def test_feedback_of_another_example_does_not_help() -> None:
    one = {"question": "((2 + 3 * 4) + (1 + 0)) ="}
    other = {"question": "((9 - -4) + (1 + 0)) ="}
    assert rules_in(rewrite(SOLVE, (one, "21", wrong("15")), (other, "6", wrong("14"))))
    assert rewrite(SOLVE, (one, "21", wrong("14")), (other, "6", wrong("15"))) == SOLVE


def test_writer_adds_the_two_best_supported_rules() -> None:
    example = {"question": "((2 + 3 * 4) + (1 + 0)) ="}
    named = [RULES[n].sentence for n in ("multiply_first", "take_away_negative", "sign_of_product")]
    everything = (example, "Numbers in the expression: 2.", " ".join(named))
    last = (example, "Numbers in the expression: 2.", named[2])
    assert rules_in(rewrite(STEP, everything)) == {"multiply_first", "take_away_negative"}
    assert rules_in(rewrite(STEP, everything, last)) == {"multiply_first", "sign_of_product"}
    assert rewrite(STEP, last, everything) == rewrite(STEP, everything, last)


def test_writer_leaves_other_subjects_to_others() -> None:
    example = ({"order": "3 kg to zone 2"}, "12", RULES["angle"].sentence)
    assert rewrite("Price the order.", example) == "Price the order."


def test_a_few_rewrites_lead_to_the_right_answer() -> None:
    question, target, text = DYCK + "{ [ < (", ") > ] }", SOLVE
    outputs = []
    for _ in range(3):
        outputs.append(work(text, question=question))
        text = rewrite(text, ({"question": question}, outputs[-1], wrong(target)))
    assert outputs[0] != target
    assert outputs[-1] == target


# All of them


def prompts() -> list[list[Message]]:
    asked = [
        ask(given({"question": question}) + section("instruction", text), "output")
        for question, _, _ in WORKED
        for text in (SOLVE, STEP, " ".join(lines(PHRASINGS["second_letter"])))
    ]
    for question, _, expected in WORKED:
        output = understand(question).answer(frozenset())
        shown = given({"question": question, "hint": "-"}) + section("output", output)
        shown += section("feedback", wrong(expected))
        asked.append(ask(section("instruction", SOLVE) + shown, "gradient", ["hint"]))
        asked.append(ask(section("parameter", SOLVE, "p") + section("example", shown), "improved"))
    return asked


def test_the_same_text_gets_the_same_reply_in_any_order() -> None:
    asked = prompts()
    first = [answer(WORLDS, messages) for messages in asked]
    order = list(range(len(asked)))
    random.Random(1).shuffle(order)
    again = {i: answer([Procedures()], asked[i]) for i in order}
    assert [again[i] for i in range(len(asked))] == first


def test_a_reply_takes_about_a_millisecond() -> None:
    asked = prompts()
    for messages in asked:
        answer(WORLDS, messages)
    start = time.perf_counter()
    for messages in asked:
        answer(WORLDS, messages)
    assert (time.perf_counter() - start) / len(asked) < 0.005


def test_long_texts_are_read_in_time() -> None:
    long = "turn left and close every bracket then say " * 300 + "say " * 2000
    start = time.perf_counter()
    work(f"{SOLVE} {long}", question=SORT + "b a", hint=long)
    work(f"{SOLVE} {long}", question=LIES.format(TRUE, TRUE, TRUE), hint=long)
    assert time.perf_counter() - start < 5


# Real questions

DATA = Path(os.environ.get("SGDFLOW_DATA", Path(__file__).parents[3] / "shared" / "data")) / "bbh"
TASKS = [
    "word_sorting",
    "boolean_expressions",
    "multistep_arithmetic_two",
    "object_counting",
    "navigate",
    "dyck_languages",
    "web_of_lies",
    "tracking_shuffled_objects_three_objects",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "temporal_sequences",
]


@pytest.mark.parametrize("task", TASKS)
def test_real_questions(task: str) -> None:
    path = DATA / f"{task}.json"
    if not path.is_file():
        pytest.skip("the real questions are not here")
    examples = json.loads(path.read_text(encoding="utf-8"))["examples"]
    questions = [understand(example["input"]) for example in examples]
    targets = [example["target"] for example in examples]
    untold = [question.answer(frozenset()) for question in questions]
    right = sum(map(same, untold, targets)) / len(targets)
    assert 0.05 < right < 0.75
    assert sum(map(same, (q.solution() for q in questions), targets)) / len(targets) >= 0.95
    for question, example in zip(questions, examples, strict=True):
        assert rules_in(question.step) == set(), "a step states no rule"
        assert not any(family.read(question.step) for family in FAMILIES)
        assert expected_answer([question.step]) is None
        found = question.missing(frozenset(), question.answer(frozenset()), example["target"])
        told = frozenset(rule.name for rule in found)
        assert same(question.answer(told), example["target"])
