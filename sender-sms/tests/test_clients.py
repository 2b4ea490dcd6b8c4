"""Calls to a provider over the wire: connections kept, given up, or led through a proxy; errors as what they mean."""

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from imsg_sms.providers.clients import MOST_ANSWERED, NoAnswer, NotSent, open_clients
from imsg_testing.http_stub import Act, Asked, BreakOff, HttpStub, reply

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
CLOSING = ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


class Provider:
    """A server that answers every request alike, and not before so many wait."""

    def __init__(self, answer: bytes = ANSWER, *, at_once: int = 1) -> None:
        self._stub = HttpStub(self._answer_together)
        self._answer = answer
        self._together = asyncio.Barrier(at_once)

    @property
    def connections(self) -> list[list[bytes]]:
        """The heads it read, by connection."""
        return [[asked.head for asked in one] for one in self._stub.connections]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Listen for as long as the context lasts; yield the URL."""
        async with self._stub.running():
            yield f"{self._stub.url}/send"

    async def _answer_together(self, _: Asked) -> bytes:
        await self._together.wait()
        return self._answer


async def test_a_connection_is_used_again() -> None:
    """The request says what was asked, query and headers as they were given."""
    provider = Provider()
    async with provider.running() as url, open_clients() as clients:
        for number in range(3):
            answer = await clients.call("POST", f"{url}?to=%2B86&n={number}", {"x-key": "s"}, b"")
            assert (answer.status_code, answer.json()) == (200, {})
    (heads,) = provider.connections
    assert [head.split(b" ")[1] for head in heads] == [f"/send?to=%2B86&n={number}".encode() for number in range(3)]
    assert b"x-key: s\r\n" in heads[0]


async def test_calls_at_once_have_a_connection_each() -> None:
    """None waits for another's answer."""
    provider = Provider(at_once=3)
    async with provider.running() as url, open_clients() as clients, asyncio.timeout(10):
        await asyncio.gather(*(clients.call("GET", url, {}) for _ in range(3)))
    assert len(provider.connections) == 3


async def test_a_connection_that_the_provider_ends_is_not_used_again() -> None:
    """The next call has a fresh one."""
    provider = Provider(CLOSING)
    async with provider.running() as url, open_clients() as clients:
        for _ in range(2):
            assert (await clients.call("GET", url, {})).status_code == 200
    assert [len(heads) for heads in provider.connections] == [1, 1]


async def test_a_raw_url_is_encoded() -> None:
    """A description may hold Chinese."""
    provider = Provider()
    async with provider.running() as url, open_clients() as clients:
        await clients.call("GET", f"{url}?text=您好 a", {})
    assert provider.connections[0][0].startswith(b"GET /send?text=%E6%82%A8%E5%A5%BD%20a HTTP/1.1\r\n")


async def test_a_provider_that_is_not_there_has_nothing(reserved_port: int) -> None:
    """So another may be tried."""
    async with open_clients() as clients:
        with pytest.raises(NotSent):
            await clients.call("GET", f"http://127.0.0.1:{reserved_port}/", {})


async def test_a_url_that_nobody_can_call_is_not_sent() -> None:
    """A slip in a description is no doubt about a message."""
    async with open_clients() as clients:
        with pytest.raises(NotSent, match="ftp"):
            await clients.call("GET", "ftp://provider.test/send", {})


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{", b"nonsense\r\n\r\n"])
async def test_a_provider_that_breaks_off_may_have_it(answer: bytes) -> None:
    """Whatever it began to say: nobody knows what became of the call, and it is not repeated."""
    provider = HttpStub(lambda _: BreakOff(answer))
    async with provider.running(), open_clients() as clients:
        with pytest.raises(NoAnswer):
            await clients.call("GET", provider.url, {})
    assert len(provider.asked) == 1


async def test_a_packed_answer_is_unpacked_and_one_that_cannot_be_may_stand_for_anything() -> None:
    """Nor is its connection used again."""
    answers = [
        reply(gzip.compress(b"{}"), headers={"content-encoding": "gzip"}),
        reply(zlib.compress(b"{}"), headers={"Content-Encoding": "deflate"}),
        reply(b"no gzip", headers={"content-encoding": "gzip"}),
        ANSWER,
    ]
    provider = HttpStub(lambda _: answers.pop(0))
    async with provider.running(), open_clients() as clients:
        for _ in range(2):
            assert (await clients.call("GET", provider.url, {})).content == b"{}"
        with pytest.raises(NoAnswer):
            await clients.call("GET", provider.url, {})
        assert (await clients.call("GET", provider.url, {})).content == b"{}"
    assert [len(asked) for asked in provider.connections] == [3, 1]


async def test_an_answer_longer_than_any_is_none() -> None:
    provider = HttpStub(lambda _: reply(b"x" * (MOST_ANSWERED.octets + 1)))
    async with provider.running(), open_clients() as clients:
        with pytest.raises(NoAnswer, match="too long"):
            await clients.call("GET", provider.url, {})


async def test_a_provider_that_says_nothing_may_have_it() -> None:
    """After the time it was given."""
    provider = HttpStub(lambda _: Act.HANG)
    async with provider.running(), open_clients(answer_timeout_s=0.2) as clients:
        with pytest.raises(NoAnswer):
            await clients.call("POST", provider.url, {}, b"to=1")


async def test_the_environments_proxy_is_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """As curl does; the names in NO_PROXY are reached directly."""
    proxy, provider = Provider(), Provider()
    async with proxy.running() as through, provider.running() as url, open_clients() as clients:
        monkeypatch.setenv("http_proxy", through.removesuffix("/send").replace("://", "://me:pass@"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        await clients.call("GET", "http://provider.test/send?n=1", {})
        await clients.call("GET", url, {})
    (head,) = proxy.connections[0]
    assert head.startswith(b"GET http://provider.test/send?n=1 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic bwu6cgfzcw==" in head.lower()
    assert len(provider.connections) == 1
