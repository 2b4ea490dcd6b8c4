"""What a stranger can make iMSG hold: heads, bodies and connections are bounded, and nobody else waits for them."""

import asyncio
import base64
import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator

import pytest

from imsg_testing.deployment import Deployment, running

SLOW = 8
LARGE = 15_900_000
HALF_OPEN = 3_000


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Run `imsg up`."""
    with running(tmp_path_factory.mktemp("bounds")) as opened:
        opened.open_wide()
        yield opened


@contextlib.contextmanager
def talk(stack: Deployment, said: bytes, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """Open a connection from an address of this machine, and say something."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=60, source_address=(source, 0)) as sock:
        say(sock, said)
        yield sock


def say(sock: socket.socket, said: bytes) -> None:
    """Say something, as far as it is listened to."""
    with contextlib.suppress(OSError):
        sock.sendall(said)


def hear(sock: socket.socket) -> tuple[int, dict[str, object]]:
    """Read to the end of the connection; return the status and the JSON, or 0 where nothing was said."""
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


def test_half_open_connections_are_dropped_in_time_and_nobody_waits_for_them(stack: Deployment) -> None:
    """Half of them say nothing, half begin a head and drip on."""

    async def run() -> tuple[int, float]:
        silent = [await asyncio.open_connection("127.0.0.1", stack.port) for _ in range(HALF_OPEN // 2)]
        begun = [await asyncio.open_connection("127.0.0.1", stack.port) for _ in range(HALF_OPEN // 2)]
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
                async with asyncio.timeout(5):
                    await reader.read()
                ended += 1
            except ConnectionResetError:
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


def test_eight_slow_anonymous_bodies_stop_nobody(stack: Deployment) -> None:
    with contextlib.ExitStack() as connections:
        heads = [talk(stack, _send_head(LARGE + 100), f"127.0.1.{n}") for n in range(1, SLOW + 1)]
        slow = [connections.enter_context(head) for head in heads]
        for sock in slow:
            say(sock, b'{"a": "' + b"x" * LARGE)
        _send_three_large(stack)
        heard = [hear(sock) for sock in slow if _has_answer(sock)]
    assert heard, "somebody had to give way"
    assert {(status, answer["reason"]) for status, answer in heard} == {(503, "overloaded")}


def _send_three_large(stack: Deployment) -> None:
    time.sleep(2.5)  # they are as slow as slow is; what is measured is not this
    file = {"filename": "大文件.bin", "file": base64.b64encode(os.urandom(10_000_000)).decode()}
    body = {"to": "big@example.com", "method": "smtp", "content": {"subject": "s", "text": "t"}, "attachment": file}
    for _ in range(3):
        assert stack.call("POST", "/api/v2/messages", body, token=stack.token())["errorCode"] == 0


def _has_answer(sock: socket.socket) -> bool:
    sock.settimeout(1)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False
    finally:
        sock.settimeout(60)


def test_one_address_holds_an_eighth_of_the_budget_at_most(stack: Deployment) -> None:
    head, source = _send_head(LARGE + 100), "127.0.2.1"
    with talk(stack, head, source) as first, talk(stack, head, source) as second:
        say(first, b'{"a": "' + b"x" * LARGE)
        time.sleep(0.5)
        say(second, b'{"a": "' + b"x" * LARGE)
        status, answer = hear(second)
    assert (status, answer["errorCode"], answer["reason"]) == (429, 10016, "too_many_bodies")


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
