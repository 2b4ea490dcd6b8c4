"""A call connects only to an address that was checked, and has a timeout."""

import ssl
from collections.abc import Iterator, Sequence

import pytest
import trustme

from imsg_callbacks.endpoint_client import open_endpoint_client
from imsg_testing.http_stub import HttpStub, reply
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.servers import reserve_port


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Run a receiver on loopback, an internal address."""
    with receiving() as opened:
        yield opened


class Names:
    """A name server with a different answer each time; the last one repeats."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        """Return the next answer."""
        del host, port
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_a_host_that_resolves_differently_after_the_check_reaches_no_internal_address(receiver: Receiver) -> None:
    """The host is resolved and checked again at each connection, which uses the checked address."""
    names = Names(["93.184.215.14"], ["127.0.0.1"])
    before = len(receiver.calls)
    async with open_endpoint_client((), look_up=names.look_up) as client:
        assert await client.find_objection("rebound.example.com", 443) is None
        answer = await client.post(f"http://rebound.example.com:{receiver.port}/", b"{}", {})

    assert names.asked == 2
    assert answer.status is None
    assert "inside" in (answer.error or "")
    assert len(receiver.calls) == before


async def test_one_internal_address_among_several_forbids_the_host() -> None:
    names = Names(["93.184.215.14", "127.0.0.1"])
    async with open_endpoint_client((), look_up=names.look_up) as client:
        assert await client.find_objection("mixed.example.com", 80) is not None
        answer = await client.post("http://mixed.example.com/", b"{}", {})

    assert answer.status is None
    assert "inside" in (answer.error or "")


@pytest.mark.parametrize("allowed", [(), ("10.0.0.0/8", "127.0.0.0/8", "::1", "fd00::/8")])
@pytest.mark.parametrize(
    "address", ["127.0.0.53", "10.255.0.9", "::1", "fd00::53", "::ffff:127.0.0.53", "db.corp.internal"]
)
async def test_an_error_names_no_internal_address_and_no_port(address: str, allowed: tuple[str, ...]) -> None:
    """The user who set the URL reads the error: it must not help to scan the internal network."""
    port = reserve_port()
    async with open_endpoint_client(allowed, look_up=Names([address]).look_up, timeout_s=2) as client:
        answer = await client.post(f"https://mine.example.com:{port}/", b"{}", {})
        objection = await client.find_objection("mine.example.com", port)

    assert answer.error
    for text in (answer.error, objection or ""):
        assert address not in text
        assert address.removeprefix("::ffff:") not in text
        assert str(port) not in text


async def test_a_resolver_that_fails_is_not_quoted() -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        raise OSError(f"no answer from 10.0.0.53 for {host}.corp.internal:{port}")

    async with open_endpoint_client((), look_up=look_up) as client:
        answer = await client.post("https://mine.example.com/", b"{}", {})

    assert answer.error == "mine.example.com can't be resolved"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_literal_addresses_and_odd_forms_are_checked_too(receiver: Receiver, host: str) -> None:
    before = len(receiver.calls)
    async with open_endpoint_client(()) as client:
        answer = await client.post(f"http://{host}:{receiver.port}/", b"{}", {})

    assert answer.status is None
    assert answer.error
    assert len(receiver.calls) == before


async def test_an_allowed_address_gets_the_exact_body(receiver: Receiver) -> None:
    async with open_endpoint_client(("127.0.0.1",)) as client:
        answer = await client.post(receiver.url("/in"), b'{"a": 1}', {"webhook-id": "evt_1"})

    call = receiver.calls[-1]
    assert (call.body, call.headers["webhook-id"]) == (b'{"a": 1}', "evt_1")
    assert call.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert answer.status == 204
    assert answer.body is not None


async def test_only_4_kib_of_a_response_are_read(receiver: Receiver) -> None:
    receiver.status, receiver.answer = 500, b"x" * 1_000_000
    async with open_endpoint_client(("127.0.0.1",)) as client:
        answer = await client.post(receiver.url(), b"{}", {})
        again = await client.post(receiver.url(), b"{}", {})
    receiver.status, receiver.answer = 204, b""

    assert (answer.status, answer.error, answer.body) == (500, "HTTP 500", "x" * 4_096)
    assert again.status == 500


@pytest.mark.parametrize(
    "value",
    [
        f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT",
        f"Mon, 01 Jan 2026 {'9' * 20}:00:00 GMT",
        f"Mon, 01 Jan 2026 00:00:00 +{'9' * 20}",
        "9" * 20,
        "soon",
        "",
    ],
)
async def test_an_invalid_retry_after_is_ignored(receiver: Receiver, value: str) -> None:
    receiver.status, receiver.headers = 503, {"retry-after": value}
    async with open_endpoint_client(("127.0.0.1",)) as client:
        answer = await client.post(receiver.url(), b"{}", {})
    receiver.status, receiver.headers = 204, {}

    assert (answer.status, answer.error, answer.retry_after_s) == (503, "HTTP 503", None)


async def test_a_bug_fails_one_call_only(capsys: pytest.CaptureFixture[str]) -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        raise RuntimeError(f"{host}:{port}")

    async with open_endpoint_client((), look_up=look_up) as client:
        answer = await client.post("http://a.example/", b"{}", {})

    assert answer.status is None
    assert "a bug of ours" in (answer.error or "")
    assert "RuntimeError" in "".join(capsys.readouterr())


async def test_redirects_are_not_followed_and_the_environments_proxy_is_not_used(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/")
    receiver.status, receiver.headers = 302, {"location": receiver.url("/elsewhere")}
    async with open_endpoint_client(("127.0.0.1",)) as client:
        answer = await client.post(receiver.url(), b"{}", {})
    receiver.status, receiver.headers = 204, {}

    assert (answer.status, answer.is_success) == (302, False)
    assert receiver.calls[-1].path == "/"


async def test_a_hanging_or_unreachable_endpoint_is_a_failed_reply(receiver: Receiver) -> None:
    async with open_endpoint_client(("127.0.0.1",), timeout_s=0.3) as client:
        hung = await client.post(receiver.url("/hang"), b"{}", {})
        gone = await client.post("http://127.0.0.1:9/", b"{}", {})
        nowhere = await client.post("http://nowhere.invalid/", b"{}", {})

    assert "no answer within" in (hung.error or "")
    assert gone.error
    assert nowhere.error
    assert not any(answer.is_success for answer in (hung, gone, nowhere))


async def test_a_certificate_for_another_name_is_reported() -> None:
    """The other TLS cases are tests of the pool."""
    authority = trustme.CA()
    tls, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("callbacks.example.com").configure_cert(tls)
    authority.configure_trust(ours)
    server = HttpStub(lambda _: reply())
    look_up = Names(["127.0.0.1"]).look_up
    async with (
        server.running(tls),
        open_endpoint_client(("127.0.0.1",), look_up=look_up, context=ours) as client,
    ):
        right = await client.post(f"https://callbacks.example.com:{server.port}/", b"{}", {})
        wrong = await client.post(f"https://another.example.com:{server.port}/", b"{}", {})

    assert (right.status, wrong.status) == (200, None)
    assert "its certificate is not valid" in (wrong.error or "")
