"""Words of a command line that Hydra does not take: each is told in words that can be followed."""
# ruff: noqa: E501

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from errno import ENOSPC
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from sgdflow.cli.main import main
from sgdflow.cli.options import parted, repeated, unfollowed
from sgdflow.config.compose import compose
from sgdflow.config.method_schema import MethodConf
from sgdflow.config.paths import conf_folder
from sgdflow.config.refusals import refused
from sgdflow.config.words import readable, typed
from sgdflow.errors import ConfigError

CONF = conf_folder()
METHODS = (
    "copro, frozen, gepa, no_gate, no_gradient, no_neighbors, optoprime, paper, semantic, "
    "sequence, shuffled_gradient, textgrad"
)
TABLE = ("task=table", "graph=hints", "task.path=t.csv", "task.inputs=[question]", "task.target=a")
FORM = "Write KEY=VALUE, without spaces around the =."

REFUSED: Mapping[str, tuple[Sequence[str], str]] = {
    "key": (
        ["method.stop.step=4"],
        "method.stop.step: there is no such key. Did you mean 'method.stop.steps'?",
    ),
    "key in the middle": (
        ["graph.nodes.desk.parameter.instruction=Add"],
        "graph.nodes.desk.parameter.instruction: there is no such key. Did you mean 'graph.nodes.desk.parameters.instruction'?",
    ),
    "key of another place": (
        ["steps=4", "patience=2"],
        "steps: there is no such key. Did you mean 'method.stop.steps'?\n"
        "patience: there is no such key. Did you mean 'method.stop.patience'?",
    ),
    "key like no other": (
        ["method.foo=3"],
        f"method.foo: there is no such key. method has: {', '.join(sorted(MethodConf.model_fields))}.",
    ),
    "key below nothing": (
        ["foo.bar=3"],
        "foo.bar: there is no such key. There is no 'foo' either.",
    ),
    "key below a value": (["seed.x=3"], "seed.x: there is no such key. seed is no mapping."),
    "key of a list": (
        ["graph.inputs.q=3"],
        "graph.inputs.q=3: a list has numbers for keys, and 'q' is none.",
    ),
    "key of Hydra": (
        ["hydra.run.dirs=x"],
        "hydra.run.dirs: there is no such key. Did you mean 'hydra.run.dir'?",
    ),
    "key that another choice has": (
        ["task.target=answer"],
        "task.target: this configuration has no such key. task=table has it.",
    ),
    "key that is not set": (
        ["graph.parameters.tone=Brief"],
        "graph.parameters.tone: is not set in this configuration. To set it, add a +: +graph.parameters.tone=Brief",
    ),
    "key of a free mapping": (
        ["llm.models.foward=openai/gpt-4o"],
        "llm.models.foward: there is no such key. Did you mean 'llm.models.forward'? To add it all the same: +llm.models.foward=openai/gpt-4o",
    ),
    "parameter of a model": (
        ["llm.parameters.top_p=1"],
        "llm.parameters.top_p: this configuration has no such key. llm=openai has it. To add it: +llm.parameters.top_p=1",
    ),
    "key that is there": (
        ["+method.stop.steps=4"],
        "+method.stop.steps=4: method.stop.steps is there already. Without the + it is changed: method.stop.steps=4",
    ),
    "name on the way": (
        ["graph=hints", "graph.nodes.anwser.parameters.instruction=x"],
        "graph.nodes.anwser.parameters.instruction: there is no 'anwser' in graph.nodes. Did you mean 'answer'? It has: hint_1, hint_2, answer. To add it all the same: +graph.nodes.anwser.parameters.instruction=x",
    ),
    "key to take out": (
        ["~llm.stor"],
        "~llm.stor: there is no such key to take out. Did you mean '~llm.store'?",
    ),
    "nothing to take out": (
        ["~llm.api_base"],
        "~llm.api_base: is not set, so that there is nothing to take out.",
    ),
    "home of nobody": (
        ["task.path=~nobody-lives-here/rows.jsonl"],
        "task.path=~nobody-lives-here/rows.jsonl: ~ means nothing here. Write the whole path; nobody has this home: ~nobody-lives-here",
    ),
    "choice to take out": (
        ["~llm=openai"],
        "~llm=openai: is not chosen, so that there is nothing to take out. llm=CHOICE takes another.",
    ),
    "group": (
        ["methd=semantic", "experiment=quickstart"],
        "methd: there is no such key. Did you mean 'method'?\n"
        "experiment: there is no such key. Did you mean 'experiments'?",
    ),
    "choice": (
        ["method=semantc"],
        f"method: there is no 'semantc'. Did you mean 'semantic'? There are: {METHODS}. Looked in: {CONF}/method.",
    ),
    "choice of a group within a group": (
        ["method=liar/only_judg"],
        f"method/liar: there is no 'only_judg'. Did you mean 'only_judge'? There are: only_job_title, only_judge, only_party, only_source, only_state, only_statement. Looked in: {CONF}/method/liar.",
    ),
    "choice like no other": (
        ["llm=mine"],
        f"llm: there is no 'mine'. There are: anthropic, ollama, openai, simulated, vllm. Looked in: {CONF}/llm; one of your own is found in {Path.cwd()}/conf/llm/mine.yaml.",
    ),
    "several values": (
        ["seed=0,1"],
        "seed=0,1: reads as several values. To run with one after the other, add -m. For a list write 'seed=[0,1]', for a text 'seed=\"0,1\"'.",
    ),
    "range": (
        ["seed=range(3)"],
        "seed=range(3): reads as several values. To run with one after the other, add -m.",
    ),
    "several choices": (
        ["method=semantic,textgrad"],
        "method=semantic,textgrad: reads as several values. To run with one after the other, add -m.",
    ),
    "list of choices": (
        ["method=[semantic,textgrad]"],
        "method=[semantic,textgrad]: takes one choice. To run with each: -m method=semantic,textgrad",
    ),
    "home folder": (
        ["hydra.run.dir=~/x"],
        f"hydra.run.dir=~/x: ~ means nothing here. Write the whole path: hydra.run.dir={Path.home()}/x",
    ),
    "mapping that is not closed": (
        ["task.inputs={question: Question"],
        "task.inputs={question: Question: the value cannot be read. Write 'task.inputs={name: value, name: value}'; put texts within it into quotes (\"...\") where they hold more than plain letters, digits and spaces.",
    ),
    "quotes that are not closed": (
        ["task.target='abc"],
        "task.target='abc: the value cannot be read. Put it into quotes: 'task.target=\"abc\"'",
    ),
    "letters beyond ASCII and a comma": (
        ["task.target=réponse,autre"],
        'task.target=réponse,autre: the value cannot be read. Put it into quotes: \'task.target="réponse,autre"\'; several values (with -m): \'task.target="réponse","autre"\'',
    ),
    "spaces around the =": (
        ["seed", "=", "3", "method.stop.steps", "4"],
        f"seed: is no setting. {FORM} Did you mean seed=3?\n"
        f"method.stop.steps: is no setting. {FORM} Did you mean method.stop.steps=4?",
    ),
    "choice without its group": (
        ["hints"],
        f"hints: is no setting. {FORM} Did you mean graph=hints?",
    ),
    "variable that is not set": (
        [*TABLE, "task.path=${oc.env:A_VARIABLE_THAT_NOBODY_SETS}"],
        "task.path: Environment variable 'A_VARIABLE_THAT_NOBODY_SETS' not found.",
    ),
    "interpolation of nothing": (
        [*TABLE, "task.path=${nope}"],
        "task.path: Interpolation key 'nope' not found. For the letters ${nope} themselves write \\${nope}.",
    ),
    "variable of a key that others refer to": (
        ["seed=${oc.env:A_VARIABLE_THAT_NOBODY_SETS}"],
        "seed: Environment variable 'A_VARIABLE_THAT_NOBODY_SETS' not found.",
    ),
    "resolver that is none": (
        ["seed=${foo:1}"],
        "seed: Unsupported interpolation type foo.",
    ),
    "choice that is added": (
        ["+experiments=quickstart"],
        "+experiments=quickstart: experiments is chosen already. Without the + another is: experiments=quickstart",
    ),
    "choice that is added to another": (
        ["+graph=hints"],
        "+graph=hints: graph is chosen already. Without the + another is: graph=hints",
    ),
    "no choice of a group": (
        ["llm=null"],
        "llm=null: takes one choice. There are: anthropic, ollama, openai, simulated, vllm.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_told_in_words_that_can_be_followed(case: str) -> None:
    words, told = REFUSED[case]
    with pytest.raises(ConfigError) as raised:
        compose(words)
    assert str(raised.value) == told


def test_advice_can_be_followed() -> None:
    assert compose(["+graph.forward.role=backward"])["graph"]["forward"]["role"] == "backward"
    text = shlex.split('"task.name=Add, then say it"')[0]
    with pytest.raises(ConfigError) as raised:
        compose([text])
    advised = shlex.split(str(raised.value).rpartition("for a text ")[2].removesuffix("."))
    assert compose(advised)["task"]["name"] == "Add, then say it"


@pytest.mark.parametrize(
    "text", ["réponse", "足し算", "It's", "50%; then: more?", "C:\\data\\x.csv", "a=b", 'say "x"']
)
def test_a_text_needs_no_quotes_where_it_can_be_nothing_else(text: str) -> None:
    assert compose([f"task.name={text}"])["task"]["name"] == text


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))).filter(lambda t: "${" not in t))
def test_a_text_in_quotes_reads_back(text: str) -> None:
    (word,) = shlex.split(typed("task.name", text))
    assert readable([word]) == [word]
    assert OverridesParser.create().parse_override(word).value() == text


def test_options_stand_anywhere() -> None:
    typed = ["seed=1", "-m", "method=copro", "-cd", "conf", "--cfg=job", "task=table", "--info"]
    options = ["--multirun", "--config-dir", "conf", "--cfg", "job", "--info"]
    assert parted(typed) == (options, ["seed=1", "method=copro", "task=table"])
    assert parted(["--info", "defaults", "--multi"]) == (["--info", "defaults", "--multirun"], [])


SHOWN = "Options: -m (run once with each of several values), --cfg job, --config-dir DIR, --help."


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--seed", "3"],
            f"--seed: there is no such option. A setting has no dashes: seed=3. {SHOWN}",
        ),
        (
            ["--method.stop.steps=3"],
            f"--method.stop.steps: there is no such option. A setting has no dashes: method.stop.steps=3. {SHOWN}",
        ),
        (
            ["--multi-run"],
            f"--multi-run: there is no such option. Did you mean '--multirun'? {SHOWN}",
        ),
        (["-cd"], "--config-dir: needs a value after it."),
        (["--cfg", "jbo"], "--cfg: needs one of job, hydra, all after it, not 'jbo'."),
    ],
)
def test_an_option_that_is_none_is_told(words: Sequence[str], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parted(words)
    assert str(raised.value) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["-m", "hydra.run.dir=x", "seed=0,1"],
            "hydra.run.dir is not followed with -m: hydra.sweep.dir=DIR says where jobs are kept.",
        ),
        (
            ["hydra.sweep.dir=x"],
            "hydra.sweep.dir is not followed without -m: hydra.run.dir=DIR says where a run is kept.",
        ),
        (["-m", "hydra.sweep.dir=x"], ""),
        (["hydra.run.dir=x"], ""),
        (["hydra.mode=MULTIRUN", "hydra.sweep.dir=x"], ""),
    ],
)
def test_a_directory_that_is_not_looked_at_is_said(words: Sequence[str], told: str) -> None:
    assert unfollowed(*parted(words)) == told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["-m", "optimize", "seed=0,1"], "The command comes first: sgdflow optimize -m seed=0,1. "),
        (["seed=0"], "The command comes first: sgdflow optimize seed=0. "),
        (["optimise"], "There is no command 'optimise'. Did you mean 'optimize'? "),
        ([""], "There is no command ''. "),
    ],
)
def test_the_command_comes_first(
    words: Sequence[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["sgdflow", *words])
    assert main() == 1
    assert capsys.readouterr().err.startswith(f"{told}Commands: init, check, optimize, ")


OWN: Mapping[str, tuple[str, str]] = {
    "graph/open.yaml": (
        "name: open\nnodes:\n  a: {predecessors: [question]\noutput: a\n",
        "line 4, column 1: expected ',' or '}', but got '<scalar>'. What is not closed begins in line 3.",
    ),
    "graph/tabs.yaml": (
        "name: tabs\nnodes:\n\ta: {predecessors: [question]}\n",
        "line 3, column 1: found character '\\t' that cannot start any token. Lines are indented with spaces, not with tabs.",
    ),
    "graph/between.yaml": (
        "name: x\nnodes:\n  a:\n    predecessors: [q]\n   b: {}\n",
        "line 5, column 4: expected <block end>, but found '<block mapping start>'. The indentation does not fit: line 5 begins with 3 spaces, the lines above it with 4 (line 4), 2 (line 3) or 0 (line 2). Lines that belong together begin with equally many.",
    ),
    "graph/deeper.yaml": (
        "name: x\n\n inputs: [q]\n",
        "line 3, column 8: mapping values are not allowed here. The indentation does not fit: line 3 begins with 1 space, the lines above it with 0 (line 1). Lines that belong together begin with equally many.",
    ),
    "graph/colon.yaml": (
        "name: colon\nparameters:\n  tone: Answer: be brief\n",
        "line 3, column 15: mapping values are not allowed here. A text that holds any of , : ? { } [ ] # goes into quotes.",
    ),
}


@pytest.mark.parametrize("file", OWN)
def test_a_file_that_is_no_yaml_is_told_with_its_line(file: str, tmp_path: Path) -> None:
    text, told = OWN[file]
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(ConfigError) as raised:
        compose([f"hydra.searchpath=[file://{tmp_path}]", f"graph={Path(file).stem}"])
    assert str(raised.value) == f"{tmp_path / file}, {told}"


def test_an_experiment_without_its_first_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "mine.yaml").write_text("defaults:\n  - override /graph: hints\n")
    with pytest.raises(ConfigError) as raised:
        compose([f"hydra.searchpath=[file://{tmp_path}]", "experiments=mine"])
    assert str(raised.value) == (
        "experiments/mine.yaml: an experiment is laid over everything else, so that its first line "
        "is '# @package _global_', and a group is chosen with 'override /GROUP: CHOICE'."
    )


COMPLAINTS: Mapping[str, str] = {
    "show": "sgdflow show: needs run. Usage: sgdflow show ",
    "show a --stepp 3": "sgdflow show: does not know --stepp. Did you mean '--step'? Usage: ",
    "ui --port foo": "sgdflow ui: --port: 'foo' is no such number. Usage: sgdflow ui ",
    "cache inf": "sgdflow cache: there is no 'inf'. Did you mean 'info'? Usage: sgdflow cache ",
    "cache prune --older-than x": "sgdflow cache prune: --older-than: 'x' is no such number. Usage: ",
    "cache prune --older-than -1": "sgdflow cache prune: --older-than: a number of days is at least 0. ",
    "compare rows=method cols": "cols: needs a value: cols=VALUE, without spaces.\n",
    "--versoin": "There is no option --versoin. Did you mean '--version'? Commands: ",
    "optimize --help=yes": "--help: takes no value.\n",
}


@pytest.mark.parametrize("line", COMPLAINTS)
def test_what_is_wrong_with_other_commands_is_told_in_a_line(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["sgdflow", *line.split()])
    assert main() == 1
    said = capsys.readouterr().err
    assert said.startswith(COMPLAINTS[line])
    assert len(said.splitlines()) == 1


def test_a_disk_that_is_full_before_anything_begins_is_told_with_the_key() -> None:
    error = OSError(ENOSPC, "No space left on device")
    told = "No space left on device. hydra.run.dir (with -m: hydra.sweep.dir) names another."
    assert refused(error, []) == f"The directory of the run: {told}"
    error.filename = "runs/first"
    assert refused(error, []) == f"runs/first: {told}"


def test_a_key_that_is_set_twice_is_said() -> None:
    assert repeated(["seed=1", "method=gepa", "+seed=2", "~tracking", "a.b=1"]) == (
        "Set more than once, and the last one is followed: seed."
    )
    assert repeated(["seed=1", "method.seed=1", "graph=single"]) == ""
