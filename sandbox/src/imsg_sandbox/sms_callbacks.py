"""Receipts and inbound messages of the SMS providers: pushed over HTTP, and repeated until they are acknowledged."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from imsg_runtime.logs import logger
from imsg_web.callers import Apps

log = logger(__name__)

REPEATS = (1.0, 5.0)
"""How many receipt delays later an unacknowledged push is repeated; most providers do not say how they do it."""

ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Callback:
    """One push."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    is_acknowledged: Callable[[httpx.Response], bool] = lambda response: response.is_success
    repeats_s: Sequence[float] | None = None
    """Seconds between the attempts; None: REPEATS."""


class Callbacks:
    """Pushes in the background."""

    def __init__(self, client: httpx.AsyncClient, after_s: float) -> None:
        """`after_s` is the delay of a receipt."""
        self._client = client
        self._after_s = after_s
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def has_tasks(self) -> bool:
        """Whether a push is neither acknowledged nor given up yet."""
        return bool(self._tasks)

    def push(self, callback: Callback) -> None:
        """Push after the delay, and repeat it until it is acknowledged."""
        task = asyncio.create_task(self._push(callback))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def push_now(self, callback: Callback) -> bool:
        """Push once; return whether it was acknowledged."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                response = await self._client.post(
                    callback.url, content=callback.body, headers=callback.headers, timeout=ANSWER_TIMEOUT_S
                )
            return callback.is_acknowledged(response)
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            log.info("receipt_unanswered", why=str(error) or type(error).__name__)
            return False

    async def close(self) -> None:
        """Cancel all pushes."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _push(self, callback: Callback) -> None:
        repeats_s = callback.repeats_s
        if repeats_s is None:
            repeats_s = [repeat * self._after_s for repeat in REPEATS]
        for wait_s in (self._after_s, *repeats_s):
            await asyncio.sleep(wait_s)
            if await self.push_now(callback):
                return
        log.warning("receipt_given_up")


@asynccontextmanager
async def pushing(base: str, apps: Apps, after_s: float) -> AsyncIterator[Callbacks]:
    """Open the pushes; over ASGI where `apps` has the host of `base`."""
    host = httpx.URL(base).host
    transport = httpx.ASGITransport(apps[host], raise_app_exceptions=False) if host in apps else None
    async with httpx.AsyncClient(transport=transport) as client:
        callbacks = Callbacks(client, after_s)
        try:
            yield callbacks
        finally:
            await callbacks.close()


def json_callback(
    url: str | None,
    content: Any,  # noqa: ANN401  any JSON
    acknowledged_by: str = "",
    repeats_s: Sequence[float] | None = None,
) -> Callback | None:
    """Return a push of JSON; None without a URL or content.

    It is acknowledged where the answer has 0 in the field `acknowledged_by`; without such a field, by any 2xx.
    """
    if url is None or not content:
        return None

    def is_acknowledged(response: httpx.Response) -> bool:
        answer = response.json() if acknowledged_by else None
        return response.is_success and (
            not acknowledged_by or (isinstance(answer, dict) and answer.get(acknowledged_by) == 0)
        )

    headers = {"content-type": "application/json;charset=utf-8"}
    return Callback(url, json.dumps(content, ensure_ascii=False).encode(), headers, is_acknowledged, repeats_s)
