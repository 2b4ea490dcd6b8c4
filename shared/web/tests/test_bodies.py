"""One limit before all apps of a process: the bodies and connections that it admits and releases."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message, Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_web import bodies
from imsg_web.bodies import BODY_COMPLETE, InboundLimits
from imsg_web.callers import IS_SERVICE_CALL
from imsg_web.clients import Clients

NOBODY = Clients(())
CHUNK: Message = {"type": "http.request", "body": b"x" * 80, "more_body": True}
LAST: Message = {"type": "http.request", "body": b"x" * 80, "more_body": False}
GONE: Message = {"type": "http.disconnect"}


def play(*messages: Message) -> Receive:
    """Play a client that sends these and then nothing for ever."""
    waiting = list(messages)

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    return receive


async def send(message: Message) -> None:
    """Discard an answer."""
    del message


def scope(address: str = "192.0.2.1", length: int | None = None) -> Scope:
    framing = (b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length)
    return {"type": "http", "client": (address, 1), "headers": [framing]}


async def read_body(
    inbound_limits: InboundLimits,
    asked: Scope,
    receive: Receive,
    meanwhile: Callable[[], Awaitable[None]] | None = None,
) -> bytes:
    """Return the body that an app behind the limits reads; run `meanwhile` while it is held."""
    got = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        del send
        got.append(await bodies.read(scope, receive, inbound_limits.max_bytes))
        if meanwhile is not None:
            await meanwhile()

    await inbound_limits.guard(app)(asked, receive, send)
    return got[0]


async def test_a_client_that_falls_silent_is_not_waited_for() -> None:
    inbound_limits = InboundLimits(NOBODY, silence_s=0.05)
    with pytest.raises(Refusal, match="body_incomplete"):
        await read_body(inbound_limits, scope(), play(CHUNK))
    assert (inbound_limits.held, inbound_limits.held_by, inbound_limits.arriving) == (0, {}, set())


async def test_a_client_that_drips_is_not_waited_for_longer_than_an_upload_may_take() -> None:
    async def drip() -> Message:
        await asyncio.sleep(0.01)
        return CHUNK

    inbound_limits = InboundLimits(NOBODY, silence_s=0.1, upload_s=0.3)
    with pytest.raises(Refusal, match="body_incomplete"):
        await read_body(inbound_limits, scope(), drip)
    assert inbound_limits.held == 0


async def test_a_client_that_leaves_has_sent_no_body() -> None:
    inbound_limits = InboundLimits(NOBODY)
    with pytest.raises(Refusal, match="body_incomplete"):
        await read_body(inbound_limits, scope(), play(CHUNK, GONE))
    assert inbound_limits.held == 0


async def test_a_length_over_the_limit_is_refused_unread() -> None:
    for length in (101, 10**40):
        with pytest.raises(Refusal, match="too_large"):
            await read_body(InboundLimits(NOBODY, max_bytes=100), scope(length=length), play())


@pytest.mark.parametrize("more", [{}, {BODY_COMPLETE: True}])
async def test_what_apps_hold_at_once_is_one_budget_and_is_let_go_again(more: dict[str, object]) -> None:
    inbound_limits = InboundLimits(NOBODY, max_bytes=100, max_in_flight=150, shares=1)

    async def crowd() -> None:
        held = inbound_limits.held
        with pytest.raises(Refusal, match="overloaded"):
            await read_body(inbound_limits, {**scope("192.0.2.2", 80), **more}, play(LAST))
        assert inbound_limits.held == held == 80

    assert await read_body(inbound_limits, {**scope(length=80), **more}, play(LAST), crowd) == b"x" * 80
    assert (inbound_limits.held, inbound_limits.held_by) == (0, {})


async def test_a_network_has_its_share_and_a_service_all_there_is() -> None:
    inbound_limits = InboundLimits(NOBODY, max_bytes=100, max_in_flight=200, shares=2)

    async def crowd() -> None:
        with pytest.raises(Refusal, match="too_many_bodies"):
            await read_body(inbound_limits, scope("2001:db8::2"), play(LAST))
        await read_body(inbound_limits, {**scope("2001:db8::2"), IS_SERVICE_CALL: True}, play(LAST))
        await read_body(inbound_limits, scope("2001:db8:0:1::2"), play(LAST))

    await read_body(inbound_limits, scope("2001:db8::1"), play(LAST), crowd)
    assert (inbound_limits.held, inbound_limits.held_by) == (0, {})


async def test_the_slowest_gives_way_to_who_comes() -> None:
    inbound_limits = InboundLimits(NOBODY, max_bytes=100, max_in_flight=150, shares=1, grace_s=0.05)
    slow = asyncio.create_task(read_body(inbound_limits, scope("192.0.2.2"), play(CHUNK)))
    now = asyncio.get_running_loop().time
    async with asyncio.timeout(60):
        while not any(one.length and now() - one.began_at > inbound_limits.grace_s for one in inbound_limits.arriving):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert await read_body(inbound_limits, scope(length=80), play(LAST)) == b"x" * 80
    with pytest.raises(Refusal, match="overloaded"):
        await slow
    assert (inbound_limits.held, inbound_limits.held_by) == (0, {})


def test_a_network_may_open_so_many_connections_and_a_proxy_any_number() -> None:
    inbound_limits = InboundLimits(Clients(("10.0.0.0/8",)), connections_per_network=2)
    leave = [inbound_limits.admit(address) for address in ("2001:db8::1", "2001:db8::2")]
    assert all(leave)
    assert inbound_limits.admit("2001:db8::3") is None
    assert inbound_limits.admit("2001:db8:0:1::3") is not None
    assert all(inbound_limits.admit("10.0.0.1") for _ in range(9))
    assert leave[0] is not None
    leave[0]()
    assert inbound_limits.admit("2001:db8::3") is not None
