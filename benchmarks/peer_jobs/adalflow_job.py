"""The job in AdalFlow: three generators, a loss of a function, its textual gradient descent.

Examples run forward in threads, as its trainer runs them; backward and proposals are its own.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from tempfile import mkdtemp
from typing import Any

from job import FAILURES, FEEDBACK, INSTRUCTIONS, MODEL, QUESTIONS, THREADS, Work, measured

_TEMPLATE = "<SYS>{{instruction}}</SYS>{{question}} {{hint_1}} {{hint_2}}"


def prepare(url: str) -> Work:
    """Return the job."""
    os.environ["HOME"] = mkdtemp()  # it keeps replies and logs there
    import adalflow as adal
    from adalflow.components.model_client import OpenAIClient
    from adalflow.core.generator import BackwardEngine
    from adalflow.optim.parameter import ParameterType

    client = OpenAIClient(base_url=url, api_key="none")
    engine = {"model_client": client, "model_kwargs": {"model": MODEL}}
    texts = {
        name: adal.Parameter(data=text, name=f"{name}_text", role_desc=f"instruction of {name}",
                             requires_opt=True, param_type=ParameterType.PROMPT)
        for name, text in INSTRUCTIONS.items()
    }  # fmt: skip
    nodes = {
        name: adal.Generator(
            **engine, template=_TEMPLATE, prompt_kwargs={"instruction": text}, use_cache=False,
            name=name,
        )
        for name, text in texts.items()
    }  # fmt: skip
    backward = BackwardEngine(**engine, use_cache=False)
    loss = adal.EvalFnToTextLoss(lambda y: 0.0, FEEDBACK, backward_engine=backward)
    for one in nodes.values():
        one.set_backward_engine(backward)
        one.train()
    optimizer = adal.TGDOptimizer(params=[*texts.values()], **engine)

    def forward(numbered: tuple[int, str]) -> Any:
        number, question = numbered
        said: dict[str, Any] = {"question": question}
        for name in ("hint_1", "hint_2"):
            said[name] = nodes[name].forward({"question": question}, id=str(number))
            said[name].data_in_prompt = lambda hint: hint.data.raw_response
        return nodes["answer"].forward(said, id=str(number))

    def work() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            answers = [*pool.map(forward, enumerate(QUESTIONS))]
        for number, answer in enumerate(answers[:FAILURES]):
            answer.eval_input = answer.data.raw_response
            loss.forward({"y": answer}, id=str(number)).backward()
        optimizer.propose()
        optimizer.step()

    return work


measured(prepare)
