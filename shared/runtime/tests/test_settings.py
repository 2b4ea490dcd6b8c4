"""A wrong setting is one clear line that names it; lists and nested names come from the environment and TOML alike."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from imsg_broker.rabbitmq.address import parse
from imsg_runtime.settings import Common, Keys, StartError, Strings, is_loopback, load, variable


class Mail(BaseModel):
    """A nested group."""

    model_config = ConfigDict(frozen=True)
    host: str = "localhost"
    port: int = 25


class Settings(Common):
    """A service's settings."""

    smtp: Mail = Mail()
    token_key: Keys
    admin_password: SecretStr | None = None


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Change to a folder without .env or imsg.toml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IMSG_TOKEN_KEY", "first, second")
    return tmp_path


def test_keys_are_a_list_and_stay_hidden() -> None:
    """The first signs, all verify; a repr shows none."""
    settings = load(Settings)
    assert [key.get_secret_value() for key in settings.token_key] == ["first", "second"]
    assert "first" not in repr(settings)


def test_the_environment_wins_over_dotenv_and_dotenv_over_toml(
    monkeypatch: pytest.MonkeyPatch, empty_folder: Path
) -> None:
    """`IMSG_SMTP__HOST` and `[smtp] host` are one setting."""
    (empty_folder / "imsg.toml").write_text('[smtp]\nhost = "toml"\nport = 2525\n')
    assert load(Settings).smtp == Mail(host="toml", port=2525)
    (empty_folder / ".env").write_text("IMSG_SMTP__HOST=dotenv\n")
    assert load(Settings).smtp == Mail(host="dotenv", port=2525)
    monkeypatch.setenv("IMSG_SMTP__HOST", "environment")
    assert load(Settings).smtp == Mail(host="environment", port=2525)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IMSG_PORT", "99999", "must be from 1 to 65535"),
        ("IMSG_PORT", "http", "'http'"),
        ("IMSG_TIMEZONE", "Mars/Olympus", "IANA"),
        ("IMSG_LOG_LEVEL", "loud", "DEBUG"),
        ("IMSG_SMTP__PORT", "x", "integer"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """One line, with the variable's own name."""
    monkeypatch.setenv(name, value)
    with pytest.raises(StartError) as error:
        load(Settings)
    assert name in str(error.value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_value_is_named_with_where_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the three places."""
    monkeypatch.delenv("IMSG_TOKEN_KEY")

    class Needs(Common):
        secret: SecretStr

    with pytest.raises(StartError, match=r"IMSG_SECRET is not set; set it in the environment, \.env or imsg\.toml"):
        load(Needs)


def test_a_wrong_name_and_a_message_that_begins_with_a_variable_are_written_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An operator finds no `IMSG_ROBOTS__X Y__[KEY]`, or `iMSG_PORT`, in their own text."""

    class Names(Common):
        robots: dict[Annotated[str, Field(pattern="^[a-z]+$")], int]
        first: Annotated[int, AfterValidator(refuse)] = 0

    monkeypatch.setenv("IMSG_ROBOTS__X Y", "1")
    monkeypatch.setenv("IMSG_FIRST", "1")
    with pytest.raises(StartError) as error:
        load(Names)
    assert "IMSG_ROBOTS__X Y: string should match" in str(error.value)
    assert "IMSG_FIRST: IMSG_PORT is another" in str(error.value)


def refuse(_value: int) -> int:
    """Refuse any value by the variable of another."""
    raise ValueError("IMSG_PORT is another")


def test_a_missing_config_file_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped path must not mean defaults in silence."""
    monkeypatch.setenv("IMSG_CONFIG", "/nowhere/imsg.toml")
    with pytest.raises(StartError, match=r"IMSG_CONFIG names /nowhere/imsg\.toml"):
        load(Settings)


def test_a_broken_toml_is_one_line(empty_folder: Path) -> None:
    """Not a traceback."""
    (empty_folder / "imsg.toml").write_text("[smtp\n")
    with pytest.raises(StartError, match="can't be read"):
        load(Settings)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("::", False)],
)
def test_loopback_is_this_machine_alone(host: str, loopback: bool) -> None:  # noqa: FBT001
    """Documented passwords work there and only there."""
    assert is_loopback(host) is loopback


def test_a_field_and_its_variable_have_one_name() -> None:
    """Messages and docs speak of variables."""
    assert variable("smtp", "host") == "IMSG_SMTP__HOST"


@given(st.lists(st.text(st.characters(exclude_characters=",\0", exclude_categories=["Cs"]))))
def test_a_list_reads_as_what_stands_between_its_commas(items: list[str]) -> None:
    """Blank items and space around an item are dropped."""
    read = TypeAdapter(Strings).validate_python(" , ".join(items))
    assert read == tuple(item.strip() for item in items if item.strip())


@given(st.text() | st.builds("amqps://{}:{}@{},{}/{}?{}".format, *[st.text()] * 6))
def test_any_broker_url_is_read_or_refused_with_the_reason(url: str) -> None:
    """Whatever an operator pastes."""
    with suppress(ValueError):
        assert parse(url).hosts
