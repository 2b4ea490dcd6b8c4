"""httpx on connections of our own: the same answers and errors, by one write and without the engine behind it."""

import asyncio
import gzip
import ssl
import subprocess
import sys

import httpx
import pytest
import trustme

from imsg_runtime.http_connection import write_request
from imsg_runtime.http_pool import HttpPool, NotConnected, Place
from imsg_runtime.http_transport import ConnectionTransport
from imsg_testing.http_stub import BreakOff, HttpStub, Step
from imsg_testing.listening import listening

OK = b"HTTP/1.1 200 OK\r\n"


def whole(body: bytes, *headers: bytes) -> bytes:
    """Write an answer with its length."""
    return OK + b"".join(header + b"\r\n" for header in (*headers, b"content-length: %d" % len(body))) + b"\r\n" + body


def client(port: int) -> httpx.AsyncClient:
    """Open a client to a stub."""
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", transport=ConnectionTransport(), timeout=httpx.Timeout(2, connect=2)
    )


async def call(*answers: Step, verb: str = "GET") -> tuple[list[object], int]:
    """Call for each answer in turn; return status and content or the error's kind, and how many connections it took."""
    left, found = list(answers), list[object]()
    server = HttpStub(lambda _: left.pop(0))
    async with server.running(), client(server.port) as http:
        while left:
            try:
                answer = await http.request(verb, "/一?q=a b")
                found.append((answer.status_code, answer.content))
            except httpx.HTTPError as error:
                found.append(type(error))
    return found, len(server.connections)


async def test_answers_come_in_all_their_forms_over_one_connection() -> None:
    found, connections = await call(
        whole(b"{}"),
        OK + b"transfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        whole(gzip.compress(b"short"), b"content-encoding: gzip"),
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
    )
    assert found == [(200, b"{}"), (200, b"[]"), (204, b""), (200, b"short"), (404, b"")]
    assert connections == 1


async def test_what_is_no_answer_is_an_error_of_httpx() -> None:
    found, _ = await call(BreakOff(OK), b"220 mail ESMTP\r\n", whole(b"{}"), verb="POST")
    assert found == [httpx.RemoteProtocolError, httpx.RemoteProtocolError, (200, b"{}")]


async def test_a_question_whose_kept_connection_was_just_closed_is_asked_once_more() -> None:
    """Of a GET alone: another call may have been carried out."""
    found, connections = await call(whole(b"1"), BreakOff(b""), whole(b"2"))
    assert found == [(200, b"1"), (200, b"2")]
    assert connections == 2
    found, _ = await call(whole(b"1"), BreakOff(b""), whole(b"2"), verb="POST")
    assert found == [(200, b"1"), httpx.RemoteProtocolError, (200, b"2")]


async def test_nobody_there_and_nobody_answering_are_told_apart() -> None:
    async with client(1) as http:
        with pytest.raises(httpx.ConnectError):
            await http.get("/")

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(say_nothing) as port, client(port) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/", timeout=httpx.Timeout(0.2, connect=2))


async def test_a_certificate_is_verified_for_the_name_that_is_called() -> None:
    authority = trustme.CA()
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("broker.example").configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(whole(b"{}"))
        await writer.drain()
        writer.close()

    async with listening(answer, serving) as port:

        async def ask(name: str) -> int:
            request = write_request("GET", b"/", [(b"host", b"h")], None)
            place = Place("127.0.0.1", port, trusting, name)
            return (await HttpPool().call(place, request, 2, may_repeat=True)).status_code

        assert await ask("broker.example") == 200
        with pytest.raises(NotConnected, match="certificate"):
            await ask("another.example")
        async with httpx.AsyncClient(transport=ConnectionTransport()) as http:
            with pytest.raises(httpx.ConnectError, match="certificate"):
                await http.get(f"https://127.0.0.1:{port}/")


async def test_a_header_that_would_be_two_is_not_sent() -> None:
    async with client(1) as http:
        with pytest.raises(httpx.LocalProtocolError, match="line end"):
            await http.get("/", headers={"x": "1\r\ny: 2"})


def test_the_engine_behind_httpx_is_not_loaded() -> None:
    """What is imported by accident comes back by accident; it was 3 MiB in each service."""
    code = (
        "import asyncio, sys, httpx; from imsg_runtime.http_transport import ConnectionTransport\n"
        "async def go():\n"
        "    async with httpx.AsyncClient(transport=ConnectionTransport()) as http:\n"
        "        try: await http.get('http://127.0.0.1:1/')\n"
        "        except httpx.ConnectError: pass\n"
        "asyncio.run(go()); print([one for one in ('httpcore', 'h11', 'anyio') if one in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603
    assert told.stdout.strip() == "[]"
