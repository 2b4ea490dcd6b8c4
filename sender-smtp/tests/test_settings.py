"""What sender-smtp reads, and what it refuses at start."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from imsg_runtime.settings import StartError, load
from imsg_smtp.main import app, open_channel
from imsg_smtp.settings import Settings, Smtp
from imsg_web import service_client

NEEDED = {
    "IMSG_SMTP__HOST": "mail.example.com",
    "IMSG_SMTP__SENDER": "天存 <noreply@example.com>",
    "IMSG_HISTORY_URL": "http://history:8000",
    "IMSG_SERVICE_KEY": "key",
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Read no `.env` or `imsg.toml` of the folder the tests run in."""
    monkeypatch.chdir(tmp_path)


def read(monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    for name, value in {**NEEDED, **more}.items():
        monkeypatch.setenv(name, value)
    return load(Settings)


def test_host_and_sender_are_all_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    smtp = read(monkeypatch).smtp
    assert smtp.protection == "starttls"
    assert smtp.server_port == 587
    assert smtp.uncertain == "repeat"


@pytest.mark.parametrize(("security", "port"), [("none", 25), ("starttls", 587), ("tls", 465)])
def test_the_port_follows_the_security(monkeypatch: pytest.MonkeyPatch, security: str, port: int) -> None:
    assert read(monkeypatch, IMSG_SMTP__SECURITY=security).smtp.server_port == port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_mail_goes_in_clear_unless_security_is_set(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    assert read(monkeypatch, IMSG_SMTP__HOST=host).smtp.protection == "none"
    assert read(monkeypatch, IMSG_SMTP__HOST=host, IMSG_SMTP__SECURITY="tls").smtp.protection == "tls"


def test_the_toml_file_names_the_same_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "imsg.toml").write_text('[smtp]\nhost = "toml.example.com"\nport = 2525\n', encoding="utf-8")
    monkeypatch.setenv("IMSG_SMTP__SENDER", "a@example.com")
    monkeypatch.setenv("IMSG_HISTORY_URL", "http://history")
    smtp = load(Settings).smtp
    assert (smtp.host, smtp.server_port) == ("toml.example.com", 2525)


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"IMSG_SMTP__SENDER": "天存"}, "IMSG_SMTP__SENDER"),
        ({"IMSG_SMTP__SENDER": "a@example.com\r\nBcc: b@example.com"}, "IMSG_SMTP__SENDER"),
        ({"IMSG_SMTP__HOST": "http://mail.example.com"}, "IMSG_SMTP__HOST"),
        ({"IMSG_SMTP__PORT": "0"}, "IMSG_SMTP__PORT"),
        ({"IMSG_SMTP__SECURITY": "ssl"}, "IMSG_SMTP__SECURITY"),
        ({"IMSG_SMTP__CONNECTIONS": "0"}, "IMSG_SMTP__CONNECTIONS"),
        ({"IMSG_SMTP__UNCERTAIN": "maybe"}, "IMSG_SMTP__UNCERTAIN"),
        ({"IMSG_SMTP__USERNAME": "imsg"}, "password"),
        ({"IMSG_SMTP__PASSWORD": "hunter22"}, "username"),
        ({"IMSG_SMTP__CA_FILE": "/no/such.pem"}, "IMSG_SMTP__CA_FILE"),
        (
            {"IMSG_SMTP__USERNAME": "imsg", "IMSG_SMTP__PASSWORD": "hunter22", "IMSG_SMTP__SECURITY": "none"},
            "IMSG_SMTP: .*…__SECURITY",
        ),
        ({"IMSG_SMTP__TEMPLATES": "visit"}, "IMSG_SMTP__TEMPLATES: mail has no templates"),
        (
            {"IMSG_SMTP__SERVERS__SECOND__HOST": "b.example.com", "IMSG_SMTP__SERVERS__SECOND__TEMPLATES": "visit"},
            "IMSG_SMTP__SERVERS__SECOND__TEMPLATES: mail has no templates.*categories",
        ),
        ({"IMSG_SMTP__ROUTES__SECOND__TEMPLATES": "visit"}, "IMSG_SMTP__ROUTES: .*IMSG_SMTP__SERVERS__NAME"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], named: str
) -> None:
    with pytest.raises(StartError, match=named) as raised:
        read(monkeypatch, **more)
    assert "hunter22" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_template_s_condition_is_refused_in_the_file_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    written = '[smtp.servers.second]\nhost = "b.example.com"\ntemplates = ["visit"]\n'
    (tmp_path / "imsg.toml").write_text(written, encoding="utf-8")
    with pytest.raises(StartError, match="IMSG_SMTP__SERVERS__SECOND__TEMPLATES: mail has no templates"):
        read(monkeypatch)


def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StartError, match=r"IMSG_SMTP__HOST.*IMSG_SMTP__SENDER.*IMSG_HISTORY_URL"):
        load(Settings)


def test_a_log_in_in_clear_is_allowed_to_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    smtp = read(
        monkeypatch,
        IMSG_SMTP__HOST="127.0.0.1",
        IMSG_SMTP__SECURITY="none",
        IMSG_SMTP__USERNAME="imsg",
        IMSG_SMTP__PASSWORD="hunter22",
    ).smtp
    assert smtp.password is not None
    assert "hunter22" not in repr(smtp)


def test_without_a_service_key_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch).model_copy(update={"service_key": ()})
    with pytest.raises(StartError, match="IMSG_SERVICE_KEY"):
        app(settings)


async def test_an_authority_that_is_none_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate", encoding="utf-8")
    smtp = Smtp(host="mail.example.com", sender="a@example.com", ca_file=file)
    async with service_client.connect("http://history", (SecretStr("key"),), {}) as history:
        with pytest.raises(StartError, match="IMSG_SMTP__CA_FILE"):
            async with open_channel(smtp, history):
                pass


MAILBOX = {
    "IMSG_SMTP__BOUNCE_MAILBOX__HOST": "imap.example.com",
    "IMSG_SMTP__BOUNCE_MAILBOX__USERNAME": "b@bounce.example.com",
    "IMSG_SMTP__BOUNCE_MAILBOX__PASSWORD": "hunter22",
}


def test_a_mailbox_for_bounces_is_read_over_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    smtp = read(monkeypatch, **MAILBOX).smtp
    assert smtp.bounce_listener is None
    assert smtp.bounce_mailbox is not None
    assert (smtp.bounce_mailbox.protection, smtp.bounce_mailbox.server_port) == ("tls", 993)
    assert smtp.bounce_mailbox.folder == "INBOX"
    assert "hunter22" not in repr(smtp)


def test_the_senders_own_mailbox_is_logged_in_to_as_its_server_is(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "IMSG_SMTP__USERNAME": "noreply@163.com",
        "IMSG_SMTP__PASSWORD": "hunter22",
        "IMSG_SMTP__BOUNCE_MAILBOX__HOST": "imap.163.com",
        "IMSG_SMTP__BOUNCE_MAILBOX__MOVE_TO": "退信",
        "IMSG_SMTP__SERVERS__QQ__HOST": "smtp.qq.com",
        "IMSG_SMTP__SERVERS__QQ__USERNAME": "1@qq.com",
        "IMSG_SMTP__SERVERS__QQ__PASSWORD": "hunter33",
        "IMSG_SMTP__SERVERS__QQ__BOUNCE_MAILBOX__HOST": "imap.qq.com",
        "IMSG_SMTP__SERVERS__QQ__BOUNCE_MAILBOX__PASSWORD": "hunter44",
        "IMSG_SMTP__SERVERS__PLAIN__HOST": "mail.example.com",
    }
    mailboxes = read(monkeypatch, **given).smtp.bounce_mailboxes
    found = {
        name: (mailbox.host, mailbox.username, mailbox.password and mailbox.password.get_secret_value())
        for name, mailbox in mailboxes.items()
    }
    assert found == {
        "default": ("imap.163.com", "noreply@163.com", "hunter22"),
        "qq": ("imap.qq.com", "1@qq.com", "hunter44"),
    }
    assert (mailboxes["default"].move_to, mailboxes["qq"].move_to) == ("退信", None)


def test_a_mailbox_of_two_servers_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    again = {name.replace("SMTP__", "SMTP__SERVERS__SECOND__"): value for name, value in MAILBOX.items()}
    given = {**MAILBOX, **again, "IMSG_SMTP__SERVERS__SECOND__HOST": "mail.example.com"}
    assert list(read(monkeypatch, **given).smtp.bounce_mailboxes) == ["default"]


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({**MAILBOX, "IMSG_SMTP__BOUNCE_MAILBOX__MOVE_TO": "INBOX"}, "IMSG_SMTP__BOUNCE_MAILBOX: .*move_to"),
        ({"IMSG_SMTP__BOUNCE_MAILBOX__HOST": "imap.example.com"}, "IMSG_SMTP__BOUNCE_MAILBOX__USERNAME is not set"),
        ({**MAILBOX, "IMSG_SMTP__BOUNCE_MAILBOX__SECURITY": "none"}, "IMSG_SMTP__BOUNCE_MAILBOX: .*unencrypted"),
        ({**MAILBOX, "IMSG_SMTP__BOUNCE_MAILBOX__CA_FILE": "/nowhere"}, "IMSG_SMTP__BOUNCE_MAILBOX__CA_FILE"),
        ({"IMSG_SMTP__BOUNCE_LISTENER__HOST": "0.0.0.0"}, "IMSG_SMTP__BOUNCE_LISTENER__PORT is not set"),
        ({"IMSG_SMTP__BOUNCE_LISTENER__PORT": "70000"}, "IMSG_SMTP__BOUNCE_LISTENER__PORT"),
        (
            {"IMSG_SMTP__BOUNCE_LISTENER__PORT": "2525", "IMSG_SMTP__BOUNCE_LISTENER__MAX_BYTES": "10"},
            "IMSG_SMTP__BOUNCE_LISTENER__MAX_BYTES",
        ),
        (
            {"IMSG_SMTP__BOUNCE_LISTENER__PORT": "2525", "IMSG_SMTP__BOUNCE_LISTENER__CERT_FILE": "/etc/hostname"},
            "IMSG_SMTP__BOUNCE_LISTENER: .*belong together",
        ),
    ],
)
def test_a_wrong_way_for_bounces_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], named: str
) -> None:
    with pytest.raises(StartError, match=named) as raised:
        read(monkeypatch, **more)
    assert "hunter22" not in str(raised.value)
