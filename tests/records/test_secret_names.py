"""What of a configuration is kept out of records that others see."""

from __future__ import annotations

from sgdflow.records.secrets import NOT_LOGGED, looks_secret, masked, without_secrets


def test_names_that_may_hold_secrets() -> None:
    secret = "api_key apiKey OPENAI_API_KEY hf_token password db-password Authorization secret"
    plain = "tokens max_tokens keys key author tokenizer passes cookies_eaten seed"
    assert [key for key in secret.split() if not looks_secret(key)] == []
    assert [key for key in plain.split() if looks_secret(key)] == []


def test_a_secret_is_replaced_wherever_it_stands_and_nothing_else_is() -> None:
    data = {
        "llm": {"headers": [{"X-Api-Key": "S3CRET", "Accept": "all"}], "api_key": None},
        "tracking": {"uri": "postgresql://me:S3CRET@host/runs"},
        "password": {"old": "S3CRET", "new": "S3CRET"},
        "count": 3,
    }
    assert without_secrets(data) == {
        "llm": {"headers": [{"X-Api-Key": NOT_LOGGED, "Accept": "all"}], "api_key": None},
        "tracking": {"uri": "postgresql://me:***@host/runs"},
        "password": NOT_LOGGED,
        "count": 3,
    }


def test_a_masked_address_keeps_all_but_its_password() -> None:
    said = "tried http://h:80/x and mysql://u:p%40w@db:3306/runs, not me:x@y"
    assert masked(said) == "tried http://h:80/x and mysql://u:***@db:3306/runs, not me:x@y"
