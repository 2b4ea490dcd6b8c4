"""What reaches the log: no token of a URL, and at DEBUG nothing that libraries say of cookies and typed text."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import structlog

from imsg_runtime.logs import HeldLines, RecurringProblem, configure, logger


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Restore logging after a test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_token_in_a_url_reaches_no_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json" if form == "json" else "text")
    try:
        urlsplit("http://[/api/query?token=c2VjcmV0Kw==&to=x").port  # noqa: B018
    except ValueError as error:
        error.add_note("http://iMSG/api/query?token=c2VjcmV0Kw==&to=x is wrong")
        logging.getLogger("nicegui").exception("http://iMSG/nowhere?Token=c2VjcmV0 not found")
        logger("test").exception("bug", url="/api/query?to=x&token=c2VjcmV0")
    logging.getLogger("library").warning("GET %s failed", "/api/query?token=c2VjcmV0%3D")
    said = capsys.readouterr().err
    assert "c2VjcmV0" not in said
    assert said.count("oken=••••") >= 5
    assert "&to=x is wrong" in said


class Terminal(io.StringIO):
    """A stream that says that it is a terminal, or that it is none."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return self.is_terminal


def write_lines() -> None:
    """Write lines of every kind."""
    log = logger("test")
    log.info(
        "answered", ms=1.5, status=200, user="library system", why='a="b"\n', empty="", members=[1, "天"], key=None
    )
    log.warning("不明 x", ä="天存")
    try:
        int("x")
    except ValueError:
        log.exception("bug", stack_info=True)
        logging.getLogger("library").exception("%s failed", "it")


def test_a_log_that_is_no_terminal_has_the_text_of_a_terminal_without_its_colours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = []
    for is_terminal in (False, True):
        stream = Terminal(is_terminal=is_terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        structlog.reset_defaults()
        configure("INFO", "text")
        write_lines()
        texts.append(stream.getvalue())
    colourless = re.sub(r"\x1b\[[0-9;]*m", "", texts[1])
    plain, coloured = (re.sub(r"(?m)^\S+Z ", "", text) for text in (texts[0], colourless))
    assert texts[1] != colourless
    assert plain == coloured


def test_lines_that_are_held_follow_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    lines = HeldLines(sys.stderr)
    configure("INFO", "json", lines)
    logger("test").warning("first")
    logging.getLogger("library").warning("second")
    assert capsys.readouterr().err == ""
    lines.release()
    logger("test").warning("third")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["first", "second", "third"]


SECRET_URLS = (
    "https://imsg.example.com/hooks/sms/twilio/geheim/inbound?a=b/c",
    "/hooks/sms/http/geheim",
    "http://imsg/hooks/sms/aliyun/geheim/inbound",
    "/hooks//sms/twilio/geheim",
    "/HOOKS/smtp/geheim?recipient=a@example.com",
    "/hooks/smtp/ge/geheim",
    "GET /u/geheim HTTP/1.1",
    "https://imsg.example.com/oidc/callback?code=geheim&state=geheim",
    "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=geheim",
    "https://api.weixin.qq.com/cgi-bin/user/info?access_token=geheim&openid=o",
    "/hooks/wechat/main?signature=geheim&msg_signature=geheim",
    "https://user:geheim@provider.example.com/send",
    "amqp://imsg:ge/h@geheim@rabbitmq:5672/",
)


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_secret_of_a_url_reaches_a_line(form: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json" if form == "json" else "text")
    log = logger("test")
    try:
        int(f"no answer from {url}")
    except ValueError as error:
        log.exception("bug", why=str(error))
        logging.getLogger("library").exception("%s failed", url)
    log.warning("not_signed", why=url, path=url)
    said = capsys.readouterr().err
    assert "geheim" not in said
    assert said.count("••••") >= 4


@pytest.mark.parametrize(
    "text", ["/api/v2/messages/0190/1", "status=200", "a/b", "per_hour=5 key=x", "http://history:8000/internal/x?n=1"]
)
def test_what_is_no_secret_is_shown(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("INFO", "json")
    logger("test").warning("seen", why=text)
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["engineio.server", "socketio.server", "websockets.server", "uvicorn.error", "nicegui"]
)
def test_debug_is_ours_alone(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure("DEBUG", "text")
    logging.getLogger(name).debug('cookie: imsg_session=secret, 42["event", "typed"]')
    logger("test").debug("ours")
    said = capsys.readouterr().err
    assert "secret" not in said
    assert "ours" in said


def test_a_trouble_of_a_loop_is_logged_for_each_new_reason_and_when_it_is_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("INFO", "json")
    problem = RecurringProblem(logger("loop"), "not_published", method="sms")
    for _ in range(2):
        for why in ("refused", "refused", "timed out", "refused", "timed out"):
            problem.report(why)
        problem.clear()
        problem.clear()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [(line["event"], line.get("why"), line.get("times"), line["method"]) for line in lines]
    assert (
        told
        == [
            ("not_published", "refused", None, "sms"),
            ("not_published", "timed out", 3, "sms"),
            ("not_published_over", None, 5, "sms"),
        ]
        * 2
    )


def test_a_block_that_raises_notes_the_trouble_and_the_next_that_does_not_clears_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the block raises besides the named errors goes on."""
    configure("INFO", "json")
    problem = RecurringProblem(logger("loop"), "not_published", method="sms")
    for error in (TimeoutError("too late"), TimeoutError("too late"), None, None):
        with problem.catch(TimeoutError, account="main"):
            if error is not None:
                raise error
    with pytest.raises(KeyError), problem.catch(TimeoutError):
        raise KeyError
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["event"], line.get("why"), line.get("account"), line.get("times")) for line in lines] == [
        ("not_published", "too late", "main", None),
        ("not_published_over", None, None, 2),
    ]


def test_calls_that_fail_and_succeed_in_turn_have_one_problem(capsys: pytest.CaptureFixture[str]) -> None:
    """Five hundred requests a second, of which every second one fails, must not log a thousand lines."""
    configure("INFO", "json")
    now = 0.0
    problem = RecurringProblem(logger("calls"), "not_accepted", quiet_s=10.0, clock=lambda: now)
    for _ in range(2):
        for _ in range(500):
            now += 0.01
            problem.report("the broker is away")
            problem.clear()
        now += 10
        problem.clear()
    for _ in range(2):
        problem.report("the broker is away")  # and no call after it succeeds
        now += 10
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    rejections = [("not_accepted", None), ("not_accepted_over", 500)]
    assert [(line["event"], line.get("times")) for line in lines] == [
        *rejections, *rejections, ("not_accepted", None), ("not_accepted_over", 1), ("not_accepted", None)
    ]  # fmt: skip
