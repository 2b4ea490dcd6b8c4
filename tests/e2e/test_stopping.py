"""`imsg up` is stopped under load: it ends in time and leaves nothing behind."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from imsg_testing.deployment import running
from imsg_testing.waiting import wait

pytestmark = pytest.mark.long  # stops under load, three times

CALLERS = 16
ENDS_WITHIN_S = 60.0


@contextlib.asynccontextmanager
async def load(url: str, token: str) -> AsyncIterator[None]:
    """Make calls that read and write concurrently while the context is open; some are abandoned at once."""

    async def call(number: int) -> None:
        async with httpx.AsyncClient(base_url=url, headers={"authorization": f"Bearer {token}"}) as client:
            for turn in range(10_000):
                to = [f"{number}.{turn}.{n}@example.com" for n in range(30)]
                mail = {"to": to, "method": "smtp", "content": {"subject": "s", "text": "t"}}
                calls = (
                    ("POST", "/api/v2/messages", mail),
                    ("GET", "/api/v2/messages?limit=500", None),
                    ("GET", "/api/v2/stats", None),
                    ("POST", "/api/v2/users", {"username": f"u{number}-{turn}", "password": "correct horse"}),
                    ("GET", "/api/v2/events?wait=5", None),
                )
                verb, path, body = calls[(number + turn) % len(calls)]
                patience = 0.05 if turn % 3 == 0 else 20
                with contextlib.suppress(httpx.TimeoutException):
                    await client.request(verb, path, json=body, timeout=patience)

    async def go_on(number: int) -> None:
        with contextlib.suppress(httpx.TransportError):  # it has ended
            await call(number)

    tasks = [asyncio.create_task(go_on(number)) for number in range(CALLERS)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("signals", [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
async def test_a_stop_under_load_leaves_no_error_unread_and_no_work_pending(
    tmp_path: Path, signals: list[signal.Signals]
) -> None:
    with running(tmp_path) as deployment:
        deployment.open_wide()
        async with load(deployment.url, deployment.token()):
            await asyncio.to_thread(wait, lambda: len(deployment.inbox(limit="100")) > 50, 60)
            for number in signals:
                os.kill(deployment.process.pid, number)
            await asyncio.to_thread(wait, lambda: not deployment.process.runs, ENDS_WITHIN_S)
        assert deployment.process.exit_code in (0, 130)
        assert "Traceback" not in deployment.logs
        deployment.require_quiet()
