"""What is shown of a setting that holds a URL: never its password."""

from pathlib import Path

import pytest

from imsg.all_in_one import MODELS, Settings
from imsg.effective_settings import settings
from imsg_runtime.masking import mask
from imsg_runtime.settings import StartError, load


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:geheim@host:6379/0", "redis://:••••@host:6379/0"),
        ("amqp://imsg:geheim@a:5672,b:5672/v?cafile=/ca.pem", "amqp://imsg:••••@a:5672,b:5672/v?cafile=/ca.pem"),
        ("postgresql://imsg:geheim@a,b/imsg?sslmode=require", "postgresql://imsg:••••@a,b/imsg?sslmode=require"),
        ("postgresql://imsg:geheim@a:5432,b:5433/imsg", "postgresql://imsg:••••@a:5432,b:5433/imsg"),
        ("redis+sentinel://imsg:geheim@a,b:26380/main", "redis+sentinel://imsg:••••@a,b:26380/main"),
        ("redis+sentinel://a/main?sentinel_password=geheim", "redis+sentinel://a/main?sentinel_password=••••"),
        ("https://imsg.example.com:8443/", "https://imsg.example.com:8443/"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
    ],
)
def test_the_password_of_a_url_is_hidden_and_the_rest_is_shown(url: str, shown: str) -> None:
    assert mask(url) == shown


@pytest.mark.parametrize(
    "url",
    [
        "amqp://imsg:geheim@a,imsg:geheim@b/",
        "postgresql://imsg:geh/geheim@host/imsg",
        "postgresql://imsg:geh@geheim@host/imsg",
        "redis://:geh?geheim#geheim@host/0",
        "redis://:geh:geheim@host/0",
        "postgresql:///imsg?host=/run&user=imsg&password=geheim",
        "postgresql://host/imsg?sslpassword=geheim&PASSWORD=geheim",
        "redis://host/0?db=1&password=geheim",
        "amqps://imsg:geheim@a/?auth_token=geheim",
        "https://user:geheim@imsg.example.com/?token=geheim",
        "streams on redis://:geheim@host:6379/0",
    ],
)
def test_no_way_to_write_a_password_shows_it(url: str) -> None:
    assert "geheim" not in mask(url)


DESCRIBED = {
    "URL": "https://api.example.com/geheim/send?ak=geheim&to={number}",
    "BASIC": "geheim:geheim",
    "BODY": '{"apikey": "geheim", "pwd": "geheim", "to": "{number}", "text": "{text}"}',
    "HEADERS": '{"Authorization": "Bearer geheim"}',
    "SUCCESS": "code=0",
    "PULL__URL": "https://user:geheim@api.example.com/pull",
    "PULL__BODY": "account=geheim&secret={secret}",
    "PULL__SUCCESS": "code=0",
    "RECEIPTS__SIGNED__OF": "geheim{body}",
    "RECEIPTS__SIGNED__KEY": "geheim",
}


def _show(monkeypatch: pytest.MonkeyPatch, folder: Path, given: dict[str, str]) -> dict[str, str]:
    monkeypatch.chdir(folder)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return {setting.name: setting.value for setting in settings(MODELS, {})}


def test_a_described_call_shows_its_placeholders_and_no_word_between_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = _show(
        monkeypatch, tmp_path, {f"IMSG_SMS__ACCOUNTS__HTTP__{name}": value for name, value in DESCRIBED.items()}
    )
    assert "geheim" not in str(shown)
    assert shown["IMSG_SMS__ACCOUNTS__HTTP__BODY"] == "••••{number}••••{text}••••"
    assert shown["IMSG_SMS__ACCOUNTS__HTTP__BASIC"] == "••••"
    assert shown["IMSG_SMS__ACCOUNTS__HTTP__URL"] == "https://api.example.com••••{number}"
    assert shown["IMSG_SMS__ACCOUNTS__HTTP__SUCCESS"] == "code=0"


@pytest.mark.parametrize("name", ["IMSG_SMTP__SERVERS", "IMSG_WECHAT__ACCOUNTS", "IMSG_WECOM__ROBOTS"])
@pytest.mark.parametrize("value", ['{"a": {"password": "geheim"}', "ops=geheim", '{"a": {"key": "geheim"}}'])
def test_a_table_that_is_broken_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    try:
        said = str(_show(monkeypatch, tmp_path, {name: value}))
    except StartError as error:  # where it is no JSON
        said = str(error)
    assert said
    assert "geheim" not in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMSG_WECHAT__ACCOUNTS", "geheim"),
        ("IMSG_WECOM__ROBOTS", "geheim"),
        ("IMSG_WECOM__ROBOTS__OPS", "geheim"),
        ("IMSG_SMS__ACCOUNTS__HTTP__HEADERS", "Authorization: Bearer geheim"),
        ("IMSG_SMS__ACCOUNTS__HTTP__URL", "geheim"),
        ("IMSG_SMS__ACCOUNTS__HTTP__BASIC", '["geheim"]'),
        ("IMSG_SMTP__SERVERS", '{"a": "geheim"}'),
        ("IMSG_SMTP__PASSWORD", '{"a": "geheim"}'),
    ],
)
def test_a_start_that_fails_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    said = []
    for model in MODELS:
        try:
            load(model)
        except StartError as error:
            said.append(str(error))
    assert said
    assert "geheim" not in str(said)


@pytest.mark.parametrize(
    ("name", "value"),
    [("IMSG_LOG_LEVEL", "LOUD"), ("IMSG_REDIS_URL", "127.0.0.1:6379"), ("IMSG_CONFIG", "/nowhere/imsg.toml")],
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str) -> None:
    """Those of a process that starts: tests/e2e/test_life_and_death.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError, match=name):
        load(Settings)
