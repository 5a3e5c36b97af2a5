"""The job by hand on bare aiohttp: what no library can be much faster than."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from job import FAILURES, FEEDBACK, INSTRUCTIONS, MODEL, QUESTIONS, Work, asked, measured


def prepare(url: str) -> Work:
    """Return the job."""

    async def work() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def ask(system: str, said: str) -> str:
                messages = [
                    {"role": "system", "content": system},
                    {"role": "user", "content": said},
                ]
                body: dict[str, Any] = {"model": MODEL, "messages": messages, "temperature": 0}
                async with session.post(f"{url}/chat/completions", json=body) as answer:
                    text: str = (await answer.json())["choices"][0]["message"]["content"]
                    return text

            async def forward(question: str) -> dict[str, str]:
                hints = ("hint_1", "hint_2")
                found = await asyncio.gather(*(ask(INSTRUCTIONS[one], question) for one in hints))
                values = {"question": question, **dict(zip(hints, found, strict=True))}
                return values | {"answer": await ask(INSTRUCTIONS["answer"], asked(values))}

            passes = await asyncio.gather(*map(forward, QUESTIONS))
            wrong = (asked(one | {"feedback": FEEDBACK}) for one in passes[:FAILURES])
            gradients = await asyncio.gather(*(ask("What should change?", one) for one in wrong))
            evidence = "\n".join(gradients)
            rewrites = (
                ask("Improve this.", f"{text}\n{evidence}") for text in INSTRUCTIONS.values()
            )
            await asyncio.gather(*rewrites)

    return lambda: asyncio.run(work())


measured(prepare)
