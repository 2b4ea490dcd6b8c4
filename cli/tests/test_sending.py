"""`imsg send`: lists, chunks, and what is repeated."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from imsg import sending
from imsg.api import Refused, Unreachable, connect
from imsg_testing.command_line import run_imsg
from imsg_testing.http_stub import Asked, BreakOff, HttpStub, Step, reply
from imsg_testing.service import environment

MESSAGE = sending.Message("smtp", {"subject": "hello", "text": "您好"})


class Server:
    """Answers what it is given, the last for good (None: hangs up); keeps what came."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self._waiting = list(answers)
        self._stub = HttpStub(self._answer)
        self._running = ExitStack()
        self._running.enter_context(self._stub.running_apart())

    @property
    def url(self) -> str:
        """Where it is."""
        return self._stub.url

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked."""
        return [asked.json for asked in self._stub.asked]

    @property
    def keys(self) -> list[str]:
        """The idempotency key of each request."""
        return [asked.headers["idempotency-key"] for asked in self._stub.asked]

    def close(self) -> None:
        """End it."""
        self._running.close()

    def _answer(self, _: Asked) -> Step:
        answer = self._waiting.pop(0) if len(self._waiting) > 1 else self._waiting[0]
        return BreakOff() if answer is None else reply(answer)


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    opened: list[Server] = []

    def open_one(*answers: dict[str, Any] | None) -> Server:
        opened.append(Server(*answers))
        return opened[-1]

    yield open_one
    for server in opened:
        server.close()


def _send(url: str, to: Sequence[str], chunk: int = 10_000) -> sending.Sent:
    with connect(url, "token") as api:
        return sending.send(api, MESSAGE, to, chunk, wait_s=0.0)


OK = {"errorCode": 0, "errorMessage": "OK", "id": "0" * 32, "count": 2}
UNKNOWN = {"errorCode": 10012, "errorMessage": "系统内部错误", "reason": "outcome_unknown", "detail": "?"}
USED_UP = {"errorCode": 10013, "errorMessage": "超出发送消息的频率限制", "reason": "per_hour_used_up", "detail": "."}


def test_one_recipient_is_a_string_and_many_are_a_list(serve: Serve) -> None:
    server = serve(OK)

    _send(server.url, ["a@example.com"])
    _send(server.url, ["a@example.com", "b@example.com"])

    assert [body["to"] for body in server.bodies] == ["a@example.com", ["a@example.com", "b@example.com"]]


def test_a_reference_and_a_life_go_along_where_they_are_given(serve: Serve) -> None:
    server = serve({"errorCode": 0, "id": "a", "count": 1})
    message = sending.Message("smtp", {"subject": "hello", "text": "您好"}, reference="订单-1", expires_in=60)
    with connect(server.url, "token") as api:
        sending.send(api, message, ["a@example.com"])
        sending.send(api, MESSAGE, ["a@example.com"])
    assert [(body.get("reference"), body.get("expires_in")) for body in server.bodies] == [("订单-1", 60), (None, None)]


def test_a_long_list_goes_in_chunks_each_under_its_own_key(serve: Serve) -> None:
    server = serve(OK)

    sent = _send(server.url, [f"{n}@example.com" for n in range(5)], chunk=2)

    assert [len(body["to"]) if isinstance(body["to"], list) else 1 for body in server.bodies] == [2, 2, 1]
    assert len(set(server.keys)) == 3
    assert sent.recipients == 5


def test_an_unknown_outcome_is_repeated_under_the_same_key(serve: Serve) -> None:
    server = serve(UNKNOWN, OK)

    sent = _send(server.url, ["a@example.com"])

    assert sent.recipients == 1
    assert len(server.keys) == 2
    assert len(set(server.keys)) == 1


def test_an_answer_that_never_came_is_repeated_too(serve: Serve) -> None:
    server = serve(None, OK)

    _send(server.url, ["a@example.com"])

    assert len(server.keys) == 2


def test_a_refusal_in_the_middle_reports_how_many_were_sent(serve: Serve) -> None:
    server = serve(OK, USED_UP)

    with pytest.raises(sending.Interrupted) as stopped:
        _send(server.url, [f"{n}@example.com" for n in range(6)], chunk=2)

    assert stopped.value.sent.recipients == 2
    assert isinstance(stopped.value.why, Refused)
    assert "10013" in stopped.value.why.words
    assert len(server.bodies) == 2


def test_a_missing_server_is_reported_at_once(reserved_port: int) -> None:
    with pytest.raises(sending.Interrupted) as stopped:
        _send(f"http://127.0.0.1:{reserved_port}", ["a@example.com"])

    assert isinstance(stopped.value.why, Unreachable)
    assert "does not answer" in str(stopped.value.why)


def test_a_list_file_has_comments_blank_lines_and_a_bom(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("\ufeffa@example.com\r\n\n# 上海\n  李四 \n", encoding="utf-8")

    assert sending.read_recipients(["first@example.com"], tmp_path / "list") == [
        "first@example.com",
        "a@example.com",
        "李四",
    ]


def test_what_is_not_given_stands_in_no_body() -> None:
    content = {"subject": "x", "text": "x"}
    assert set(sending.Message("smtp", content).body(["a@example.com"])) == {"to", "method", "content"}
    named = sending.Message("smtp", content, sender="news", reply_to="help", expires_in=60)
    body = named.body(["a@example.com", "b@example.com"])
    assert {"sender": "news", "reply_to": "help", "expires_in": 60}.items() <= body.items()
    assert body["to"] == ["a@example.com", "b@example.com"]


def test_a_large_group_becomes_recipients_with_what_the_template_takes(serve: Serve) -> None:
    """It takes what is published, whatever the draft says; members of one address are one recipient, the first."""
    member = {"contacts": {}, "to": "zhang@example.com", "params": {"姓名": "张三", "班级": "三二班"}, "language": None}
    members = [
        member,
        {
            **member,
            "contacts": {"smtp": "li@example.com", "sms": "13800138000"},
            "params": {"班级": "三二班"},
            "language": "en",
        },
        {**member, "to": "wang@example.com", "params": {}},
        {**member, "params": {"姓名": "别人"}},
    ]
    server = serve(
        OK | {"members": 10_001},
        OK | {"version": 3, "published": 2, "params": [{"name": "draft"}]},
        OK | {"version": 2, "published": 2, "params": [{"name": "姓名"}, {"name": "成绩"}]},
        OK | {"members": members, "next": None},
    )
    with connect(server.url, "token") as api:
        assert sending.read_groups(api, ["三二班"], ["smtp", "sms"], "grade") == [
            {"to": "zhang@example.com", "params": {"姓名": "张三"}},
            {"to": "li@example.com", "contacts": {"sms": "13800138000"}, "language": "en"},
            "wang@example.com",
        ]


@pytest.mark.parametrize(
    ("at", "named"),
    [
        ("2027-10-31 02:30", "write 2027-10-31T02:30:00+0200 or 2027-10-31T02:30:00+0100"),
        ("2027-03-28 02:30", "2027-03-28 02:30:00 never comes"),
        ("2027-03-28 03:30", "does not answer"),
        ("2027-10-31T02:30:00+0100", "does not answer"),
    ],
)
def test_a_time_that_the_clock_shows_twice_or_never_is_named(tmp_path: Path, at: str, named: str) -> None:
    """In Berlin, by `send` and by `move`: no call is made before the time is clear."""
    for verb in (("send", "li@example.com", "--subject", "s", "--text", "t"), ("move", f"{1:032x}")):
        env = environment({"IMSG_TIMEZONE": "Europe/Berlin"})
        done = run_imsg(*verb, "--at", at, "--url", "http://127.0.0.1:1", env=env, cwd=tmp_path)
        assert (done.returncode in (2, 3), named in done.stderr) == (True, True), done
