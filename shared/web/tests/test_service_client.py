import pytest

from imsg_testing.http_stub import BreakOff, HttpStub, Step
from imsg_web.service_client import ServiceUnavailable, connect

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


async def call(method: str, *answers: Step) -> list[int]:
    """Call a service once for each answer but the last; return the statuses."""
    left = list(answers)
    server = HttpStub(lambda _: left.pop(0))
    statuses: list[int] = []
    async with server.running(), connect(f"http://127.0.0.1:{server.port}", (), {}) as peer:
        while left:
            statuses.append((await peer.call(method, "/internal/users")).status_code)
    return statuses


async def test_a_get_over_a_connection_that_was_just_closed_is_sent_once_more() -> None:
    assert await call("GET", ANSWER, BreakOff(b""), ANSWER) == [200, 200]


async def test_a_call_that_may_have_changed_something_is_not_repeated() -> None:
    with pytest.raises(ServiceUnavailable):
        await call("POST", ANSWER, BreakOff(b""), ANSWER)


async def test_a_service_that_is_away_is_unavailable() -> None:
    async with connect("http://127.0.0.1:1", (), {}) as peer:
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1"):
            await peer.call("GET", "/internal/users")
