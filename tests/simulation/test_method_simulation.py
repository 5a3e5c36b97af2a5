"""The simulated models understand the methods' prompts, and go by what those show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from simulated import Simulated, Watch

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import prepare
from sgdflow.descent import Descent
from sgdflow.executor.gradients import Gradient
from sgdflow.executor.places import View
from sgdflow.llm import Message
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.simulation.guesses import Guesses
from sgdflow.simulation.pieces import Seen
from sgdflow.simulation.reading import Critique, Line, Redesign, Rewrite, read
from sgdflow.simulation.worlds import reply
from sgdflow.update.evidence import Item
from sgdflow.update.prompt_views import examples

TAGGED = "# How to reply\n\nEnd with it between <{tag}> and </{tag}>, each written exactly once."


def ask(text: str, seed: int = 0) -> str:
    return reply([Message("user", text)], seed)


def variable(name: str, value: str) -> str:
    return f'<variable name="{name}">\n{value}\n</variable>\n'


WORK = [
    ({"order": "Zone: east.", "note": "urgent"}, "7", "Say more."),
    ({"order": "Zone: east.", "note": "two\nlines"}, "7", "Say more."),
    ({"order": "Zone: east.", "note": "urgent"}, "7", "Say more."),
    ({"order": "Zone: west.", "note": "`order`: none"}, "7", "Output: 8"),
    ({"order": "Zone: west.", "note": "long " * 100}, "one\nOutput: two", "Say\nless."),
]


def test_work_that_is_said_once_is_read_as_often_as_it_was_there() -> None:
    """What the prompt was made of is the oracle; a value that looks like a line is none."""
    items = [Item("1", "n", given, output, (Gradient("m", told),)) for given, output, told in WORK]
    variables = {
        **dict.fromkeys(("stands", "constraints", "lines", "attempts", "frames", "others"), ()),
        **dict.fromkeys(("critique", "cause", "about", "contrasts", "successes"), ""),
        "parameter": {"name": "n.instruction", "text": "Price it."},
        "members": [View("n", ("order",), (), {})],
        "examples": examples(items),
        "standing": None,
        "max_characters": None,
        "copies": 0,
        "reply": ReplyFormat("tagged", "improved").asking(),
    }
    prompts = Prompts(prompt_folders(Path("nowhere")))
    messages = prompts.messages("optimizer/rewrite.jinja", variables)
    prompt, _ = read(messages)
    assert isinstance(prompt, Rewrite)
    said = [
        Seen({name: value.strip() for name, value in given.items()}, output, (told,))
        for given, output, told in WORK
    ]
    assert sorted(map(repr, prompt.examples)) == sorted(map(repr, said))
    assert sum(message.content.count("Zone: east.") for message in messages) == 2


def program(runs: str) -> str:
    parameters = {
        "weight.instruction": "Price the weight of the order.",
        "zone.instruction": "Price the zone of the order. The zone east costs 7.",
        "desk.instruction": "Add up the prices of the parts.",
    }
    shown = "".join(f'<parameter name="{n}">\n{t}\n</parameter>\n' for n, t in parameters.items())
    form = json.dumps({name: "..." for name in ("reasoning", *parameters)})
    return (
        "# The program\n\nInputs: order\n"
        "`weight` = model(order; told weight.instruction)\n"
        "`zone` = model(order; told zone.instruction)\n"
        "`desk` = model(weight, zone; told desk.instruction)\n"
        f"Output: desk\n\n{shown}\n{runs}\n# How to reply\n\nOne JSON object:\n{form}"
    )


def run(weight: str, zone: str, output: int, expected: int) -> str:
    values = {"order": "Weight: heavy. Zone: east.", "weight": weight, "zone": zone}
    shown = "".join(variable(name, value) for name, value in values.items())
    feedback = f"<feedback>\nThe output is wrong. The expected answer is: {expected}\n</feedback>"
    return f"<example>\n{shown}<output>\n{output}\n</output>\n{feedback}\n</example>"


def test_a_whole_program_is_gone_through_backwards() -> None:
    assumed = "weight heavy: 10 (assumed: nothing is stated for weight heavy)"
    replies = [
        json.loads(ask(program(run(assumed, "zone east: 7", 17, 22)), seed)) for seed in range(9)
    ]
    assert all(set(found) == {"reasoning", "weight.instruction"} for found in replies)
    texts = [found["weight.instruction"] for found in replies]
    right = "Price the weight of the order. The weight heavy costs 15."
    assert max(texts, key=texts.count) == right  # a writer slips now and then


def test_a_program_is_read_with_its_fields() -> None:
    text = (
        "`triage` = model(ticket; told triage.instruction)\n"
        "`triage.department` = python department(triage)\n"
        "`draft` = model(ticket, triage.department; told nothing)\n"
        "Output: triage.department\n\n"
        '<parameter name="triage.instruction">\nDecide.\n</parameter>\n'
        '# How to reply\n\n{"triage.instruction": "...", "draft.instruction": "..."}'
    )
    prompt, _ = read([Message("user", text)])
    assert isinstance(prompt, Redesign)
    assert prompt.lines == (
        Line("triage", True, ("ticket",), ("triage.instruction",)),
        Line("triage.department", False, ("triage",), ()),
        Line("draft", True, ("ticket", "triage.department"), ()),
    )
    assert prompt.output == "triage.department"


def test_a_whole_program_that_is_not_settled_is_left_alone() -> None:
    unsure = "zone east: 10 (assumed: nothing is stated for zone east)"
    assumed = "weight heavy: 10 (assumed: nothing is stated for weight heavy)"
    assert set(json.loads(ask(program(run(assumed, unsure, 20, 22))))) == {"reasoning"}
    assert set(json.loads(ask(program("")))) == {"reasoning"}


@pytest.mark.parametrize(("output", "verdict"), [("19", "wrong"), ("22", "right")])
def test_an_evaluator_compares_and_says_what_was_expected(output: str, verdict: str) -> None:
    text = f"<output>\n{output}\n</output>\n<expected>\n22\n</expected>\n"
    said = ask(text + TAGGED.format(tag="feedback"))
    assert said == f"<feedback>The output is {verdict}. The expected answer is: 22</feedback>"


def gradient_of_the_instruction(feedback: str) -> str:
    text = (
        variable("order", "Weight: heavy. Zone: none.")
        + "<instruction>\nPrice the weight of the order.\n</instruction>\n"
        + "<output>\nweight heavy: 10 (assumed: nothing is stated for weight heavy)\n</output>\n"
        + f"<feedback>\n{feedback}\n</feedback>\n"
    )
    return ask(text + '# How to reply\n\n<gradient name="instruction">...</gradient>')


def test_an_instruction_gets_a_gradient_from_that_of_its_output() -> None:
    said = gradient_of_the_instruction("It should be 15 instead of 10.")
    assert "the weight heavy should be 15" in said
    said = gradient_of_the_instruction("Nothing should change: the total is right.")
    assert "Nothing should change" in said


def proposal(variant: int, attempts: Mapping[str, float]) -> str:
    tried = "".join(
        f'<attempt name="score {score}">\n{text}\n</attempt>\n' for text, score in attempts.items()
    )
    task = "Price the weight of the order."
    text = f'<parameter name="w">\n{task}\n</parameter>\n{tried}\nThis is proposal {variant}.\n'
    return ask(text + TAGGED.format(tag="improved"))


def test_without_feedback_a_writer_keeps_what_scored_better_and_guesses() -> None:
    attempts = {
        "Price the weight of the order. The weight light costs 3.": 0.1,
        "Price the weight of the order.": 0.2,
        "Price the weight of the order. The weight heavy costs 15.": 0.3,
    }
    written = [proposal(variant, attempts) for variant in range(1, 6)]
    assert written == [proposal(variant, attempts) for variant in range(1, 6)]
    assert len(set(written)) > 1
    assert all("The weight heavy costs 15." in text for text in written)
    assert all("light costs 3." not in text for text in written)
    assert all(text.count("costs") == 2 for text in written)


def test_a_critic_without_a_subject_says_once_what_several_say() -> None:
    """Through ten layers of ten nodes its gradients would else be 10^10 times as long."""
    said = "It is wrong. The expected answer is: 7"
    lengths = []
    for _ in range(60):
        seen = Seen({"a": "?", "b": "?"}, "?", (said,) * 10)
        told = Guesses().critique(Critique("", seen, ("a", "b")))
        assert told is not None
        assert told["a"] == told["b"]
        said = told["a"]
        lengths.append(len(said))
    assert lengths[0] == len("It should lead elsewhere. It is wrong. The expected answer is: 7")
    assert lengths[-1] < 600
    both = Guesses().critique(Critique("", Seen({}, "?", ("One.", "Two.", "One.")), ("a",)))
    assert both == {"a": "It should lead elsewhere. One. Two."}


def test_prompts_for_weak_writers_are_understood_as_the_long_ones_are() -> None:
    """The long words are the oracle: what they teach, in so many calls, the short ones do."""
    prompts = Prompts(prompt_folders(Path(__file__).parent))
    made = {}
    for words in ("full", "short"):
        given = ["graph=desk", "task=tariff", "tracking=none", "seed=0", "method.stop.steps=2"]
        ready, llm = prepare(compose([*given, f"method.words={words}"]), prompts, {}), Simulated()
        result = asyncio.run(Descent(ready.problem, ready.method, llm, Watch()).run(ready.start))
        made[words] = result.parameters, len(llm.requests)
        asked = [one.messages[-1].content for one in llm.requests if one.role != "forward"]
        short = [text.startswith("Reply in exactly this form") for text in asked]
        assert asked
        assert set(short) == {words == "short"}
    assert made["short"] == made["full"]
    assert "costs" in str(made["full"][0])
