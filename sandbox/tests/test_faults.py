"""Faults on order, as a sender meets them."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiosmtplib import SMTPDataError, SMTPRecipientsRefused, SMTPServerDisconnected

from imsg_testing.sandbox import OpenSandbox, mail, open_sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[OpenSandbox]:
    async with open_sandbox() as opened:
        yield opened


async def test_reset_before_keeps_nothing(sandbox: OpenSandbox) -> None:
    await sandbox.order("reset_before")

    with pytest.raises((SMTPServerDisconnected, ConnectionError)):
        await sandbox.send(mail())

    assert await sandbox.inbox() == []


async def test_reset_after_keeps_the_mail_and_sends_no_reply(sandbox: OpenSandbox) -> None:
    await sandbox.order("reset_after")

    with pytest.raises((SMTPServerDisconnected, ConnectionError)):
        await sandbox.send(mail())

    assert len(await sandbox.inbox()) == 1


async def test_a_fault_strikes_as_often_as_ordered(sandbox: OpenSandbox) -> None:
    await sandbox.order("5xx", times=2)

    for _ in range(2):
        with pytest.raises(SMTPDataError, match=r"554.*5\.3\.0"):
            await sandbox.send(mail())
    await sandbox.send(mail())

    assert len(await sandbox.inbox()) == 1
    assert (await sandbox.client.get("/sandbox/faults")).json()["faults"] == []


async def test_latency_delays_by_the_milliseconds_asked(sandbox: OpenSandbox) -> None:
    await sandbox.order("latency", ms=300)

    begun = time.monotonic()
    await sandbox.send(mail())

    assert time.monotonic() - begun >= 0.3
    assert len(await sandbox.inbox()) == 1


async def test_a_hanging_server_lets_go_when_the_peer_does(sandbox: OpenSandbox) -> None:
    await sandbox.order("hang")
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    writer.write(
        b"HELO me\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nFrom: a\r\n\r\nhi\r\n.\r\n"
    )
    async with asyncio.timeout(60):
        while not (await reader.readline()).startswith(b"354"):
            pass

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await reader.readline()

    writer.close()
    assert await sandbox.inbox() == []


async def test_the_greylist_strikes_any_recipient(sandbox: OpenSandbox) -> None:
    await sandbox.order("greylist")

    with pytest.raises(SMTPRecipientsRefused):
        await sandbox.send(mail())
    await sandbox.send(mail())

    assert len(await sandbox.inbox()) == 1


async def test_zero_times_takes_an_order_back(sandbox: OpenSandbox) -> None:
    await sandbox.order("5xx", times=None)
    assert (await sandbox.client.get("/sandbox/faults")).json()["faults"] == [
        {"method": "smtp", "fault": "5xx", "times": None, "ms": 2000}
    ]

    await sandbox.order("5xx", times=0)

    await sandbox.send(mail())
    assert len(await sandbox.inbox()) == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"method": "smtp", "fault": "gremlins"}', 10017),
        ('{"method": "smtp", "fault": "expired_token"}', 10017),
        ('{"method": "fax", "fault": "hang"}', 10017),
        ('{"method": "smtp", "fault": "hang", "times": "2"}', 10017),
        ('{"method": "smtp", "fault": "hang", "times": -1}', 10017),
        ('{"method": "smtp"}', 10002),
        ("not json", 10001),
        ("", 10001),
    ],
)
async def test_an_order_that_cannot_be_is_refused_with_its_field(sandbox: OpenSandbox, body: str, code: int) -> None:
    answer = await sandbox.client.put("/sandbox/faults", content=body.encode())

    assert answer.json()["errorCode"] == code
    assert answer.status_code == 400
