"""States and times as the command prints them."""

from pathlib import Path

import pytest

from imsg_testing.command_line import run_imsg
from imsg_testing.http_stub import HttpStub, reply
from imsg_testing.service import environment

UNTIL = "2026-11-30T10:00:00Z"
BLOCK = {"what": "default", "code": "unreachable", "detail": "mail.example.com", "since": UNTIL, "until": UNTIL}
PROVIDER = {
    "name": "default",
    "state": "blocked",
    "share": 1.0,
    "weight": 1,
    "sent": 0,
    "failed": 3,
    "p95_ms": None,
    "why": "default: unreachable mail.example.com",
    "last_error": None,
    "blocks": [BLOCK],
}
CHANNEL = {
    "method": "smtp",
    "state": "blocked",
    "why": "default: unreachable",
    "until": UNTIL,
    "waiting": 2,
    "lanes": None,
    "consumers": 1,
    "providers": [PROVIDER],
}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("zh_CN.UTF-8", ("异常", "default: 连不上", "default: 连不上 mail.example.com")),
        ("en_US.UTF-8", ("blocked", "default: unreachable", "default: unreachable mail.example.com")),
    ],
)
def test_states_are_in_the_reader_s_language_and_times_in_the_zone_of_imsg(
    tmp_path: Path, language: str, words: tuple[str, ...]
) -> None:
    stub = HttpStub(lambda _: reply({"errorCode": 0, "channels": [CHANNEL]}))
    settings = {"LANG": language, "TZ": "America/New_York", "IMSG_TIMEZONE": "Europe/Berlin", "IMSG_TOKEN": "a token"}
    with stub.running_apart():
        done = run_imsg("channels", "list", "--url", stub.url, env=environment(settings), cwd=tmp_path)

    assert done.returncode == 0, done
    assert [word for word in words if word not in done.stdout] == []
    assert "11-30 11:00:00 +0100" in done.stdout
