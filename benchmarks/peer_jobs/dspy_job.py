"""The job in DSPy: a program of three predictors, scored by its own Evaluate in threads.

It has no backward pass. New texts are asked for as its COPRO asks for them, one a predictor.
"""

from __future__ import annotations

from typing import Any

from job import INSTRUCTIONS, MODEL, QUESTIONS, THREADS, Work, measured


def prepare(url: str) -> Work:
    """Return the job."""
    import dspy
    from dspy.teleprompt.copro_optimizer import GenerateInstructionGivenAttempts

    dspy.configure(lm=dspy.LM(f"openai/{MODEL}", api_base=url, api_key="none", cache=False))

    class Hints(dspy.Module):  # type: ignore[misc]
        """Two hints and an answer."""

        def __init__(self) -> None:
            super().__init__()
            for name, text in INSTRUCTIONS.items():
                fields = "question, hint_1, hint_2" if name == "answer" else "question"
                predict = dspy.Predict(dspy.Signature(f"{fields} -> {name}", text))
                setattr(self, f"say_{name}", predict)

        def forward(self, question: str) -> Any:
            """Answer."""
            hints = {
                name: getattr(getattr(self, f"say_{name}")(question=question), name)
                for name in ("hint_1", "hint_2")
            }
            return self.say_answer(question=question, **hints)

    examples = [dspy.Example(question=one).with_inputs("question") for one in QUESTIONS]
    program, ask = Hints(), dspy.Predict(GenerateInstructionGivenAttempts)

    def work() -> None:
        score = dspy.Evaluate(
            devset=examples, metric=lambda *_: 0.0, num_threads=THREADS, display_progress=False
        )
        score(program)
        for text in INSTRUCTIONS.values():
            ask(attempted_instructions=[f"Instruction: {text}", "Resulting Score: 0.9"])

    return work


measured(prepare)
