"""Answers that break off, or that are not from iMSG."""

import gzip

import httpx
import pytest

from imsg_client import AsyncClient, Client
from imsg_client.errors import ConnectionFailed, UnexpectedAnswer
from imsg_testing.http_stub import BreakOff, HttpStub, Step, reply

ACCEPTED = {"errorCode": 0, "errorMessage": "OK", "id": "0" * 32, "count": 1}

HEAD = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nconnection: close\r\n"

HALF = b'{"errorCode": 0, "id": "0000'

BROKEN_OFF = {
    "shorter than it says": HEAD + b"content-length: 500\r\n\r\n" + HALF,
    "without a length": HEAD + b"\r\n" + HALF,
    "before its first byte": HEAD + b"\r\n",
    "in a chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n1c\r\n" + HALF + b"\r\n",
    "while packed": HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(HALF * 9, mtime=0)[:30],
    "and garbled": HEAD + b"content-encoding: gzip\r\n\r\n" + HALF,
    "of a refusal": HEAD.replace(b"202 Accepted", b"409 Conflict") + b"\r\n" + b'{"errorCode": 10016, "rea',
}


@pytest.mark.parametrize("half", BROKEN_OFF.values(), ids=BROKEN_OFF)
async def test_half_an_answer_is_repeated_under_the_same_key(half: bytes) -> None:
    steps: list[Step] = [BreakOff(half), reply(ACCEPTED, 202), BreakOff(half), reply(ACCEPTED, 202)]
    with HttpStub(lambda _: steps.pop(0)).running_apart() as server:
        async with AsyncClient(server.url, token="any") as waiting:
            sent = await waiting.send_mail("a@example.com", "once", "y")
        with Client(server.url, token="any") as imsg:
            assert imsg.send_mail("a@example.com", "once", "y") == sent
    keys = [asked.headers["idempotency-key"] for asked in server.asked]
    assert (keys[0], keys[2]) == (keys[1], keys[3])
    assert sent.id == ACCEPTED["id"]


def test_what_may_not_be_done_twice_is_not_repeated_after_half_an_answer() -> None:
    steps: list[Step] = [BreakOff(BROKEN_OFF["without a length"])]
    with (
        HttpStub(lambda _: steps.pop(0)).running_apart() as server,
        Client(server.url, token="any") as imsg,
        pytest.raises(ConnectionFailed, match="breaks off"),
    ):
        imsg.add_callback("https://example.com", ["message.sent"])
    assert len(server.asked) == 1


def test_a_page_in_place_of_a_file_is_no_report() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, html="<h1>Log in to the Wi-Fi</h1>", request=request)

    with Client("http://x", token="any", transport=httpx.MockTransport(page)) as imsg:
        with pytest.raises(UnexpectedAnswer, match="text/html"):
            imsg.report_file("0" * 32)
        with pytest.raises(UnexpectedAnswer, match="text/html"):
            imsg.report_leak("imsg_live_x")
