"""The job in Trace: calls are traced functions, and one call of OptoPrime rewrites everything.

Examples run forward as coroutines; whose library makes the calls of nodes is up to its user.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from job import FAILURES, FEEDBACK, INSTRUCTIONS, MODEL, QUESTIONS, Work, asked, measured


def prepare(url: str) -> Work:
    """Return the job."""
    os.environ |= {
        "TRACE_DEFAULT_LLM_BACKEND": "CustomLLM",
        "TRACE_CUSTOMLLM_MODEL": MODEL,
        "TRACE_CUSTOMLLM_URL": url,
        "TRACE_CUSTOMLLM_API_KEY": "none",
    }
    import openai
    from opto.optimizers import OptoPrime
    from opto.trace import bundle, node

    texts = {name: node(text, name=f"{name}_text", trainable=True) for name, text in
             INSTRUCTIONS.items()}  # fmt: skip
    optimizer = OptoPrime([*texts.values()])

    async def work() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

            @bundle()  # type: ignore[untyped-decorator, unused-ignore]
            async def ask(instruction: str, **values: str) -> Any:
                """Ask the model."""
                messages: list[Any] = [
                    {"role": "system", "content": instruction},
                    {"role": "user", "content": asked(values)},
                ]
                reply = await client.chat.completions.create(model=MODEL, messages=messages)
                return reply.choices[0].message.content

            async def forward(question: str) -> Any:
                hints = await asyncio.gather(
                    *(ask(texts[name], question=question) for name in ("hint_1", "hint_2"))
                )
                hint_1, hint_2 = hints
                return await ask(texts["answer"], question=question, hint_1=hint_1, hint_2=hint_2)

            answers = await asyncio.gather(*map(forward, QUESTIONS))
            optimizer.zero_feedback()
            for answer in answers[:FAILURES]:
                optimizer.backward(answer, FEEDBACK)
            optimizer.step()

    return lambda: asyncio.run(work())


measured(prepare)
