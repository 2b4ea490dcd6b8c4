"""`imsg doctor` with problems: the settings in force, their origin, and the remedy."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from imsg_testing.command_line import Ended, run_imsg
from imsg_testing.mailbox import Mailbox
from imsg_testing.servers import reserve_port
from imsg_testing.service import environment


def _doctor(folder: Path, **settings: str) -> Ended:
    return run_imsg("doctor", env=environment({"COLUMNS": "2000", **settings}), cwd=folder)


@contextmanager
def open_mailbox() -> Iterator[Mailbox]:
    """Run a mail server that wants a log-in."""
    mailbox = Mailbox()
    mailbox.users = {"imsg": "correct horse"}
    with mailbox.running_apart():
        yield mailbox


def test_it_shows_which_source_a_setting_comes_from_and_hides_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IMSG_SMTP__HOST=from-dotenv.example\nIMSG_TOKEN_HOURS=6\n")
    (tmp_path / "imsg.toml").write_text(
        'token_hours = 3\n[smtp]\nhost = "from-toml.example"\nsender = "a@example.com"\nusername = "imsg"\n'
        'password = "geheim-mail"\n'
    )
    port = reserve_port()
    nobody = f"127.0.0.1:{port}"

    done = _doctor(
        tmp_path,
        IMSG_SMTP__HOST="127.0.0.1",
        IMSG_SMTP__PORT=str(port),
        IMSG_GATEWAY_URL=f"http://{nobody}",
        IMSG_REDIS_URL=f"redis://:geheim-redis@{nobody}/0",
        IMSG_DATABASE_URL=f"postgresql://imsg:geheim-sql@{nobody}/imsg",
    )

    assert done.returncode == 1
    results = {words[0]: words[1:] for line in done.stdout.splitlines() if (words := line.split())}
    assert results["IMSG_SMTP__HOST"] == ["127.0.0.1", "environment"]
    assert results["IMSG_TOKEN_HOURS"] == ["6", ".env"]
    assert results["IMSG_SMTP__SENDER"] == ["a@example.com", "imsg.toml"]
    assert results["IMSG_SMTP__CONNECTIONS"] == ["8", "default"]
    assert results["IMSG_SMTP__PASSWORD"] == ["••••", "imsg.toml"]
    assert "geheim" not in done.stdout + done.stderr
    for remedy in ("imsg up", "IMSG_REDIS_URL", "IMSG_DATABASE_URL", "IMSG_SMTP__HOST"):
        assert any(line.startswith("✗") and remedy in line for line in done.stdout.splitlines()), remedy


def test_each_finding_is_in_chinese_for_who_reads_it(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{reserve_port()}"
    away = {"IMSG_GATEWAY_URL": f"http://{nobody}", "IMSG_REDIS_URL": f"redis://{nobody}/0"}

    done = _doctor(tmp_path, LC_ALL="zh_CN.UTF-8", IMSG_SMPT__HOST="a.example", **away)

    rows = done.stdout.partition("\n\n")[2].splitlines()[1:]
    assert len(rows) > 8
    assert [row for row in rows if not re.search("[一-鿿]{3}", row)] == []


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = _doctor(tmp_path, IMSG_PORT="eighty")

    assert done.returncode == 1
    assert "IMSG_PORT" in done.stdout


@pytest.mark.parametrize(
    ("password", "state"), [("correct horse", "accepts the log-in"), ("wrong", "refuses the log-in")]
)
def test_a_mail_servers_login_is_tried(tmp_path: Path, password: str, state: str) -> None:
    with open_mailbox() as mailbox:
        done = _doctor(tmp_path, **mailbox.settings, IMSG_SMTP__USERNAME="imsg", IMSG_SMTP__PASSWORD=password)

    (line,) = [line for line in done.stdout.splitlines() if f"127.0.0.1:{mailbox.port}" in line]
    assert state in line
    assert line.startswith("✗" if password == "wrong" else "✓")
    assert ("IMSG_SMTP__PASSWORD" in line) == (password == "wrong")


def test_a_named_mail_servers_remedy_names_its_own_settings(tmp_path: Path) -> None:
    with open_mailbox() as mailbox:
        own = {"IMSG_SMTP__USERNAME": "imsg", "IMSG_SMTP__PASSWORD": "correct horse"}
        settings = {name: value for name, value in {**mailbox.settings, **own}.items() if "SENDER" not in name}
        second = {name.replace("SMTP__", "SMTP__SERVERS__SECOND__"): value for name, value in settings.items()}
        second["IMSG_SMTP__SERVERS__SECOND__PASSWORD"] = "x"
        done = _doctor(tmp_path, IMSG_SMTP__SENDER="a@example.com", **settings, **second)

    wrong, right = [line for line in done.stdout.splitlines() if f"127.0.0.1:{mailbox.port}" in line]
    assert right.startswith("✓")
    assert wrong.startswith("✗")
    assert "IMSG_SMTP__SERVERS__SECOND__PASSWORD" in wrong
    assert "IMSG_SMTP__PASSWORD" not in wrong


WECHAT = {
    "IMSG_WECHAT__ACCOUNTS__MAIN__APPID": "wx2c2769f8efd9abc2",
    "IMSG_WECHAT__ACCOUNTS__MAIN__SECRET": "geheim-wechat",
    "IMSG_WECHAT__ACCOUNTS__MAIN__TOKEN": "geheim-token",
    "IMSG_WECHAT__ACCOUNTS__MAIN__AES_KEY": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "IMSG_WECHAT__ACCOUNTS__MAIN__TEMPLATE": "TM00015",
}


PLAIN, WRONG_TEMPLATES = "imsg:wechat:plain:main", "imsg:wechat:wrong-templates:main"


@pytest.fixture
def server(valkey_url: str) -> Iterator[redis.Redis]:
    """Connect to a Redis that knows nothing wrong of the account, before and after a test."""
    with redis.Redis.from_url(valkey_url) as opened:
        opened.delete(PLAIN, WRONG_TEMPLATES)
        yield opened
        opened.delete(PLAIN, WRONG_TEMPLATES)


def test_a_template_that_the_account_has_not_is_named(tmp_path: Path, valkey_url: str, server: redis.Redis) -> None:
    server.set(WRONG_TEMPLATES, '{"TM00015": "The account has no template TM00015; it has TM00016."}')

    told = _doctor(tmp_path, **WECHAT, IMSG_REDIS_URL=valkey_url)

    (line,) = [line for line in told.stdout.splitlines() if " WeChat " in line]
    assert line.startswith("✗")
    assert "no template TM00015" in line


def test_a_wechat_console_that_still_sends_plain_is_named(tmp_path: Path, valkey_url: str, server: redis.Redis) -> None:
    server.set(PLAIN, "1")
    settings = {**WECHAT, "IMSG_REDIS_URL": valkey_url}

    refused = _doctor(tmp_path, **settings)
    by_hand = _doctor(tmp_path, **settings, IMSG_WECHAT__ACCOUNTS__MAIN__MODE="any")

    (line,) = [line for line in refused.stdout.splitlines() if " WeChat " in line]
    assert line.startswith("✗")
    assert "main" in line
    assert "安全模式" in line
    assert "IMSG_WECHAT__ACCOUNTS__MAIN__MODE=any" in line
    (line,) = [line for line in by_hand.stdout.splitlines() if " WeChat " in line]
    assert line.startswith("✓")
    assert "main" in line
    assert "geheim" not in refused.stdout + by_hand.stdout
