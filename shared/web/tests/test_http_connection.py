"""An answer is read as HTTP/1.1 has it, whole and within bounds, or is none; no connection in doubt is used again."""

import asyncio
import ssl

import pytest
import trustme

from imsg_testing.http_stub import Act, BreakOff, HttpStub, Step
from imsg_testing.tcp_server import serve_tcp
from imsg_web.http_connection import (
    HEAD_BYTES,
    BodyBound,
    Connection,
    HttpAnswer,
    NoAnswer,
    StaleConnection,
    Tls,
    connect,
    take_idle,
)

OK = b"HTTP/1.1 200 OK\r\n"
REQUEST = b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"
WHOLE = BodyBound(100_000)
CUT = BodyBound(4_096, is_cut=True)
BOTH = pytest.mark.parametrize("bound", [WHOLE, CUT])


def whole(body: bytes, *headers: bytes) -> bytes:
    """Write an answer with its length."""
    return OK + b"".join(header + b"\r\n" for header in (*headers, b"content-length: %d" % len(body))) + b"\r\n" + body


async def ask(bound: BodyBound, *answers: Step) -> tuple[list[HttpAnswer | str], int]:
    """Call for each answer in turn; return what came of each, and over how many connections."""
    left, idle = list(answers), list[Connection]()
    server, found = HttpStub(lambda _: left.pop(0)), list[HttpAnswer | str]()
    async with server.running():
        for _ in answers:
            connection = take_idle(idle, 60) or await connect(["127.0.0.1"], server.port, None, bound, 60)
            try:
                async with asyncio.timeout(60):
                    found.append(await connection.call(REQUEST))
            except NoAnswer as error:
                found.append(str(error))
            if connection.is_usable:
                idle.append(connection)
        for connection in idle:
            connection.close()
    return found, len(server.connections)


def contents(found: list[HttpAnswer | str]) -> list[bytes | str]:
    """List what was answered, and why not."""
    return [response.content if isinstance(response, HttpAnswer) else response for response in found]


@BOTH
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (whole(b"{}"), b"{}"),
        (OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", b"{}"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\nx-trailer: 1\r\n\r\n", b"{}"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + whole(b"{}"), b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (whole(b""), b""),
        (whole(b"x" * 4_096), b"x" * 4_096),
    ],
)
async def test_an_answer_is_read_in_each_of_its_forms_and_the_connection_used_again(
    bound: BodyBound, answer: bytes, body: bytes
) -> None:
    found, connections = await ask(bound, answer, whole(b"next"))
    assert contents(found) == [body, b"next"]
    assert connections == 1


@BOTH
@pytest.mark.parametrize("answer", [BreakOff(OK + b"\r\n{}"), whole(b"{}", b"connection: close")])
async def test_an_answer_without_a_length_or_with_close_ends_with_its_connection(
    bound: BodyBound, answer: Step
) -> None:
    found, connections = await ask(bound, answer, whole(b"next"))
    assert contents(found) == [b"{}", b"next"]
    assert connections == 2


@BOTH
@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (BreakOff(OK), "before a whole answer"),
        (BreakOff(OK + b"transfer-encoding: chunked\r\n\r\n9\r\n{"), "before a whole answer"),
        (BreakOff(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "before a whole answer"),
        (OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}", "can't be read"),
        (OK + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n{}", "can't be read"),
        (OK + b"bad header\r\n\r\n", "can't be read"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "can't be read"),
        (b"220 mail.example.com ESMTP\r\n", "can't be read"),
        (OK + b"x: " + b"x" * (HEAD_BYTES + 1), "the head of its answer is too long"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" * 2_000, "the head of its answer is too long"),
    ],
)
async def test_what_is_no_whole_answer_is_none(bound: BodyBound, answer: Step, why: str) -> None:
    found, connections = await ask(bound, answer, whole(b"next"))
    assert isinstance(found[0], str)
    assert why in found[0]
    assert contents(found)[1] == b"next"
    assert connections == 2


CHUNKS = b"transfer-encoding: chunked\r\n\r\n"
LONG = [
    whole(b"x" * (WHOLE.octets + 1)),
    OK + b"content-length: 99999999\r\n\r\n" + b"x" * (2 * WHOLE.octets),
    OK + CHUNKS + b"1;%b\r\nx\r\n" % (b"y" * 1_000) * 400,
    OK + CHUNKS + b"1\r\nx\r\n0\r\n" + b"".join(b"x-%d: y\r\n" % number for number in range(40_000)),
]
"""Longer than what is read: the body, or what frames it."""


@pytest.mark.parametrize("answer", LONG)
async def test_a_longer_answer_is_none(answer: bytes) -> None:
    found, connections = await ask(WHOLE, answer, whole(b"next"))
    assert contents(found) == ["its answer is too long", b"next"]
    assert connections == 2


@pytest.mark.parametrize("answer", LONG)
async def test_a_longer_answer_is_cut_where_its_beginning_is_enough(answer: bytes) -> None:
    """Its head is what came before the body; its unread rest is no other call's answer."""
    found, _ = await ask(CUT, answer, whole(b"next"))
    assert isinstance(found[0], HttpAnswer)
    assert found[0].status_code == 200
    assert found[0].content[:1] == b"x"
    assert len(found[0].content) <= CUT.octets
    assert len(found[0].headers) == 1
    assert contents(found)[1] == b"next"


async def test_as_much_as_is_kept_is_an_answer_though_no_more_comes() -> None:
    """A server that announces more and stays silent delays no caller."""
    found, _ = await ask(CUT, OK + b"content-length: 99999999\r\n\r\n" + b"x" * CUT.octets)
    assert contents(found) == [b"x" * CUT.octets]


@BOTH
async def test_what_comes_behind_an_answer_is_no_other_call_s(bound: BodyBound) -> None:
    found, connections = await ask(bound, whole(b"mine") + whole(b"nobody's"), whole(b"next"))
    assert contents(found) == [b"mine", b"next"]
    assert connections == 2


async def test_a_connection_closed_without_a_byte_is_distinguished_from_a_lost_answer() -> None:
    for answer, error in ((BreakOff(), StaleConnection), (BreakOff(OK), NoAnswer)):
        server = HttpStub(lambda _, answer=answer: answer)  # type: ignore[misc]
        async with server.running():
            connection = await connect(["127.0.0.1"], server.port, None, WHOLE, 60)
            with pytest.raises(NoAnswer) as caught:
                await connection.call(REQUEST)
            assert type(caught.value) is error
            with pytest.raises(StaleConnection):
                await connection.call(REQUEST)


async def test_who_gives_up_waiting_leaves_no_connection_behind() -> None:
    server = HttpStub(lambda _: Act.HANG)
    async with server.running():
        connection = await connect(["127.0.0.1"], server.port, None, WHOLE, 60)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await connection.call(REQUEST)
        assert not connection.is_usable


async def test_of_idle_connections_the_last_is_taken_and_the_old_are_closed() -> None:
    server = HttpStub(lambda _: whole(b""))
    async with server.running():
        older, newer = [await connect(["127.0.0.1"], server.port, None, WHOLE, 60) for _ in range(2)]
        for connection in (older, newer):
            await connection.call(REQUEST)
        idle = [older, newer]
        assert take_idle(idle, 60) is newer
        assert take_idle(idle, 0) is None
        assert not older.is_usable
        assert newer.is_usable
        newer.close()


async def test_the_first_address_that_answers_is_taken_and_the_name_is_what_is_verified() -> None:
    authority = trustme.CA()
    tls, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("a.example.com").configure_cert(tls)
    authority.configure_trust(ours)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        writer.write(whole(b"in private"))
        await reader.read()

    async with serve_tcp(serve, tls) as port:
        addresses = ["127.0.0.2", "127.0.0.1"]  # the first has no listener
        connection = await connect(addresses, port, Tls(ours, "a.example.com"), WHOLE, 60)
        assert (await connection.call(REQUEST)).content == b"in private"
        connection.close()
        with pytest.raises(OSError, match=r"(?i)certificate"):
            await connect(addresses, port, Tls(ours, "b.example.com"), WHOLE, 60)


async def test_a_connection_without_an_answer_reports_why() -> None:
    with pytest.raises(OSError, match="has no address"):
        await connect([], 80, None, WHOLE, 1)
    async with serve_tcp(_stay_silent) as port:
        context = ssl.create_default_context()
        with pytest.raises(OSError, match=r"no connection to 127\.0\.0\.1 in time"):
            await connect(["127.0.0.1"] * 2, port, Tls(context, "a.example.com"), WHOLE, 0.1)


async def _stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del writer
    await reader.read()


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [("text/plain; charset=gbk", "成功".encode("gbk"), "成功"), ("application/json", "成功".encode(), "成功")],
)
def test_a_text_is_decoded_by_the_answers_content_type(kind: str, content: bytes, text: str) -> None:
    assert HttpAnswer(200, ((b"content-type", kind.encode()),), content).text == text
