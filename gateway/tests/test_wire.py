"""Clients as they are on the wire: uploads large, slow and broken, connections kept, pipelined, odd request lines."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from imsg_contract.errors import Refusal
from imsg_runtime import redis
from imsg_testing.gateway import User, mail, process, token_of

BOUND_S = 60.0


@pytest.fixture(scope="module")
def port(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Run a gateway of its own on a database of its own."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    with process(valkey_url.removesuffix("/0") + "/8", folder) as port:
        yield port


@pytest.fixture
async def token(valkey_url: str, port: int) -> str:
    """Make a user, cached."""
    del port
    async with redis.connect(valkey_url.removesuffix("/0") + "/8") as store:
        await User(per_hour=1_000).write(store, "zhang")
    return token_of("zhang")


@dataclass
class Line:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def write(self, head: str, body: bytes = b"", length: int | None = None) -> None:
        """Write a request; `length` is what Content-Length says, the body's where it is None."""
        said = len(body) if length is None else length
        self.writer.write(f"{head}\r\nHost: localhost\r\nContent-Length: {said}\r\n\r\n".encode() + body)

    async def answer(self) -> tuple[int, dict[str, object]]:
        """Read one answer."""
        async with asyncio.timeout(BOUND_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            body = await self.reader.readexactly(length)
        assert "content-type: application/json; charset=utf-8" in head
        return int(head.split()[1]), json.loads(body)


@pytest.fixture
async def line(port: int) -> AsyncIterator[Line]:
    """Connect."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield Line(reader, writer)
    writer.close()


def sound(token: str) -> bytes:
    return json.dumps(mail(token=token)).encode()


async def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order(line: Line, token: str) -> None:
    line.write("POST /api/v2/messages HTTP/1.1", sound(token))
    assert (await line.answer())[1]["errorCode"] == 0
    for body in (sound(token), b"none", sound(token), b"[]"):
        line.write("POST /api/v2/messages HTTP/1.1", body)
    answers = [await line.answer() for _ in range(4)]
    assert [answer["errorCode"] for _, answer in answers] == [0, 10001, 0, 10001]
    assert [answer.get("reason") for _, answer in answers] == [None, "not_json", None, "not_an_object"]


async def test_a_length_over_the_limit_is_refused_before_the_body_is_sent(line: Line) -> None:
    line.write("POST /api/v2/messages HTTP/1.1", length=16 * 1024 * 1024 + 1)
    assert await line.answer() == (413, Refusal("too_large", limit=16 * 1024 * 1024).answer(english=False))


async def test_a_chunked_body_is_refused_as_soon_as_it_is_too_long(line: Line) -> None:
    line.writer.write(b"POST /api/v2/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    answer = asyncio.create_task(line.answer())
    for _ in range(40):
        if answer.done():
            break
        line.writer.write(chunk)
        await line.writer.drain()
        await asyncio.sleep(0)
    assert (await answer)[0] == 413


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("POST /api/v2/messages HTTP/1.1\r\nConnection: close", b" " * (17 * 1024 * 1024), 413),
        ("POST /api/v2/messages HTTP/1.0", b" " * (17 * 1024 * 1024), 413),
        ("POST /api/nothing HTTP/1.1\r\nConnection: close", b" " * (1024 * 1024), 404),
        ("POST /api/v2/messages HTTP/1.1\r\nTransfer-Encoding: nonsense", b"x" * (4 * 1024 * 1024), 400),
    ],
)
async def test_a_client_that_writes_all_before_it_reads_has_its_answer(
    port: int, head: str, body: bytes, status: int
) -> None:
    """Python's urllib asks for the connection's end; a reset on the rest of its body would take the answer away."""

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=BOUND_S) as plain:
            plain.sendall(f"{head}\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            plain.sendall(body)
            return b"".join(iter(lambda: plain.recv(65_536), b""))

    for _ in range(3):  # a reset depends on what is where when the answer is written
        answer = await asyncio.to_thread(ask)
        assert int(answer.split()[1]) == status
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["errorCode"] == 10001


async def test_a_chunked_body_is_read(line: Line, token: str) -> None:
    line.writer.write(b"POST /api/v2/messages HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
    body = sound(token)
    for at in range(0, len(body), 7):
        part = body[at : at + 7]
        line.writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        await line.writer.drain()
    line.writer.write(b"0\r\n\r\n")
    assert (await line.answer())[1]["errorCode"] == 0


async def test_an_interrupted_upload_sends_nothing_and_harms_no_other_call(port: int, line: Line, token: str) -> None:
    body = sound(token)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        before = (await client.post("/api/v2/messages", content=body)).headers["ratelimit"]
        line.write("POST /api/v2/messages HTTP/1.1", body[:-1], length=len(body))
        await line.writer.drain()
        line.writer.close()
        await line.writer.wait_closed()
        after = (await client.post("/api/v2/messages", content=body)).headers["ratelimit"]
    left = [int(told.split("r=")[1].split(";")[0]) for told in (before, after)]
    assert left[0] - left[1] == 1


async def test_a_post_without_a_body_is_no_json(line: Line) -> None:
    line.writer.write(b"POST /api/v2/messages HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await line.answer())[1]["errorCode"] == 10001


async def test_http_1_0_and_expect_100_continue_are_served(port: int, line: Line, token: str) -> None:
    body = sound(token)
    line.writer.write(b"POST /api/v2/messages HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n")
    line.writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode())
    async with asyncio.timeout(BOUND_S):
        assert b"100 Continue" in await line.reader.readuntil(b"\r\n\r\n")
    line.writer.write(body)
    assert (await line.answer())[1]["errorCode"] == 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    old = Line(reader, writer)
    old.write("POST /api/v2/messages HTTP/1.0", body)
    assert (await old.answer())[1]["errorCode"] == 0
    assert await reader.read() == b""
    writer.close()


async def test_a_path_in_raw_utf_8_is_read_as_if_it_were_encoded(line: Line, token: str) -> None:
    body = json.dumps({"token": token, "available": "天存\n天存"}, ensure_ascii=False).encode()
    for _ in range(2):
        line.write("POST /api/modify/天存-system-1001?token=天 HTTP/1.1", body)
        assert (await line.answer())[1]["errorCode"] == 10016
    whole = sound(token)
    last = f"Length: {len(whole)}\r\n\r\n"
    for piece in ("POST /api/mod", "ify/天", "存 HTTP/1.1\r\nHost: localhost\r\nContent-", last):
        line.writer.write(piece.encode())
        await line.writer.drain()
        await asyncio.sleep(0.01)
    line.writer.write(whole)
    assert (await line.answer())[1]["errorCode"] == 10016


async def test_what_is_no_http_is_answered_in_the_public_shape(line: Line) -> None:
    line.writer.write(b"\x16\x03\x01\x02\x00\x01\r\n\r\n")
    assert await line.answer() == (400, Refusal("not_http").answer(english=False))
    assert await line.reader.read() == b""


@pytest.mark.parametrize("offer", ["h2c", "TLS/1.0"])
async def test_an_offered_upgrade_is_left_alone_and_the_body_read(line: Line, token: str, offer: str) -> None:
    """Java's HttpClient offers HTTP/2 with its first request: it shall not lose its body."""
    body = sound(token)
    for offered in (f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {offer}\r\nHTTP2-Settings: AAEAAEAA", "X-A: b"):
        line.write(f"POST /api/v2/messages HTTP/1.1\r\n{offered}", body[:20], length=len(body))
        await line.writer.drain()
        line.writer.write(body[20:])
        assert (await line.answer())[1]["errorCode"] == 0
