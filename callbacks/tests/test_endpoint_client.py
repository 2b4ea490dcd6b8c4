"""One call as it goes out: to an address that was checked, nowhere else, and no longer than it may take."""

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
    """Run a receiver on loopback, which stands for what is inside."""
    with receiving() as opened:
        yield opened


class Names:
    """A name server that answers otherwise each time."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def look_up(self, host: str, port: int) -> Sequence[str]:
        """Answer the next."""
        del host, port
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


async def test_a_name_that_changes_between_check_and_connection_reaches_nothing_inside(receiver: Receiver) -> None:
    """What was checked when it was set is checked again where it is connected, and that very address is taken."""
    names = Names(["93.184.215.14"], ["127.0.0.1"])
    before = len(receiver.calls)
    async with open_endpoint_client((), look_up=names.look_up) as client:
        assert await client.find_objection("rebound.example.com", 443) is None
        answer = await client.post(f"http://rebound.example.com:{receiver.port}/", b"{}", {})

    assert names.asked == 2
    assert answer.status is None
    assert "inside" in (answer.error or "")
    assert len(receiver.calls) == before


async def test_one_answer_inside_among_many_forbids_them_all() -> None:
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
async def test_an_error_names_nothing_that_only_the_inside_knows(address: str, allowed: tuple[str, ...]) -> None:
    """Whoever sets a URL reads what became of it: no address that a name of theirs leads to, and nothing of a port."""
    port = reserve_port()
    async with open_endpoint_client(allowed, look_up=Names([address]).look_up, timeout_s=2) as client:
        answer = await client.post(f"https://mine.example.com:{port}/", b"{}", {})
        objection = await client.find_objection("mine.example.com", port)

    assert answer.error
    for said in (answer.error, objection or ""):
        assert address not in said
        assert address.removeprefix("::ffff:") not in said
        assert str(port) not in said


async def test_a_resolver_that_fails_is_not_quoted() -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        raise OSError(f"no answer from 10.0.0.53 for {host}.corp.internal:{port}")

    async with open_endpoint_client((), look_up=look_up) as client:
        answer = await client.post("https://mine.example.com/", b"{}", {})

    assert answer.error == "mine.example.com can't be resolved"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"])
async def test_literals_and_odd_forms_go_the_same_way(receiver: Receiver, host: str) -> None:
    before = len(receiver.calls)
    async with open_endpoint_client(()) as client:
        answer = await client.post(f"http://{host}:{receiver.port}/", b"{}", {})

    assert answer.status is None
    assert answer.error
    assert len(receiver.calls) == before


async def test_what_is_opened_is_called_and_the_very_bytes_arrive(receiver: Receiver) -> None:
    async with open_endpoint_client(("127.0.0.1",)) as client:
        answer = await client.post(receiver.url("/in"), b'{"a": 1}', {"webhook-id": "evt_1"})

    call = receiver.calls[-1]
    assert (call.body, call.headers["webhook-id"]) == (b'{"a": 1}', "evt_1")
    assert call.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert answer.status == 204
    assert answer.body is not None


async def test_of_a_long_answer_four_kib_are_read(receiver: Receiver) -> None:
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
async def test_a_retry_after_that_is_none_is_none(receiver: Receiver, value: str) -> None:
    """One of these ended the process, at every call of that endpoint anew."""
    receiver.status, receiver.headers = 503, {"retry-after": value}
    async with open_endpoint_client(("127.0.0.1",)) as client:
        answer = await client.post(receiver.url(), b"{}", {})
    receiver.status, receiver.headers = 204, {}

    assert (answer.status, answer.error, answer.retry_after_s) == (503, "HTTP 503", None)


async def test_a_bug_of_ours_fails_one_call_and_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    async def look_up(host: str, port: int) -> Sequence[str]:
        raise RuntimeError(f"{host}:{port}")

    async with open_endpoint_client((), look_up=look_up) as client:
        answer = await client.post("http://a.example/", b"{}", {})

    assert answer.status is None
    assert "a bug of ours" in (answer.error or "")
    assert "RuntimeError" in "".join(capsys.readouterr())


async def test_nothing_is_followed_and_no_proxy_is_read_from_the_environment(
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


async def test_an_endpoint_that_hangs_or_is_not_there_is_an_answer_too(receiver: Receiver) -> None:
    async with open_endpoint_client(("127.0.0.1",), timeout_s=0.3) as client:
        hung = await client.post(receiver.url("/hang"), b"{}", {})
        gone = await client.post("http://127.0.0.1:9/", b"{}", {})
        nowhere = await client.post("http://nowhere.invalid/", b"{}", {})

    assert "no answer within" in (hung.error or "")
    assert gone.error
    assert nowhere.error
    assert not any(answer.is_success for answer in (hung, gone, nowhere))


async def test_a_certificate_of_another_name_is_said() -> None:
    """In the words of whoever set the URL; the test of the pool holds the rest of TLS."""
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
