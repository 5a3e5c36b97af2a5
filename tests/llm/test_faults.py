"""Faults over HTTP, each alone and all mixed: what is tried again, asked again, told, counted."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sgdflow.config.compose import compose
from sgdflow.config.paths import prompt_folders
from sgdflow.config.prepare import Prepared, prepare
from sgdflow.errors import NodeFailed, NoResult
from sgdflow.llm import Message, Spent, Usage
from sgdflow.llm.client import Client, Limits, ModelSpec
from sgdflow.llm.forms import instead_of_text, text_of
from sgdflow.prompting.ask import Ask
from sgdflow.prompting.replies import ReplyFormat
from sgdflow.prompting.templates import Prompts
from sgdflow.records import RunFolder
from sgdflow.runs.run import optimise
from sgdflow.simulation.server import Faults, create_app, running
from sgdflow.simulation.worlds import reply as worlds
from sgdflow.tracking import NullTracker

pytestmark = pytest.mark.usefixtures("transport")

SAID = "It is 42."
PROMPTS = Prompts(prompt_folders(Path("nowhere")))


@dataclass(frozen=True)
class First(Faults):
    """Strikes the first calls."""

    kind: str = "ok"
    times: int = 1
    seen: list[bytes] = field(default_factory=list)

    def draw(self, body: bytes, attempt: int) -> str | None:
        self.seen.append(body)
        return self.kind if len(self.seen) <= self.times else None


def served(
    use: Callable[[str, AsyncExitStack], Awaitable[Any]],
    faults: Faults,
    reply: Callable[[Sequence[Message], int], str] = lambda messages, seed: (
        f"<output>{SAID}</output>"
    ),
) -> Any:
    async def main() -> Any:
        app = create_app(reply, faults=faults)
        async with running(app) as url, AsyncExitStack() as stack:
            return await use(url, stack)

    return asyncio.run(main())


def struck(kind: str, times: int) -> tuple[Any, Spent, First]:
    """Make one exchange whose first calls are struck; return what came of it and what it took."""
    faults = First({"any": 1.0}, kind=kind, times=times)

    async def use(url: str, stack: AsyncExitStack) -> tuple[Any, Spent]:
        spec = ModelSpec("openai/worlds", url, None, {"temperature": 0})
        # Where no call may be late, none has to be fast on a busy machine.
        timeout = 0.3 if kind in ("hang", "slow") else 10.0
        limits = Limits(timeout=timeout, retries=2, backoff=0.001)
        llm = await stack.enter_async_context(Client({"forward": spec}, limits, {}))
        ask = Ask(PROMPTS, "forward/node.jinja", "forward", ReplyFormat("tagged"))
        variables = {
            "system": "",
            "predecessors": [],
            "parameters": {"instruction": "What is six times seven?"},
        }
        try:
            found: Any = await ask.send(llm, "answer", variables)
        except NodeFailed as error:
            found = error
        return found, llm.spent()["forward"]

    return (*served(use, faults), faults)


@pytest.fixture(scope="module", autouse=True)
def warm(transport: str) -> None:
    """Import litellm, where it is the way, and make its first call, which take seconds."""
    struck("ok", 0)


RETRIED = {
    "429": "rate_limit", "429-after": "rate_limit", "500": "server", "503": "server",
    "reset": "connection", "cut": "connection", "hang": "timeout", "slow": "timeout",
    "nonjson": "bad_reply", "emptybody": "bad_reply", "empty": "empty",
}  # fmt: skip


@pytest.mark.parametrize("kind", RETRIED)
def test_what_may_be_better_the_next_time_is_tried_again(kind: str) -> None:
    found, spent, faults = struck(kind, 1)
    assert found.texts == {"": SAID}
    assert (len(faults.seen), spent.calls, spent.faults) == (2, 2, {RETRIED[kind]: 1})
    assert faults.seen[0] == faults.seen[1]
    assert found.call.malformed == ()


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("length", "it was cut off at the token limit"),
        ("untagged", "<output> is missing"),
        ("twice", "<output> stands 2 times; write it exactly once"),
    ],
)
def test_what_cannot_be_read_is_asked_for_again_with_the_reason(kind: str, says: str) -> None:
    found, spent, faults = struck(kind, 1)
    assert found.texts == {"": SAID}
    assert found.call.malformed == (says,)
    assert (spent.calls, spent.faults) == (2, {"malformed": 1})
    first, again = (json.loads(body)["messages"] for body in faults.seen)
    assert again[: len(first)] == first
    assert [message["role"] for message in again[len(first) :]] == ["assistant", "user"]
    assert says in again[-1]["content"]
    failed, spent, _ = struck(kind, 99)
    assert str(failed) == f"3 replies of the forward model could not be used: {says}"
    assert (spent.calls, spent.faults) == (3, {"malformed": 2})


SAYS = {
    "refusal": 'the model refused ("I cannot help with that"). Look at this node',
    "reasoning": "it sent reasoning and no text. Have its server part reasoning from text",
    "tool": 'it called a tool where a text was asked for ("calculator"). Nothing offers it tools',
}


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("filter", "content_filter"),
        ("filtered", "content_filter"),
        ("refusal", "refusal"),
        ("reasoning", "reasoning_only"),
        ("tool", "tool_call"),
        ("context", "context_window"),
    ],
)
def test_what_will_be_the_same_the_next_time_is_told_at_once(kind: str, why: str) -> None:
    failed, spent, _ = struck(kind, 99)
    assert isinstance(failed, NodeFailed)
    assert "in 1 attempt: " in str(failed)
    assert SAYS.get(kind, "") in str(failed)
    assert (spent.calls, spent.faults) == (1, {why: 1})


@pytest.mark.parametrize("kind", ["usage", "nousage", "textusage", "wordusage"])
def test_wrong_numbers_of_tokens_spoil_no_reply(kind: str) -> None:
    found, spent, _ = struck(kind, 1)
    assert found.texts == {"": SAID}
    true = struck("ok", 0)[1]
    assert spent.calls == 1
    # Where the provider's cannot be, they are estimated, which the simulated models do too.
    assert spent.usage == true.usage != Usage()
    assert spent.faults == ({} if kind == "textusage" else {"usage": 1})


def test_content_as_a_list_of_parts_is_a_text_with_the_provider_s_numbers() -> None:
    found, spent, faults = struck("parts", 1)
    assert (found.texts, len(faults.seen), spent.faults) == ({"": SAID}, 1, {})
    assert spent.usage == struck("ok", 0)[1].usage


def test_openai_client_s_list_of_parts_is_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "False")
    found, spent, _ = struck("parts", 1)
    assert (found.texts, spent.faults) == ({"": SAID}, {})


FUNCTION = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("message", "text", "instead"),
    [
        ({"content": "x"}, "x", None),
        ({"content": ["x", "y"]}, "xy", None),
        ({"content": {"type": "text", "text": "x"}}, "x", None),
        ({"content": [{"type": "output_text", "text": "x"}]}, "x", None),
        ({"content": None}, "", None),
        ({"content": 7}, "7", None),
        ({"content": [{"type": "image_url", "image_url": {}}]}, "", None),
        ({"content": None, "reasoning_content": "x"}, "", ("reasoning_only", "")),
        ({"content": None, "reasoning": "x"}, "", ("reasoning_only", "")),
        ({"content": [{"type": "thinking", "thinking": "x"}]}, "", ("reasoning_only", "")),
        ({"content": None, "refusal": "No.\nNo!"}, "", ("refusal", "No")),
        ({"content": [{"type": "refusal", "refusal": "No"}]}, "", ("refusal", "No")),
        ({"content": None, "tool_calls": [FUNCTION]}, "", ("tool_call", "look_up")),
        ({"content": None, "function_call": {"name": "f"}}, "", ("tool_call", "f")),
        ({"content": [{"type": "tool_use", "name": "f"}]}, "", ("tool_call", "f")),
        # Whoever calls a tool has thought before it.
        ({"reasoning_content": "x", "tool_calls": [FUNCTION]}, "", ("tool_call", "look_up")),
    ],
)
def test_message_without_a_text_says_what_it_holds(
    message: Mapping[str, Any], text: str, instead: tuple[str, str] | None
) -> None:
    assert text_of(message.get("content")) == text
    found = instead_of_text(message)
    assert (None if found is None else (found.kind, found.said)) == instead


def test_5_mb_around_a_reply_do_not_matter() -> None:
    found, spent, faults = struck("huge", 1)
    assert (found.texts, len(faults.seen), spent.faults) == ({"": SAID}, 1, {})
    assert len(found.call.reply) > 5_000_000


SMALL = [
    "graph=tariff",
    "task=tariff",
    "task.splits.train=10",
    "task.splits.validation=4",
    "task.splits.test=4",
    "method.stop.steps=3",
    "method.sample.count=4",
    "tracking=none",
    "llm=vllm",
    "llm.limits.retries=9",
    "llm.limits.backoff=0.002",
]


def prepared(*words: str) -> tuple[Prepared, Mapping[str, Any]]:
    raw = compose([*SMALL, *words])
    return prepare(raw, PROMPTS, {}), raw


def optimised(folder: Path, faults: Faults, *words: str) -> tuple[Path, str]:
    """Run `optimize` against the simulated models and return its directory and last words."""

    async def use(url: str, stack: AsyncExitStack) -> str:
        ready, raw = prepared(f"llm.api_base={url}", *words)
        check = ready.roles if ready.config.llm.check else ()
        calling = ready.calling
        client = Client(calling.models, calling.limits, {}, check=check, backend=calling.backend)
        llm = await stack.enter_async_context(client)
        await optimise(ready, raw, llm, NullTracker(), RunFolder(folder))
        return llm.session()

    return folder, served(use, faults, worlds)


def decisions(folder: Path) -> list[dict[str, Any]]:
    """Return the steps of a run without what they took."""
    lines = (folder / "steps.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines]
    return [
        {k: v for k, v in step.items() if k not in ("calls", "tokens", "cost", "malformed", "gate")}
        for step in steps
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, transport: str) -> Path:
    """A run without faults."""
    folder, said = optimised(tmp_path_factory.mktemp("whole"), Faults())
    result = json.loads((folder / "result.json").read_text())
    assert result["accepted"] > 1
    assert result["faults"] == {}
    assert "faults" not in said
    return folder


# Three in ten; content filters and the like are answers, and no retry makes them others.
MIXTURE = (
    "429=0.03,500=0.03,503=0.03,reset=0.03,cut=0.03,hang=0.005,slow=0.005,nonjson=0.02,"
    "emptybody=0.02,empty=0.02,length=0.02,untagged=0.02,twice=0.02,usage=0.01,nousage=0.01,"
    "wordusage=0.005,huge=0.005"
)


SEEDS = [2, 6, 0, 1, 3, 4, 5, 7, 8, 9][: int(os.environ.get("SGDFLOW_FAULT_SEEDS", "1"))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_run_with_three_calls_in_ten_faulty_ends_as_one_without(
    seed: int, whole: Path, tmp_path: Path
) -> None:
    faults = Faults.parse(MIXTURE, seed=seed)
    assert sum(faults.rates.values()) == pytest.approx(0.31)
    words = ["llm.limits.timeout=6", "llm.check=false"]  # a slow reply takes five seconds
    folder, said = optimised(tmp_path / "mixed", faults, *words)
    assert (folder / "parameters.yaml").read_bytes() == (whole / "parameters.yaml").read_bytes()
    assert decisions(folder) == decisions(whole)
    ended, without = (json.loads((f / "result.json").read_text()) for f in (folder, whole))
    assert ended["scores"] == without["scores"]
    met = ended["faults"]
    kinds = {"bad_reply", "connection", "empty", "malformed", "rate_limit", "server", "timeout"}
    if seed == 2:  # it draws all of them
        assert met.keys() == kinds | {"usage"}
    assert met.keys() <= kinds | {"usage"}
    assert len(kinds & met.keys()) > 4
    calls, needed = (sum(record["calls"].values()) for record in (ended, without))
    assert sum(met.values()) >= 0.2 * calls
    # Each fault costs one more call, wrong numbers of tokens none.
    assert calls - needed == sum(met.values()) - met.get("usage", 0)
    # Nothing else was asked, so the words count the same.
    counts = said.partition("; faults: ")[2].partition("; calls at once")[0]
    assert {kind: int(n) for n, kind in re.findall(r"(\d+) (\w+)", counts)} == met


@pytest.mark.parametrize("kind", ["length", "untagged", "twice", "empty", "filtered", "nonjson"])
def test_a_reply_that_cannot_be_read_never_becomes_a_parameter(kind: str, tmp_path: Path) -> None:
    words = ["llm.limits.retries=0", "llm.check=false", "method.stop.steps=1"]
    spoilt = f"{{model: hosted_vllm/model, parameters: {{extra_headers: {{x-simulate: {kind}}}}}}}"
    words += [f"llm.models.optimizer={spoilt}", "llm.fallbacks={}"]
    # The only proposal is lost, which is no result.
    with pytest.raises(NoResult, match="the proposal of the only step was lost to failures"):
        optimised(tmp_path, Faults(), *words)
    folder, (ready, _) = tmp_path, prepared()
    assert yaml.safe_load((folder / "parameters.yaml").read_text()) == dict(ready.start)
    (step,) = decisions(folder)
    assert (step["accepted"], step["proposal"]) == (False, {})
    assert step["skipped"].keys() <= set(ready.problem.optimised)
    assert step["skipped"]
