"""What of a configuration is written down, and read back: no secret, nothing of the environment."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from sgdflow.config.compose import changed, compose
from sgdflow.config.secret_words import without_secrets
from sgdflow.config.written import composed, concealed, lacking, read, references, written_of
from sgdflow.errors import ConfigError
from sgdflow.records import as_yaml
from sgdflow.secrets import in_address, looks_secret, masked


def test_names_that_may_hold_secrets() -> None:
    secret = "api_key apiKey OPENAI_API_KEY hf_token password db-password Authorization secret"
    plain = "tokens max_tokens keys key author tokenizer passes cookies_eaten seed api_key_env"
    assert [key for key in secret.split() if not looks_secret(key)] == []
    assert [key for key in plain.split() if looks_secret(key)] == []


def test_a_masked_address_keeps_all_but_its_secrets() -> None:
    said = "tried http://h:80/x and mysql://u:p%40w@db:3306/runs, not me:x@y"
    assert masked(said) == "tried http://h:80/x and mysql://u:***@db:3306/runs, not me:x@y"
    for secret in ("https://PW@h/v1", "http://u:PW@h", "http://u:P@W@h", "http://h?api-key=PW&a=1"):
        ((start, end),) = in_address(secret)
        assert secret[start:end].replace("@", "") == "PW"
    for plain in ("postgresql://me@host/runs", "http://h/a?b=1&tokens=2", "sqlite:///a:b@c.db"):
        assert masked(plain) == plain


ENVIRONMENT = {"TOK": "s3cr}et 'x'", "N": "5"}
DECLARED: dict[str, Any] = {
    "a": "${oc.env:TOK}",
    "b": "x ${oc.env:TOK} \\${literal} \\\\${oc.env:N}",
    "c": "${a}",
    "d": "${oc.decode:${oc.env:N}}",
    "e": "${oc.env:NONE,null}",
    "f": "\\${oc.env:TOK}",
    "g": "${oc.env:NONE,'d,e'}",
    "h": "plain \\${foo} {{ x }}",
    "i": "${oc.env:NONE,${c}}",
    "j": ["${oc.env:N}", 3, None, True, 0.5],
    "llm": {"parameters": {"extra_headers": {"A": "lit", "B": "${oc.env:TOK}"}}},
}


def test_what_comes_from_the_environment_stays_there_and_is_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    made = OmegaConf.create(DECLARED)
    found = composed(made)
    token = ENVIRONMENT["TOK"]
    assert dict(found)["b"] == f"x {token} ${{literal}} \\5"
    assert [found[key] for key in "acdefghi"] == [
        token, token, 5, None, "${oc.env:TOK}", "d,e", "plain ${foo} {{ x }}", token,
    ]  # fmt: skip
    assert found["j"] == ["5", 3, None, True, 0.5]
    text = as_yaml(found.written)
    assert token not in text
    assert "lit\n" not in text
    name = "SGDFLOW_LLM_PARAMETERS_EXTRA_HEADERS_A"
    assert found.written["llm"]["parameters"]["extra_headers"]["A"] == f"${{oc.env:{name}}}"
    again = yaml.safe_load(text)
    assert references(again)["llm.parameters.extra_headers.A"] == [name]
    monkeypatch.setenv(name, "lit")
    back = read(again)
    assert dict(back) == dict(found)
    assert back.written == again == found.written
    assert lacking(back) == ()
    # OmegaConf's own resolvers are those of before.
    assert OmegaConf.create({"a": "${oc.env:N}"}).a == "5"
    assert token not in repr(back) + repr(found)


def test_what_is_not_set_is_told_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NONE", raising=False)
    found = read({"llm": {"api_base": "http://u:${oc.env:NONE}@h", "a": "\\${oc.env:NONE}"}})
    assert found["llm"] == {"api_base": "http://u:${oc.env:NONE}@h", "a": "${oc.env:NONE}"}
    assert lacking(found) == (
        "llm.api_base: it refers to the environment variable NONE, which is not set. "
        "Set it, or say llm.api_base=VALUE.",
    )


SECRET, OTHER = "PL4NTED-value==", "PL4NTED second"
HIDDEN = [
    f"+llm.parameters.extra_headers.Authorization=Bearer {SECRET}",
    f"+llm.parameters.extra_headers={{Authorization: '{OTHER}', X-Y: '{SECRET}'}}",
    f"llm.models.forward={{model: openai/x, parameters: {{default_headers: {{X: '{SECRET}'}}}}}}",
    f"llm.api_base=http://u:{SECRET}@h:80/v1",
    f"llm.api_base='https://{SECRET}@h/v1?api-key=PL4NTED&v=1'",
    f"tracking.uri=postgresql://me:{SECRET}@h/x",
    f"task.data.password='{OTHER}','{SECRET}'",
    f"++hydra.job.env_set.HF_TOKEN={SECRET}",
    f"+llm.parameters.aws_secret_access_key={SECRET}",
    f"+graph.nodes.tool.forward.api_key={SECRET}",
    "llm.parameters.user=sk-PL4NTED-value",
]
PLAIN = [
    "seed=0,1", "-m", "~llm.parameters.top_p", "llm.models.auth=openai/x", "llm.api_key_env=MY_KEY",
    "graph.nodes.a.parameters.token='keep the secret: http://u:p@h'", "graph.nodes.auth.role=x",
    "tracking.uri=postgresql://me@h/x", "llm.limits.tokens_per_minute=4", "--config-dir=x",
    "llm.parameters.extra_headers.Authorization='Bearer ${oc.env:MINE}'", "a.password=${b.c}",
]  # fmt: skip


@pytest.mark.parametrize("word", HIDDEN)
def test_a_secret_on_the_command_line_goes_into_the_environment(word: str) -> None:
    (hidden,), given = without_secrets([word])
    assert "PL4NTED" not in hidden
    assert all(value.count("PL4NTED") == 1 for value in given.values())
    assert len(given) == word.count("PL4NTED")
    before = OverridesParser.create().parse_override(word.replace("==", "").replace(":80", ""))
    after = OverridesParser.create().parse_override(hidden.replace(":80", ""))
    assert after.get_key_element() == before.get_key_element()
    assert after.value_type == before.value_type
    assert without_secrets([hidden]) == ([hidden], {})


@pytest.mark.parametrize("word", PLAIN)
def test_all_other_words_stay_as_they_are(word: str) -> None:
    assert without_secrets([word]) == ([word], {})


def test_two_secrets_under_one_name_are_told_apart() -> None:
    config = {"llm": {"parameters": {"extra_headers": {"x-a": "1", "X_A": "2", "b": "1"}}}}
    hidden, given = concealed(config)
    assert sorted(given.values()) == ["1", "1", "2"]
    assert {given[names[0]] for names in references(hidden).values()} == {"1", "2"}


def test_a_configuration_keeps_its_secrets_through_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", SECRET)
    words = ["llm=openai", "llm.api_base=${oc.env:MINE}"]
    header = f"+llm.parameters.extra_headers.Authorization=Bearer {OTHER}"
    found = compose([*words, header])
    assert found["llm"]["api_base"] == SECRET
    assert found["llm"]["parameters"]["extra_headers"]["Authorization"] == f"Bearer {OTHER}"
    assert "PL4NTED" not in as_yaml(written_of(found))
    plain = changed(found.written, ["llm.name=other"])
    assert plain["llm"]["api_base"] == SECRET
    (message,) = lacking(plain)
    assert "SGDFLOW_LLM_PARAMETERS_EXTRA_HEADERS_AUTHORIZATION, which is not set" in message
    for more in (["llm.parameters.extra_headers.Authorization=abc"], [*words, header]):
        given = changed(found.written, more)
        said = given["llm"]["parameters"]["extra_headers"]["Authorization"]
        assert said == (f"Bearer {OTHER}" if more[1:] else "abc")
        assert "PL4NTED" not in as_yaml(given.written)
        assert "abc" not in as_yaml(given.written["llm"])


def test_messages_do_not_repeat_secrets() -> None:
    from sgdflow.config.prepare import validated

    words = [f"llm.api_base=['{SECRET}']", f"+llm.api_key={SECRET}", "llm.name=[http://u:PL4N@h]"]
    with pytest.raises(ConfigError) as told:
        validated(compose(words))
    assert "PL4N" not in str(told.value).replace(f"['{SECRET}']", "")
    assert "llm.api_key: there is no such key" in str(told.value)
