"""Headers, bodies and connections of strangers are bounded, and no other client waits for them."""

import asyncio
import base64
import contextlib
import json
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from imsg_testing.deployment import Deployment
from imsg_testing.waiting import wait

pytestmark = pytest.mark.xdist_group("bounces")

SLOW = 8
LARGE = 15_900_000
HALF_OPEN = 3_000
MIB = 1024 * 1024


@pytest.fixture
def stack(bouncing: Deployment) -> Deployment:
    """`imsg up`, which takes bounces by a push."""
    return bouncing


@contextlib.contextmanager
def talk(stack: Deployment, said: bytes, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Open a connection from an address of this machine, and say something."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60, source_address=(source, 0)) as sock:
        say(sock, said)
        yield sock


def say(sock: socket.socket, said: bytes) -> None:
    """Send bytes, unless the connection is closed."""
    with contextlib.suppress(OSError):
        sock.sendall(said)


def hear(sock: socket.socket) -> tuple[int, dict[str, object]]:
    """Read to the end of the connection; return the status and the JSON, or 0 without an answer."""
    heard = b""
    try:
        while piece := sock.recv(65_536):
            heard += piece
    except ConnectionResetError:
        pass
    head, _, body = heard.partition(b"\r\n\r\n")
    if not head:
        return 0, {}
    answer: dict[str, object] = json.loads(body)
    return int(head.split()[1]), answer


@pytest.mark.parametrize("path", ["/api/login", "/login", "/hooks/sms/aliyun/x", "/sandbox/inbox", "/", "/socket.io/"])
@pytest.mark.parametrize("pieces", [1, 40])
def test_a_head_over_32_kib_is_refused_wherever_it_goes(stack: Deployment, path: str, pieces: int) -> None:
    line = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n".encode()
    with talk(stack, line) as sock:
        for n in range(pieces):
            say(sock, b"X-%d: " % n + b"a" * (40_000 // pieces) + b"\r\n")
        say(sock, b"\r\n")
        status, answer = hear(sock)
    assert (status, answer["errorCode"], answer["reason"]) == (431, 10001, "head_too_large")
    assert "32768" in str(answer["detail"])


def test_a_head_of_31_kib_is_read(stack: Deployment) -> None:
    head = f"GET /api/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-A: {'a' * 31_000}\r\n\r\n"
    with talk(stack, head.encode()) as sock:
        status, answer = hear(sock)
    assert (status, answer["errorCode"]) == (200, 10001)


@pytest.mark.long
def test_half_open_connections_are_dropped_in_time_and_delay_no_other(stack: Deployment) -> None:
    """Half of them say nothing, half begin a head and drip on."""

    async def run() -> tuple[int, float]:
        ten = [(f"127.0.5.{n}", 0) for n in range(10)]
        silent, begun = [
            [
                await asyncio.open_connection("127.0.0.1", stack.port, local_addr=ten[n % 10])
                for n in range(HALF_OPEN // 2)
            ]
            for _ in range(2)
        ]
        began = time.monotonic()
        for _, writer in begun:
            writer.write(b"GET / HTTP/1.1\r\nHost: lo")
        slowest = 0.0
        while time.monotonic() - began < 14:
            asked = time.monotonic()
            answer = await asyncio.to_thread(stack.call, "GET", "/health/live")
            slowest = max(slowest, time.monotonic() - asked)
            assert answer["errorCode"] == 0
            for _, writer in begun:
                if not writer.is_closing():
                    writer.write(b"c")
            await asyncio.sleep(0.5)
        ended = 0
        for reader, writer in (*silent, *begun):
            try:
                async with asyncio.timeout(60):
                    await reader.read()
                ended += 1
            except ConnectionError:
                ended += 1
            except TimeoutError:
                pass
            writer.close()
        return ended, slowest

    ended, _ = asyncio.run(run())
    assert ended == HALF_OPEN


def _send_head(length: int, token: str = "") -> bytes:
    bearer = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST /api/v2/messages HTTP/1.1\r\nHost: localhost\r\n{bearer}Content-Length: {length}\r\n"
        "Connection: close\r\n\r\n"
    ).encode()


@pytest.mark.long
def test_eight_slow_anonymous_bodies_block_no_other_client(stack: Deployment) -> None:
    with contextlib.ExitStack() as connections:
        heads = [talk(stack, _send_head(LARGE + 100), f"127.0.1.{n}") for n in range(1, SLOW + 1)]
        slow = [connections.enter_context(head) for head in heads]
        connections.enter_context(_dripping(slow))
        for sock in slow:
            say(sock, b'{"a": "' + b"x" * LARGE)
        time.sleep(2.5)  # they are as slow as slow is; what is measured is not this
        for _ in range(3):
            _send_large(stack)
        heard = [hear(sock) for sock in select.select(slow, [], [], 60)[0]]
    assert heard, "somebody had to give way"
    assert {(status, answer["reason"]) for status, answer in heard} == {(503, "overloaded")}


@contextlib.contextmanager
def _dripping(slow: Sequence[socket.socket]) -> Iterator[None]:
    """Send an octet on each connection now and then: it is refused for its silence, after 15 s."""
    is_over = threading.Event()

    def drip() -> None:
        while not is_over.wait(3):
            for sock in slow:
                say(sock, b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _send_large(stack: Deployment) -> None:
    file = {"filename": "大文件.bin", "file": base64.b64encode(os.urandom(10_000_000)).decode()}
    body = {"to": "big@example.com", "method": "smtp", "content": {"subject": "s", "text": "t"}, "attachment": file}

    def is_accepted() -> bool:  # at once, unless this process stood still and its body was the slowest
        return bool(stack.call("POST", "/api/v2/messages", body, token=stack.token())["errorCode"] == 0)

    wait(is_accepted, 60)


def test_one_address_holds_an_eighth_of_the_budget_at_most(stack: Deployment) -> None:
    head, source = _send_head(LARGE + 100), "127.0.2.1"
    with talk(stack, head, source) as first, talk(stack, head, source) as second:
        for sock in (first, second):
            say(sock, b'{"a": "' + b"x" * LARGE)
        answered, _, _ = select.select([first, second], [], [], 60)
        heard = [hear(sock) for sock in answered]
    assert {(status, answer["errorCode"], answer["reason"]) for status, answer in heard} == {
        (429, 10016, "too_many_bodies")
    }


@pytest.mark.parametrize(
    ("path", "most"), [("/api/login", 64 * 1024), ("/api/v2/login", 64 * 1024), ("/login", 16 * 1024)]
)
def test_an_open_route_takes_little(stack: Deployment, path: str, most: int) -> None:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{stack.port}\r\nOrigin: http://localhost:{stack.port}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    with talk(stack, head.encode()) as sock:
        for _ in range(most // 4_096 + 2):
            say(sock, b"1000\r\n" + b"x" * 4_096 + b"\r\n")
        heard = sock.recv(65_536)
    assert b" 413 " in heard or (path == "/api/login" and b"too_large" in heard)


def test_hooks_take_a_mebibyte(stack: Deployment) -> None:
    secret = (stack.data / "secrets" / "sms_hook_secret").read_text().strip()
    head = f"POST /hooks/sms/aliyun/{secret} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048600\r\n\r\n"
    with talk(stack, head.encode()) as sock:
        say(sock, b"x" * 1_048_600)
        assert b" 413 " in sock.recv(65_536)


def _push(path: str, *headers: str, length: int = MIB) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}", "Connection: close", *headers)
    return "\r\n".join((*lines, "", "")).encode()


def _sign(name: str = "1", *, age_s: int = 0, signature: str = "") -> tuple[str, ...]:
    digest = signature or "v1," + base64.b64encode(bytes(32)).decode()
    return (
        f"webhook-id: {name}",
        f"webhook-timestamp: {int(time.time()) - age_s}",
        f"webhook-signature: {digest}",
    )


@pytest.mark.parametrize(
    "sign",
    [
        lambda: (),
        lambda: _sign()[:2],
        lambda: _sign()[1:],
        lambda: _sign(age_s=600),
        lambda: _sign(age_s=-600),
        lambda: _sign(signature="v1,"),
        lambda: _sign(signature="v1,bm90IGEgZGlnZXN0"),
        lambda: _sign(signature="v1a," + "A" * 88),
        lambda: _sign(signature="v1,签名"),
    ],
)
def test_a_push_whose_signature_has_no_form_or_is_old_is_refused_unread(
    stack: Deployment, sign: Callable[[], tuple[str, ...]]
) -> None:
    headers = sign()  # now, since its time counts from the test's beginning
    with talk(stack, _push("/hooks/smtp", *headers)) as sock:  # and not one octet of its body
        status, answer = hear(sock)
    assert (status, answer["reason"]) == (401, "not_signed")


@pytest.mark.parametrize(
    "path",
    [
        "/hooks/smtp",
        "/sandbox/aliyun/",
        "/sandbox/wecom/cgi-bin/webhook/send?key=x",
        "/sandbox/wechat/api/cgi-bin/message/template/send",
        "/sandbox/sms/replies",
        "/api/v2/messages",
    ],
)
def test_bodies_of_one_address_share_one_budget_wherever_they_go(stack: Deployment, path: str) -> None:
    """Twenty that drip, half of them at other URLs of other services: 16 MiB are held, and no more."""
    source = f"127.0.6.{len(path)}"
    with contextlib.ExitStack() as connections:
        slow = []
        for n in range(20):
            url = path if n % 2 else "/hooks/smtp"
            headers = _sign() if url == "/hooks/smtp" else ()
            sock = connections.enter_context(talk(stack, _push(url, *headers), source))
            say(sock, b"x" * (MIB - 1))
            slow.append(sock)
        answered, _, _ = select.select(slow, (), (), 60)
        heard = [hear(sock) for sock in answered]
        with talk(stack, _push("/api/login", length=2) + b"{}", "127.0.7.1") as other:
            assert hear(other)[0] == 200
    assert heard, "somebody was told to wait"
    assert {answer["reason"] for _, answer in heard} == {"too_many_bodies"}


def test_one_address_has_a_thousand_connections(stack: Deployment) -> None:
    refused: list[tuple[int, object]] = []

    def is_refused() -> bool:
        """Try one more beside a thousand, of which each is dropped after ten seconds."""
        with contextlib.ExitStack() as connections:
            for _ in range(1_000):
                connections.enter_context(talk(stack, b"", "127.0.8.1"))
            with talk(stack, b"", "127.0.8.1") as one_more:
                status, answer = hear(one_more)
            refused[:] = [(status, answer.get("reason"))]
            with talk(stack, _push("/api/login", length=2) + b"{}", "127.0.8.2") as other:
                return status != 0 and hear(other)[0] == 200

    wait(is_refused, 120, why=lambda: str(refused))
    assert refused == [(429, "too_many_connections")]

    def is_heard() -> bool:
        with talk(stack, _push("/api/login", length=2) + b"{}", "127.0.8.1") as again:
            return hear(again)[0] == 200

    wait(is_heard, 60)
