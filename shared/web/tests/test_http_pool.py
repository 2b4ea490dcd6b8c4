"""Calls over connections that are kept: within bounds, none made twice, and errors say whether anything was sent."""

import asyncio
import gzip
import ssl
import zlib
from collections.abc import Sequence
from typing import Any

import pytest
import trustme

from imsg_testing.http_stub import Act, Asked, BreakOff, HttpStub, Step, reply
from imsg_testing.tcp_server import serve_tcp
from imsg_web.http_pool import BodyBound, HttpPool, NoAnswer, NotSent, Proxy

OK = reply({}, headers={"content-type": "application/json"})
BOUND = BodyBound(100_000)


def open_pool(bound: BodyBound = BOUND, **options: Any) -> HttpPool:  # noqa: ANN401
    """Make a pool whose waits run out only where a test wants it."""
    defaults = {"connect_timeout_s": 30.0, "answer_timeout_s": 30.0, "idle_s": 60.0, "max_connections": 100}
    return HttpPool(bound, **{**defaults, **options})


def serve(*answers: Step) -> HttpStub:
    """Make a server of these answers, the last of which it repeats."""
    left = list(answers)
    return HttpStub(lambda _: left.pop(0) if len(left) > 1 else left[0])


class Tls:
    """A certificate authority, a server's context and a client's."""

    def __init__(self, *names: str) -> None:
        authority = trustme.CA()
        self.server, self.client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        authority.issue_cert(*names).configure_cert(self.server)
        authority.configure_trust(self.client)


async def test_a_connection_is_used_again_and_a_request_arrives_as_it_was_given() -> None:
    pool, server = open_pool(), serve(OK)
    async with server.running():
        for number in range(3):
            url = f"{server.url}/send?to=%2B86&n={number}"
            answer = await pool.call("POST", url, {"X-Key": "s", "user-agent": "me"}, b"{}")
            assert (answer.status_code, answer.json()) == (200, {})
        await pool.call("GET", f"{server.url}?text=您好 a", {})
    pool.close()
    (asked,) = server.connections
    assert [request.target for request in asked[:3]] == [f"/send?to=%2B86&n={number}" for number in range(3)]
    assert (asked[0].headers["x-key"], asked[0].headers["user-agent"], asked[0].body) == ("s", "me", b"{}")
    assert asked[0].headers["host"] == f"127.0.0.1:{server.port}"
    assert asked[3].target == "/?text=%E6%82%A8%E5%A5%BD%20a"
    assert "content-length" not in asked[3].headers


async def test_calls_at_once_have_a_connection_each_up_to_the_bound() -> None:
    together = asyncio.Barrier(3)

    async def answer(_: Asked) -> Step:
        await together.wait()
        return OK

    pool, server = open_pool(max_connections=3), HttpStub(answer)
    async with server.running(), asyncio.timeout(60):
        answers = await asyncio.gather(*(pool.call("GET", server.url, {}) for _ in range(9)))
    pool.close()
    assert (len(answers), len(server.connections)) == (9, 3)


async def test_a_call_that_finds_no_free_connection_in_time_is_not_sent() -> None:
    has_arrived = asyncio.Event()

    def answer(_: Asked) -> Step:
        has_arrived.set()
        return Act.HANG

    pool, server = open_pool(max_connections=1), HttpStub(answer)
    async with server.running(), asyncio.timeout(60):
        hanging = asyncio.create_task(pool.call("GET", server.url, {}))
        await has_arrived.wait()
        pool._connect_timeout_s = 0.1
        with pytest.raises(NotSent, match="in use"):
            await pool.call("GET", f"{server.url}/second", {})
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
    assert len(server.asked) == 1


@pytest.mark.parametrize("url", ["ftp://provider.test/", "provider.test", "http://", "http://a:b/", "http://[::/"])
async def test_an_invalid_url_is_not_sent(url: str) -> None:
    with pytest.raises(NotSent):
        await open_pool().call("GET", url, {})


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0b", "天存"])
async def test_a_value_that_no_header_can_hold_is_not_sent(value: str) -> None:
    server = serve(OK)
    async with server.running():
        with pytest.raises(NotSent, match="a header holds"):
            await open_pool().call("GET", server.url, {"x-key": value})
    assert not server.asked


async def test_a_host_that_is_away_or_whose_tls_hangs_was_sent_nothing(reserved_port: int) -> None:
    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serve_tcp(say_nothing) as silent_port:
        for url in (
            f"http://127.0.0.1:{reserved_port}/",
            f"https://127.0.0.1:{silent_port}/",
            "http://nowhere.invalid/",
        ):
            with pytest.raises(NotSent):
                await open_pool(connect_timeout_s=0.3).call("POST", url, {}, b"{}")


@pytest.mark.parametrize("step", [BreakOff(), BreakOff(OK[:-1]), BreakOff(b"nonsense\r\n\r\n"), Act.RESET, Act.HANG])
async def test_a_call_that_is_not_answered_may_have_arrived_and_is_not_repeated(step: Step) -> None:
    has_arrived, steps = asyncio.Event(), [step, OK]

    def answer(_: Asked) -> Step:
        has_arrived.set()
        return steps.pop(0)

    pool, server = open_pool(), HttpStub(answer)
    async with server.running():
        pool._answer_timeout_s = 3 if step is Act.HANG else 30
        with pytest.raises(NoAnswer):
            await pool.call("GET", server.url, {})
        pool._answer_timeout_s = 30
        async with asyncio.timeout(60):
            await has_arrived.wait()
        assert len(server.asked) == 1
        assert (await pool.call("GET", server.url, {})).status_code == 200
    pool.close()
    assert [len(asked) for asked in server.connections] == [1, 1]


@pytest.mark.parametrize("repeats_stale", [True, False])
async def test_a_call_on_a_connection_that_was_just_closed_is_repeated_only_where_it_may_be(
    repeats_stale: bool,  # noqa: FBT001
) -> None:
    pool, server = open_pool(repeats_stale=repeats_stale), serve(OK, BreakOff(), OK)
    async with server.running():
        await pool.call("POST", server.url, {}, b"1")
        if repeats_stale:
            assert (await pool.call("POST", server.url, {}, b"2")).status_code == 200
        else:
            with pytest.raises(NoAnswer):
                await pool.call("POST", server.url, {}, b"2")
    pool.close()
    assert [request.body for request in server.asked] == ([b"1", b"2", b"2"] if repeats_stale else [b"1", b"2"])


async def test_a_packed_answer_is_unpacked_and_one_that_cannot_be_costs_its_connection() -> None:
    packed = {"content-encoding": "gzip"}
    pool = open_pool()
    server = serve(
        reply(gzip.compress(b"{}"), headers=packed),
        reply(zlib.compress(b"{}"), headers={"Content-Encoding": "deflate"}),
        reply(b"no gzip", headers=packed),
        reply(gzip.compress(b"{}")[:-9], headers=packed),
        reply(gzip.compress(b"x" * (BOUND.octets + 1)), headers=packed),
        reply(b"?", headers={"content-encoding": "br"}),
        OK,
    )
    async with server.running():
        for _ in range(2):
            assert (await pool.call("GET", server.url, {})).content == b"{}"
        for why in ("unpacked", "cut off", "too long", "as br"):
            with pytest.raises(NoAnswer, match=why):
                await pool.call("GET", server.url, {})
        assert (await pool.call("GET", server.url, {})).content == b"{}"
    pool.close()
    assert [len(asked) for asked in server.connections] == [3, 1, 1, 1, 1]


@pytest.mark.parametrize("bound", [BodyBound(10), BodyBound(10, is_cut=True)])
async def test_no_more_of_an_answer_is_read_than_its_bound(bound: BodyBound) -> None:
    """32 MiB were, whatever the caller said."""
    pool, server = open_pool(bound), serve(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 100_000)
    async with server.running():
        if bound.is_cut:
            assert (await pool.call("GET", server.url, {})).content == b"x" * 10
        else:
            with pytest.raises(NoAnswer, match="too long"):
                await pool.call("GET", server.url, {})


async def test_the_answer_to_a_head_has_no_body_whatever_its_content_length() -> None:
    pool = open_pool()
    server = HttpStub(
        lambda asked: b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" if asked.verb == "HEAD" else reply("hello")
    )
    async with server.running():
        head = await pool.call("HEAD", server.url, {})
        assert (head.status_code, head.content, head.find_header(b"content-length")) == (200, b"", b"9")
        assert (await pool.call("GET", server.url, {})).content == b"hello"
    pool.close()
    assert len(server.connections) == 1


async def test_the_addresses_are_the_resolvers_and_its_refusal_is_the_callers() -> None:
    async def resolve(host: str, _: int) -> Sequence[str]:
        if host == "inside.test":
            raise PermissionError("no")
        if host == "forbidden.test":
            raise LookupError("inside a network")
        return ["127.0.0.1"]

    tls = Tls("a.test")
    pool, server = open_pool(resolve=resolve, context=tls.client), serve(OK)
    async with server.running(tls.server):
        assert (await pool.call("GET", f"https://a.test:{server.port}/", {})).status_code == 200
        for name, error in (("b.test", NotSent), ("inside.test", NotSent), ("forbidden.test", LookupError)):
            with pytest.raises(error):
                await pool.call("GET", f"https://{name}:{server.port}/", {})
    pool.close()
    assert len(server.asked) == 1


class TunnelProxy:
    """A proxy that opens tunnels to one server, whatever host it is asked for."""

    def __init__(self, port: int, status: int, head: bytes = b"HTTP/1.1 %d Any\r\n\r\n") -> None:
        self.heads: list[bytes] = []
        self._port, self._status, self._head = port, status, head

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Open one tunnel."""
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._head % self._status)
        if self._status != 200:
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._copy(reader, back))
            group.create_task(self._copy(there, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        finally:
            writer.close()


async def test_a_proxy_is_asked_for_http_and_opens_a_tunnel_for_https() -> None:
    """Names and certificates are the target's, and the proxy alone receives its credentials."""
    tls = Tls("provider.test")
    server, plain_proxy = serve(OK), serve(OK)
    async with server.running(tls.server), plain_proxy.running():
        tunnels = TunnelProxy(server.port, 200)
        async with serve_tcp(tunnels.serve) as tunnel_port:
            proxies = {
                "http": Proxy.read(plain_proxy.url.replace("://", "://me:pass@")),
                "https": Proxy.read(f"me:p%40ss@127.0.0.1:{tunnel_port}"),
            }
            pool = open_pool(find_proxy=lambda scheme, _: proxies[scheme], context=tls.client)
            for _ in range(2):
                await pool.call("GET", "http://provider.test/send?n=1", {})
                await pool.call("GET", "https://provider.test/send?n=2", {})
            with pytest.raises(NotSent, match="certificate"):
                await pool.call("GET", "https://another.test/", {})
            pool.close()
    assert [len(asked) for asked in plain_proxy.connections] == [1, 1], "tinyproxy closes each without a word"
    assert plain_proxy.asked[0].target == "http://provider.test/send?n=1"
    assert plain_proxy.asked[0].headers["connection"] == "close"
    assert plain_proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6cGFzcw=="
    assert tunnels.heads[0].startswith(b"CONNECT provider.test:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: Basic bWU6cEBzcw==\r\n" in tunnels.heads[0]
    (asked,) = (connection for connection in server.connections if connection)
    assert [(request.target, request.headers.get("proxy-authorization")) for request in asked] == [
        ("/send?n=2", None)
    ] * 2


async def test_a_proxy_that_refuses_a_tunnel_was_sent_nothing_of_the_call() -> None:
    tunnels = TunnelProxy(0, 407)
    async with serve_tcp(tunnels.serve) as port:
        pool = open_pool(find_proxy=lambda _, __: Proxy.read(f"http://127.0.0.1:{port}"))
        with pytest.raises(NotSent, match="the proxy answered 407"):
            await pool.call("POST", "https://provider.test/", {}, b"{}")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    "header", [b"", b"content-length: 0\r\n", b"content-length: 9\r\n", b"connection: close\r\ncontent-length: 0\r\n"]
)
async def test_a_tunnel_is_open_whatever_length_the_proxy_names(version: bytes, header: bytes) -> None:
    """RFC 9110, section 9.3.6: a client ignores the length of a successful answer to CONNECT."""
    tls, server = Tls("provider.test"), serve(OK)
    async with server.running(tls.server):
        tunnels = TunnelProxy(server.port, 200, b"HTTP/" + version + b" %d Any\r\n" + header + b"\r\n")
        async with serve_tcp(tunnels.serve) as port:
            pool = open_pool(find_proxy=lambda _, __: Proxy.read(f"http://127.0.0.1:{port}"), context=tls.client)
            for _ in range(2):
                assert (await pool.call("GET", "https://provider.test/", {})).status_code == 200
            pool.close()
    assert len(tunnels.heads) == 1


@pytest.mark.parametrize("url", ["socks5://me:pa55@proxy.test", "http://me:pa55#1@proxy.test", "http://me:pa55@[::"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(url: str) -> None:
    with pytest.raises(NotSent, match="the proxy's URL is not") as caught:
        Proxy.read(url)
    assert "pa5" not in str(caught.value)
