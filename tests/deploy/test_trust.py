"""A folder of somebody else is data until its user says otherwise; one's own needs no word."""

from __future__ import annotations

import importlib
import os
import py_compile
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest
import yaml

import sgdflow
from sgdflow.cli.main import main
from sgdflow.config.prepare import read_parameters
from sgdflow.config.schema import Target
from sgdflow.config.targets import resolve
from sgdflow.errors import ConfigError
from sgdflow.records import RunFolder
from sgdflow.records.code import make_importable
from sgdflow.records.demands import OWN
from sgdflow.records.trust import Made, trusting

SMALL = ("experiments=quickstart", "tracking=none", "method.stop.steps=1", "task.splits.train=8")
ORDER = {"order": "Price this order. Weight: none. Zone: none. Service: express."}
STRANGER = (
    "theirs is not known to be made here by you, and asks for more than sgdflow's own functions "
    "and a provider's own address. It would\n"
)
GO_ON = (
    "Nothing of that was done. Look at it; if you want all of it, say the same with --trust (in "
    "Python: trust=True)."
)
OWN_MODELS = " Or choose the models yourself, such as llm=openai."

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("OPENAI_API_KEY", "made-up")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def theirs(here: Path) -> Path:
    """A folder as another machine has exported it."""
    return sgdflow.load(*SMALL).export("theirs")


def change(file: Path, how: Change) -> None:
    data = yaml.safe_load(file.read_text())
    how(data)
    file.write_text(yaml.safe_dump(data))


def command(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["sgdflow", *words])
    return main()


def of_openai(**more: Any) -> Change:
    """Have the folder ask OpenAI, with more said of all models."""

    def how(llm: dict[str, Any]) -> None:
        llm |= {
            "api_key_env": "OPENAI_API_KEY",
            "models": {"forward": "openai/gpt-4o-mini"},
            **more,
        }

    return how


def a_node(**said: Any) -> Change:
    def how(graph: dict[str, Any]) -> None:
        graph["nodes"]["desk"] |= said

    return how


SEND = "send all inputs to"
LLM: Mapping[str, tuple[Change, Sequence[str]]] = {
    "an address and a key": (
        of_openai(api_base="http://evil.example/v1"),
        [f"{SEND} http://evil.example/v1, with the key in OPENAI_API_KEY (llm.api_base)"],
    ),
    "an address": (
        of_openai(api_base="http://10.0.0.7:8000/v1", api_key_env=None),
        [f"{SEND} http://10.0.0.7:8000/v1 (llm.api_base)"],
    ),
    "an address of one role": (
        of_openai(models={"forward": {"model": "openai/x", "api_base": "https://evil.example"}}),
        [
            f"{SEND} https://evil.example, with the key in OPENAI_API_KEY "
            "(llm.models.forward.api_base)"
        ],
    ),
    "a fallback": (
        of_openai(fallbacks={"forward": [{"model": "groq/x", "api_key_env": "AWS_SECRET"}]}),
        ["send the key in AWS_SECRET to groq (llm.fallbacks.forward.api_key_env)"],
    ),
    "user and host": (
        of_openai(api_base="https://api.openai.com@evil.example/v1"),
        [
            f"{SEND} https://api.openai.com@evil.example/v1, with the key in OPENAI_API_KEY "
            "(llm.api_base)"
        ],
    ),
    "a backslash": (
        of_openai(api_base="https://evil.example\\@api.openai.com/v1"),
        [
            f"{SEND} https://evil.example\\@api.openai.com/v1, with the key in OPENAI_API_KEY "
            "(llm.api_base)"
        ],
    ),
    "a longer host": (
        of_openai(api_base="https://api.openai.com.evil.example", api_key_env=None),
        [f"{SEND} https://api.openai.com.evil.example (llm.api_base)"],
    ),
    "this machine, with a key": (
        of_openai(api_base="http://localhost:8000/v1"),
        [f"{SEND} http://localhost:8000/v1, with the key in OPENAI_API_KEY (llm.api_base)"],
    ),
    "another key": (
        of_openai(api_key_env="AWS_SECRET_ACCESS_KEY"),
        ["send the key in AWS_SECRET_ACCESS_KEY to openai (llm.api_key_env)"],
    ),
    "an unknown provider": (
        of_openai(models={"forward": "mystery/model"}, api_key_env=None),
        [f"{SEND} wherever mystery/model is (llm.models.forward)"],
    ),
    "an address as a model": (
        of_openai(models={"forward": "openai/http://evil.example"}, api_key_env=None),
        [f"{SEND} wherever openai/http://evil.example is (llm.models.forward)"],
    ),
    "a header": (
        of_openai(parameters={"temperature": 0, "extra_headers": {"X": "1"}}),
        ["hand extra_headers to openai (llm.parameters.extra_headers)"],
    ),
    "the environment": (
        of_openai(parameters={"stop": "${oc.env:AWS_SECRET}"}),
        ["use the environment variable AWS_SECRET (llm.parameters.stop)"],
    ),
    "a store elsewhere": (
        of_openai(store={"mode": "use", "path": "../../else/replies.db"}),
        ["keep replies in ../../else/replies.db (llm.store.path)"],
    ),
    "a store of others": (
        of_openai(store={"mode": "use", "uri": "postgresql://evil.example/db"}),
        ["keep replies in postgresql://evil.example/db (llm.store.uri)"],
    ),
    "a store nowhere": (
        of_openai(store={"mode": "use", "path": "their/\0"}),
        ["keep replies in their/\0 (llm.store.path)"],
    ),
}
GRAPH: Mapping[str, tuple[Change, Sequence[str]]] = {
    "a function": (
        a_node(forward={"_target_": "subprocess.getoutput"}),
        ["run subprocess.getoutput (graph.nodes.desk.forward._target_)"],
    ),
    "a reader as a node": (
        a_node(forward={"_target_": "sgdflow.data.table", "path": "/etc/passwd"}),
        ["run sgdflow.data.table (graph.nodes.desk.forward._target_)"],
    ),
    "a function of sgdflow's inside": (
        a_node(forward={"_target_": "sgdflow.api.load"}),
        ["run sgdflow.api.load (graph.nodes.desk.forward._target_)"],
    ),
    "backward, too": (
        a_node(backward={"_target_": "os.system"}),
        ["run os.system (graph.nodes.desk.backward._target_)"],
    ),
    "code of its own": (
        a_node(forward={"_target_": "brought.tool"}),
        [
            "run brought.tool, which is in theirs/code/brought.py "
            "(graph.nodes.desk.forward._target_)"
        ],
    ),
    "a generator": (
        lambda graph: graph.update(_target_="brought.make"),
        ["run brought.make, which is in theirs/code/brought.py (graph._target_)"],
    ),
    "a name": (
        lambda graph: graph.update(name="../../.ssh"),
        ["use a name that leads out of the folder: '../../.ssh' (graph.name)"],
    ),
    "a template": (
        a_node(forward={"prompt": "../../secret.jinja"}),
        [
            "use a name that leads out of the folder: '../../secret.jinja' "
            "(graph.nodes.desk.forward.prompt)"
        ],
    ),
    "an absolute template": (
        a_node(forward={"prompt": "/etc/passwd"}),
        [
            "use a name that leads out of the folder: '/etc/passwd' "
            "(graph.nodes.desk.forward.prompt)"
        ],
    ),
}
CASES = [("llm.yaml", *case) for case in LLM.values()] + [
    ("graph.yaml", *case) for case in GRAPH.values()
]


@pytest.mark.parametrize(("file", "how", "asks"), CASES, ids=[*LLM, *GRAPH])
def test_what_a_folder_asks_for_is_told_and_not_done(
    file: str, how: Change, asks: Sequence[str], theirs: Path
) -> None:
    (theirs / "code").mkdir()
    mark = "import pathlib\npathlib.Path('ran').touch()\ntool = make = len\n"
    (theirs / "code/brought.py").write_text(mark)
    change(theirs / file, how)
    with pytest.raises(ConfigError) as refused:
        sgdflow.load("theirs")
    models = OWN_MODELS if any("(llm." in ask for ask in asks) else ""
    lines = "".join(f"  - {ask}\n" for ask in asks)
    assert str(refused.value) == f"{STRANGER}{lines}{GO_ON}{models}"
    assert not Path("ran").exists()
    assert str(theirs / "code") not in sys.path


FINE = {
    "the provider's address": of_openai(),
    "said out loud": of_openai(api_base="https://api.openai.com/v1"),
    "this machine": of_openai(api_base="http://127.0.0.1:8000/v1", api_key_env=None),
    "how to write": of_openai(parameters={"temperature": 1, "max_tokens": 9, "stop": ["x"]}),
    "a store here": of_openai(store={"mode": "use", "path": "their/replies.db"}),
    "another provider": of_openai(
        models={"forward": "anthropic/x"}, api_key_env="ANTHROPIC_API_KEY"
    ),
}


@pytest.mark.parametrize("how", FINE.values(), ids=FINE)
def test_a_folder_that_asks_for_nothing_needs_no_word(how: Change, theirs: Path) -> None:
    change(theirs / "llm.yaml", how)
    assert sgdflow.load("theirs").graph.name == "tariff"
    assert not Path("state").exists()


def test_what_the_user_says_himself_is_his(theirs: Path) -> None:
    change(theirs / "llm.yaml", of_openai(api_base="http://evil.example"))
    mine = sgdflow.load("theirs", "llm.api_base=http://mine.example/v1")
    assert mine.program.calling.models["forward"].api_base == "http://mine.example/v1"
    assert sgdflow.load("theirs", "llm=openai").program.calling.models["forward"].api_base is None
    with pytest.raises(ConfigError, match=r"send all inputs to http://evil.example"):
        sgdflow.load("theirs", "llm.api_key_env=MINE")


@pytest.mark.parametrize(
    "name", ["llm.yaml", "parameters.yaml", "prompts/forward/node.jinja", "prompts/other", "x"]
)
def test_a_link_out_of_the_folder_is_not_followed(name: str, theirs: Path, here: Path) -> None:
    outside = here / "outside"
    if name == "prompts/other":
        outside.mkdir()
    elif (theirs / name).exists():
        shutil.move(theirs / name, outside)
    else:
        outside.write_text("secret")
    (theirs / name).symlink_to(outside)
    with pytest.raises(ConfigError) as refused:
        sgdflow.load("theirs")
    ask = f"  - follow a link out of the folder: theirs/{name} -> {outside}\n"
    assert str(refused.value) == f"{STRANGER}{ask}{GO_ON}"
    assert sgdflow.load("theirs", trust=True).graph.name == "tariff"


def test_a_link_within_the_folder_is_a_file_like_others(theirs: Path) -> None:
    (theirs / "prompts/again.jinja").symlink_to("reply/again.jinja")
    assert sgdflow.load("theirs").predict(ORDER)


def test_a_pipe_among_the_templates_is_not_waited_for(theirs: Path) -> None:
    os.mkfifo(theirs / "prompts/pipe.jinja")
    with pytest.raises(ConfigError, match=r"open theirs/prompts/pipe.jinja, which is no plain"):
        sgdflow.load("theirs")


def with_own_code(here: Path) -> Mapping[str, Any]:
    (here / "own_shout.py").write_text("def shout(text):\n    return text.upper()\n")
    nodes = {"a": {"predecessors": ["order"], "forward": {"_target_": "own_shout.shout"}}}
    graph = {"name": "own", "inputs": ["order"], "nodes": nodes, "output": "a"}
    return {**sgdflow.load(*SMALL).config, "graph": graph}


def test_what_was_made_here_is_known_again_wherever_it_is(here: Path) -> None:
    config = with_own_code(here)
    RunFolder(here / "run").begin(config, {})
    with pytest.raises(ConfigError, match=r"run own_shout.shout \(graph.nodes.a.forward._target"):
        sgdflow.load("run")
    Made.by_user(os.environ).note(config)  # as `sgdflow optimize` does
    assert sgdflow.load("run").predict({"order": "x"}) == "X"
    sgdflow.load("run").export("desk")
    shutil.copytree("desk", "elsewhere/desk")
    change(Path("elsewhere/desk/parameters.yaml"), lambda texts: None)
    assert sgdflow.load("elsewhere/desk").predict({"order": "x"}) == "X"
    # What it would run or show was changed: it is another's.
    for file in ("code/own_shout.py", "prompts/new.jinja"):
        shutil.copytree("desk", "changed")
        (Path("changed") / file).parent.mkdir(exist_ok=True)
        with (Path("changed") / file).open("a") as opened:
            opened.write("\n# more\n")
        with pytest.raises(ConfigError, match=r"run own_shout.shout, which is in changed/code"):
            sgdflow.load("changed")
        shutil.rmtree("changed")
    made = here / "state/sgdflow/made"
    assert len(made.read_text().split()) == 2
    assert made.parent.stat().st_mode & 0o777 == 0o700


def test_code_of_a_folder_is_compiled_from_its_source(here: Path) -> None:
    code = here / "brought"
    (code / "pack").mkdir(parents=True)
    (code / "pack/__init__.py").write_text("")
    (code / "pack/inner.py").write_text("said = 'source'\n")
    stale = code / "pack/other.py"
    stale.write_text("said = 'sneaky'\n")  # as long, and of the same time
    for file in (stale, code / "pack/inner.py"):
        os.utime(file, (1e9, 1e9))
    py_compile.compile(str(stale), cache_from_source(str(code / "pack/inner.py")))
    make_importable(code)
    assert importlib.import_module("pack.inner").said == "source"
    assert [path.name for path in code.rglob("*.pyc")] == [Path(cache_from_source("inner.py")).name]


def test_a_list_that_cannot_be_written_costs_a_word_and_nothing_else(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "state").write_text("no folder")
    Made.by_user(os.environ).note(with_own_code(here))
    assert Made.by_user({}).file is None
    Made.by_user({}).note(with_own_code(here))
    monkeypatch.delenv("XDG_STATE_HOME")
    assert Made.by_user({"HOME": "/home/me"}).file == Path("/home/me/.local/state/sgdflow/made")


def test_commands_tell_it_in_one_message_and_go_on_with_trust(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    RunFolder(here / "run").begin(with_own_code(here), {})
    sgdflow.load("run", trust=True).export("theirs")
    shutil.rmtree("state")  # elsewhere nobody knows of it
    (here / "own_shout.py").unlink()
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("in.jsonl").write_text('{"order": "x"}\n')
    predict = ("predict", "theirs", "--input", "in.jsonl")
    for words in (predict, ("export", "theirs", "--to", "away")):
        assert command(*words, monkeypatch=monkeypatch) == 1
        assert capsys.readouterr().err == (
            f"{STRANGER}  - run own_shout.shout, which is in theirs/code/own_shout.py "
            f"(graph.nodes.a.forward._target_)\n{GO_ON}\n"
        )
    assert not Path("away").exists()
    code = command(*predict, "--trust", monkeypatch=monkeypatch)
    assert (code, *capsys.readouterr()) == (0, '{"output": "X"}\n', "")


def a_run(here: Path, **config: Any) -> Path:
    flow = sgdflow.load(*SMALL)
    folder = RunFolder(here / "theirs")
    folder.begin({**flow.config, **config}, flow.parameters)
    return folder.path


def test_looking_at_a_run_runs_nothing_of_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_run(here, graph={"_target_": "own_graphs.make"})
    (here / "own_graphs.py").write_text("import pathlib\npathlib.Path('ran').touch()\n")
    assert command("show", "theirs", monkeypatch=monkeypatch) == 0  # it has initial.yaml
    (here / "theirs/initial.yaml").unlink()
    capsys.readouterr()
    for words in (("show", "theirs"), ("report", "theirs")):
        assert command(*words, monkeypatch=monkeypatch) == 1
        ask = "  - run own_graphs.make (graph._target_)\n"
        assert capsys.readouterr().err == f"{STRANGER}{ask}{GO_ON}\n"
    assert not Path("ran").exists()
    assert command("show", "theirs", "--trust", monkeypatch=monkeypatch) == 1
    assert "'own_graphs' has no 'make'" in capsys.readouterr().err


def test_nothing_of_another_s_is_told_to_be_typed(here: Path) -> None:
    run = a_run(here)
    (run / "result.json").write_text('{"format": 7, "version": "0.9 evil; rm -rf ~"}')
    with pytest.raises(ConfigError, match=r"written by another version in format 7;") as refused:
        sgdflow.load("theirs")
    assert "evil" not in str(refused.value)


LONG = "9" * 5_000


def test_a_parameter_of_any_length_is_named_shortly() -> None:
    graph = sgdflow.load("experiments=quickstart", "tracking=none").prepared.problem.graph
    for read in ({LONG: "x"}, {**graph.initial(), "desk.instruction": {"x": LONG}}):
        with pytest.raises(ConfigError) as refused:
            read_parameters(read, graph, "theirs.yaml")
        assert max(map(len, str(refused.value).splitlines())) < 200
        assert "theirs.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"seed": LONG[:4000] + "x"}, "seed: '999"),
        ({"llm": {LONG: 1}}, "llm.999"),
        ({"graph": {LONG: {"_target_": "os.system"}}}, "  - run os.system (graph.999"),
        ({"graph": {f"x{i}": 1 for i in range(300)}}, "graph.x0: there is no such key."),
    ],
)
def test_a_message_stays_short_however_long_their_words(
    config: Mapping[str, Any], told: str, here: Path
) -> None:
    a_run(here, **config)
    with pytest.raises(ConfigError) as refused:
        sgdflow.load("theirs")
    assert told in str(refused.value)
    assert len(str(refused.value)) < 8_000
    assert str(refused.value).count("\n") <= 100


def test_report_writes_through_no_link(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = a_run(here)
    for name in ("report.html", "report.html.new"):
        (run / name).symlink_to(here / "precious")
        assert command("report", "theirs", monkeypatch=monkeypatch) == 1
        assert f"link out of the folder: theirs/{name} -> {here}" in capsys.readouterr().err
        (run / name).unlink()
    assert not (here / "precious").exists()


def test_scoring_another_s_run_reads_no_file_for_it(here: Path) -> None:
    data = {"_target_": "sgdflow.data.table", "path": "/etc/passwd", "target": "x"}
    task = {**sgdflow.load(*SMALL).config["task"], "data": data}
    a_run(here, task=task)
    flow = sgdflow.load("theirs")
    with pytest.raises(ConfigError) as refused:
        flow.evaluate()
    ask = "  - read /etc/passwd and send it to the models (task.data.path)\n"
    assert str(refused.value) == f"{STRANGER}{ask}{GO_ON}"


def test_parameters_of_another_are_texts_and_no_link(here: Path) -> None:
    run = a_run(here, graph={"_target_": "subprocess.getoutput"})
    texts = sgdflow.load(*SMALL, "parameters=theirs").parameters
    shutil.move(run / "parameters.yaml", here / "outside.yaml")
    (run / "parameters.yaml").symlink_to(here / "outside.yaml")
    with pytest.raises(ConfigError) as refused:
        sgdflow.load(*SMALL, "parameters=theirs")
    assert str(refused.value) == (
        f"parameters: theirs/parameters.yaml is a link to {here}/outside.yaml, outside of the "
        "folder. If that is what you want, name the file itself, or add --trust."
    )
    words = ["seed=1", "parameters=theirs", "--trust", "-m"]
    assert trusting(words) == ["seed=1", f"parameters={here}/outside.yaml", "-m"]
    assert sgdflow.load(*SMALL, f"parameters={here}/outside.yaml").parameters == texts


def test_own_functions_are_those_that_are_shipped_for_it() -> None:
    conf = Path(__file__).parents[2] / "conf"
    named = {
        place: {
            name
            for file in (conf / place).glob("*.yaml")
            for name in targets(yaml.safe_load(file.read_text()))
        }
        for place in ("graph", "task")
    }
    assert named["graph"] <= {*OWN["graph"]}
    assert named["task"] <= {*OWN["task.data"], *OWN["task.score"]}
    for name in {name for names in OWN.values() for name in names}:
        assert callable(resolve(Target.model_validate({"_target_": name}), "x").call)


def targets(data: Any) -> list[str]:
    if not isinstance(data, dict):
        return []
    own = [data["_target_"]] if "_target_" in data else []
    return own + [name for inner in data.values() for name in targets(inner)]
