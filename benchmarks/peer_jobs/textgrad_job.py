"""The job in TextGrad: blackbox calls as a graph, a loss in words, textual gradient descent.

Examples run forward in threads, which is up to whoever uses it; backward and step are its own.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from tempfile import mkdtemp

from job import FAILURES, FEEDBACK, INSTRUCTIONS, MODEL, QUESTIONS, THREADS, Work, measured


def prepare(url: str) -> Work:
    """Return the job."""
    os.environ["XDG_CACHE_HOME"] = mkdtemp()  # it keeps replies on disk
    import textgrad as tg
    from openai import OpenAI
    from textgrad.autograd import FormattedLLMCall
    from textgrad.engine.local_model_openai_api import ChatExternalClient

    engine = ChatExternalClient(OpenAI(base_url=url, api_key="none"), MODEL)
    prompts = {
        name: tg.Variable(text, requires_grad=True, role_description=f"instruction of {name}")
        for name, text in INSTRUCTIONS.items()
    }
    calls = {
        name: FormattedLLMCall(
            engine,
            "\n".join(f"{field}: {{{field}}}" for field in fields),
            {field: None for field in fields},
            prompts[name],
        )
        for name, fields in {
            "hint_1": ["question"],
            "hint_2": ["question"],
            "answer": ["question", "hint_1", "hint_2"],
        }.items()
    }
    loss = tg.TextLoss(FEEDBACK, engine)

    def forward(question: str) -> tg.Variable:
        values = {
            "question": tg.Variable(question, requires_grad=False, role_description="question")
        }
        for name in ("hint_1", "hint_2"):
            values[name] = calls[name]({"question": values["question"]}, f"value of {name}")
        return calls["answer"](values, "the answer")

    def work() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            answers = [*pool.map(forward, QUESTIONS)]
        tg.sum([loss(one) for one in answers[:FAILURES]]).backward(engine)
        tg.TGD([*prompts.values()], engine=engine).step()

    return work


measured(prepare)
