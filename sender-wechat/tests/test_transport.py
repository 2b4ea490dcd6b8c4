"""Calls to WeChat on their option: through the environment's proxy, and what its trouble means."""

import asyncio

import httpx
import pytest

from imsg_testing.tcp_server import serve_tcp
from imsg_testing.wechat import wechat_server
from imsg_wechat import transport
from imsg_wechat.transport import CallFailure, Timeouts

PATIENT = Timeouts(connect_s=60, call_s=60)


async def test_the_environments_proxy_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the SMS providers are called; the names in NO_PROXY are reached directly."""
    async with wechat_server() as proxy, wechat_server() as server:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        async with transport.connect(PATIENT) as calls:
            through = await calls.call("GET", "http://wechat.test/cgi-bin/menu/get")
            await calls.call("GET", f"{server.url}/cgi-bin/menu/get")
    assert not isinstance(through, CallFailure)
    assert [httpx.URL(request.path).path for request in proxy.requests] == ["/cgi-bin/menu/get"]
    assert len(server.requests) == 1


async def test_a_proxy_that_is_away_or_refuses_has_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wechat_server([403]) as refusing:
        for proxy in ("http://127.0.0.1:1", refusing.url):
            monkeypatch.setenv("https_proxy", proxy)
            async with transport.connect(PATIENT) as calls:
                answer = await calls.call("POST", "https://wechat.test/cgi-bin/message/template/send", body={})
            assert isinstance(answer, CallFailure)
            assert not answer.may_have_it


async def test_a_handshake_that_never_ends_has_sent_nothing() -> None:
    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve_tcp(say_nothing) as port, transport.connect(Timeouts(connect_s=1, call_s=2)) as calls:
        answer = await calls.call("POST", f"https://127.0.0.1:{port}/cgi-bin/message/template/send", body={})
    assert isinstance(answer, CallFailure)
    assert not answer.may_have_it


async def test_no_more_of_an_answer_is_read_than_it_may_have() -> None:
    """A server that never stops answering is left once the bound is passed."""

    async def answer_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()

    async with serve_tcp(answer_without_end) as port, transport.connect(PATIENT) as calls:
        answer = await calls.call("GET", f"http://127.0.0.1:{port}/cgi-bin/menu/get")
    assert isinstance(answer, CallFailure)
    assert answer.code == "gibberish"
