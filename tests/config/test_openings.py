"""Keys that need no +, a server for each role, and configuration files of the user's own."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_first import STOPS

from sgdflow.config import declared_keys
from sgdflow.config.build import expand_graph
from sgdflow.config.compose import changed, compose
from sgdflow.config.models import build_models
from sgdflow.config.paths import conf_folder
from sgdflow.config.schema import LLMConf, validate
from sgdflow.config.words import readable
from sgdflow.errors import ConfigError
from sgdflow.llm.failures import KINDS

SHIPPED = sorted(path.stem for path in (conf_folder() / "llm").glob("*.yaml"))
ROLES = ("forward", "backward", "optimizer", "judge")
URL = "http://127.0.0.1:9/v1"


def models(*words: str) -> Mapping[str, tuple[str, str | None]]:
    """Return the name and the address of the model of each role."""
    conf = validate(LLMConf, compose(words)["llm"], "llm")
    return {role: (spec.model, spec.api_base) for role, spec in build_models(conf).items()}


@pytest.mark.parametrize("llm", SHIPPED)
def test_a_role_has_a_server_of_its_own_and_keeps_its_model(llm: str) -> None:
    plain = models(f"llm={llm}")
    assert tuple(plain) == ROLES
    moved = {**plain, "backward": (plain["backward"][0], URL)}
    assert models(f"llm={llm}", f"llm.models.backward.api_base={URL}") == moved
    assert models(f"llm={llm}", f"llm.models.backward={{api_base: '{URL}'}}") == moved
    named = {**plain, "backward": ("openai/x", URL)}
    both = f"llm.models.backward={{model: openai/x, api_base: '{URL}'}}"
    assert models(f"llm={llm}", both) == named
    for name in ("llm.models.backward=openai/x", "llm.models.backward.model=openai/x"):
        assert models(f"llm={llm}", name, f"llm.models.backward.api_base={URL}") == named
        assert models(f"llm={llm}", f"llm.models.backward.api_base={URL}", name) == named


def test_a_recorded_run_is_given_a_server_for_a_role_alike() -> None:
    written = compose(["llm=vllm"]).written
    now = changed(written, [f"llm.models.backward.api_base={URL}", "llm.models.forward=openai/x"])
    assert now["llm"]["models"] == {
        "forward": {"model": "openai/x"},
        "backward": {"model": "hosted_vllm/model", "api_base": URL},
        "optimizer": "hosted_vllm/model",
        "judge": "hosted_vllm/model",
    }


OPEN: Mapping[str, tuple[Sequence[str], Sequence[Any]]] = {
    "all nodes": (["graph=hints", "graph.forward.reply.format=text"], ["text"]),
    "a node": (["graph=hints", "graph.nodes.hint_1.forward.reply.tag=hint"], ["hint"]),
    "its backward function": (["graph=hints", "graph.nodes.answer.backward.attempts=2"], [2]),
    "a parameter of a role": (["llm=vllm", "llm.models.forward.parameters.max_tokens=7"], [7]),
    "none for a role": (["llm=openai", "llm.models.forward.parameters.top_p=null"], [None]),
    "what a role may use": (["method.stop.budget.roles.judge.calls=3"], [3]),
    "what roles may use": (
        ["method.stop.budget.roles={judge: {calls: 3}}"],
        [{"judge": {"calls": 3}}],
    ),
    "a sweep": (["llm.models.forward=a/b,c/d"], []),
}


@pytest.mark.parametrize("case", OPEN)
def test_a_key_that_a_file_leaves_out_is_set_without_a_sign(case: str) -> None:
    words, wanted = OPEN[case]
    if not wanted:
        assert readable(words) == ["++llm.models.forward.model=a/b,c/d"]
        return
    key = words[-1].partition("=")[0].split(".")
    found: Any = compose(words)
    for part in key:
        found = found[part]
    assert found == wanted[0]


def test_what_a_mistake_may_be_is_not_opened() -> None:
    untouched = ["llm.models.foward=a/b", "llm.parameters.top_k=1", "method.update.breadth=2"]
    untouched += ["graph.forward.rply.format=text", "graph=hints", "llm=vllm", "task.target=x"]
    untouched += ["+llm.store.mode=off", "~llm.store", "llm.models.forward=null"]
    assert readable(untouched) == untouched


def test_a_graph_that_a_function_makes_is_changed_alike() -> None:
    words = [
        "graph=tariff",
        "graph.forward.reply.format=text",
        "graph.nodes.desk.forward.role=boss",
    ]
    conf = expand_graph(compose(words)["graph"])
    assert conf.forward.reply.format == "text"
    forward: Any = conf.nodes["desk"].forward
    assert forward.role == "boss"
    assert conf.nodes["desk"].predecessors == expand_graph(compose([])["graph"]).nodes[
        "desk"
    ].predecessors  # fmt: skip
    with pytest.raises(ConfigError, match=r"graph\.nodes\.dsk\.predecessors: is required"):
        expand_graph(compose(["graph.nodes.dsk.forward.role=boss"])["graph"])


# Files of the user's own


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf/llm").mkdir(parents=True)
    (tmp_path / "conf/graph").mkdir()
    (tmp_path / "conf/llm/mine.yaml").write_text(
        "name: mine\nmodels: {forward: openai/small, backward: openai/big, optimizer: openai/big}\n"
    )
    (tmp_path / "conf/graph/single.yaml").write_text(
        "name: mine\ninputs: [question]\noutput: mine\nnodes:\n  mine: {predecessors: [question]}\n"
    )
    return tmp_path


def test_own_files_are_found_and_hide_shipped_ones(own: Path) -> None:
    assert compose(["llm=mine"])["llm"]["name"] == "mine"
    assert compose(["graph=single"])["graph"]["output"] == "mine"
    assert compose(["graph=hints"])["graph"]["output"] == "answer"
    assert models("llm=mine", f"llm.models.backward.api_base={URL}", "llm.store.mode=off") == {
        "forward": ("openai/small", None),
        "backward": ("openai/big", URL),
        "optimizer": ("openai/big", None),
    }
    command = [sys.executable, "-m", "sgdflow", "graph", "graph=single", "llm=mine"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "graph mine" in said
    with pytest.raises(ConfigError) as refused:
        compose(["llm=yours"])
    assert str(refused.value) == (
        f"llm: there is no 'yours'. There are: {', '.join(sorted([*SHIPPED, 'mine']))}. Looked in: "
        f"{own}/conf/llm, {conf_folder()}/llm; one of your own is found in "
        f"{own}/conf/llm/yours.yaml."
    )


# Advice

KEY = re.compile(r"\+?\b((?:llm|graph|method|task)(?:\.[a-z_{}]+)+)(=[^\s),;]+)?")


def test_advice_on_failures_names_keys_that_exist() -> None:
    known, found = declared_keys.declared(), []
    for kind in KINDS.values():
        fields = {name for _, name, _, _ in string.Formatter().parse(kind.advice) if name}
        stands = {"address": "llm.api_base", "limit": "llm.parameters.max_tokens"}
        advice = kind.advice.format(**dict.fromkeys(fields, "x") | stands | {"role": "backward"})
        found += [match[1] for match in KEY.finditer(advice)]
    assert len(found) > 8
    assert [key for key in found if not declared_keys.is_there(key, known)] == []


def remedies() -> Iterator[tuple[str, str]]:
    for words, _, told, _ in STOPS.values():
        last = told.rpartition(".\n")[2]
        for quoted in re.findall("'([^'=]+=[^']+)'", last):
            yield " ".join(words), quoted
        for match in KEY.finditer(re.sub("'[^']*'", "", last)):
            if match[2]:
                yield " ".join(words), f"{match[1]}{match[2]}"


@pytest.mark.parametrize(("words", "remedy"), [*remedies()])
def test_a_remedy_can_be_followed_word_for_word(words: str, remedy: str) -> None:
    said = [word for word in STOPS_WORDS[words] if not word.startswith(remedy.partition("=")[0])]
    assert compose(["graph=single", *said, remedy])


STOPS_WORDS = {" ".join(words): words for words, *_ in STOPS.values()}


def test_a_scorer_that_is_taken_out_leaves_what_stands_beside_it() -> None:
    own = "task.score={_target_: my.own.scorer}"
    judged = compose([own, "~task.score._target_", "task.score.rubric=Be kind."])
    assert judged["task"]["score"] == {"rubric": "Be kind."}
