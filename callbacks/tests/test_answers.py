"""What strangers answer, however they write it: read within bounds, and never mistaken for another call's answer."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trustme

from imsg_callbacks.post import KEPT, Poster, open_poster
from imsg_callbacks.schedule import Answer
from imsg_testing.listening import listening
from imsg_web.http_connection import HEAD_BYTES

GOOD = b"HTTP/1.1 204 No Content\r\n\r\n"


class Server:
    """Counts connections and calls."""

    def __init__(self, answers: list[bytes], *, closes: bool) -> None:
        self.answers, self.closes = answers, closes
        self.port = self.connections = self.calls = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.connections += 1
        while self.answers:
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
            self.calls += 1
            writer.write(self.answers.pop(0))
            await writer.drain()
            if self.closes:
                return
        await reader.read()

    async def call(self, poster: Poster, scheme: str = "http", host: str = "127.0.0.1") -> Answer:
        """Call it."""
        return await poster.post(f"{scheme}://{host}:{self.port}/", b"{}", {})


@asynccontextmanager
async def answering(*answers: bytes, closes: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Answer calls by these, one after the other over all connections; close after each where wanted."""
    server = Server(list(answers), closes=closes)
    async with listening(server.serve, tls) as port:
        server.port = port
        yield server


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "can't be read"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * (HEAD_BYTES + 1), "too long"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", "before a whole answer"),
    ],
)
async def test_what_is_no_answer_is_said_and_nothing_is_kept(said: bytes, error: str) -> None:
    async with answering(said, GOOD, closes=True) as server, open_poster(("127.0.0.1",)) as poster:
        answer, following = await server.call(poster), await server.call(poster)

    assert (answer.status, following.status, server.connections) == (None, 204, 2)
    assert error in (answer.error or "")


async def test_a_connection_is_used_again_but_not_behind_what_nobody_asked_for() -> None:
    async with answering(GOOD, GOOD + GOOD, GOOD) as server, open_poster(("127.0.0.1",)) as poster:
        answers = [await server.call(poster) for _ in range(3)]

    assert [answer.status for answer in answers] == [204, 204, 204]
    assert server.connections == 2, "the second answer came with one more, so that its connection was left"


async def test_a_connection_that_was_closed_meanwhile_is_made_anew_and_the_call_is_made_once() -> None:
    async with answering(GOOD, GOOD, closes=True) as server, open_poster(("127.0.0.1",)) as poster:
        answers = [await server.call(poster) for _ in range(2)]

    assert ([answer.status for answer in answers], server.calls) == ([204, 204], 2)


async def test_of_an_endless_answer_no_more_is_read_than_is_kept() -> None:
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * (2 * KEPT.octets)
    async with answering(said, GOOD) as server, open_poster(("127.0.0.1",), timeout_s=3) as poster:
        answer, following = await server.call(poster), await server.call(poster)

    assert (answer.status, len(answer.body or ""), following.status) == (200, KEPT.octets, 204)


async def test_a_certificate_is_verified_for_the_name_that_is_called() -> None:
    authority = trustme.CA()
    tls, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("callbacks.example.com").configure_cert(tls)
    authority.configure_trust(ours)

    async def look_up(host: str, port: int) -> list[str]:
        del host, port
        return ["127.0.0.1"]

    opening = open_poster(("127.0.0.1",), look_up=look_up, context=ours)
    async with answering(GOOD, GOOD, tls=tls) as server, opening as poster:
        right = await server.call(poster, "https", "callbacks.example.com")
        wrong = await server.call(poster, "https", "another.example.com")

    assert (right.status, wrong.status) == (204, None)
    assert "certificate" in (wrong.error or "").lower()
