"""Receipts of SMS providers other than Aliyun: pushed as each does, and repeated until they are answered."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from imsg_runtime.logs import logger
from imsg_web.callers import Apps

log = logger(__name__)

REPEATS = (1.0, 5.0)
"""How many receipt delays later an unanswered push is repeated; the real providers do not say how they do it."""

ANSWER_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Callback:
    """One push."""

    url: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    is_kept: Callable[[httpx.Response], bool] = lambda answer: answer.is_success


class Callbacks:
    """Pushes in the background."""

    def __init__(self, client: httpx.AsyncClient, after_s: float) -> None:
        self._client = client
        self._after_s = after_s
        self._pushing: set[asyncio.Task[None]] = set()

    def push(self, callback: Callback) -> None:
        """Push soon, and again where it is not answered."""
        task = asyncio.create_task(self._push(callback))
        self._pushing.add(task)
        task.add_done_callback(self._pushing.discard)

    async def push_now(self, callback: Callback) -> bool:
        """Push once; tell whether it was answered."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._client.post(
                    callback.url, content=callback.body, headers=callback.headers, timeout=ANSWER_TIMEOUT_S
                )
            return callback.is_kept(answer)
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            log.info("receipt_unanswered", why=str(error) or type(error).__name__)
            return False

    async def close(self) -> None:
        """Push no more."""
        pushing = list(self._pushing)
        for task in pushing:
            task.cancel()
        await asyncio.gather(*pushing, return_exceptions=True)

    async def _push(self, callback: Callback) -> None:
        for wait in (1.0, *REPEATS):
            await asyncio.sleep(wait * self._after_s)
            if await self.push_now(callback):
                return
        log.warning("receipt_given_up")


@asynccontextmanager
async def pushing(base: str, apps: Apps, after_s: float) -> AsyncIterator[Callbacks]:
    """Push for as long as the context lasts; over ASGI where `apps` holds the host of `base`."""
    host = httpx.URL(base).host
    transport = httpx.ASGITransport(apps[host], raise_app_exceptions=False) if host in apps else None
    async with httpx.AsyncClient(transport=transport) as client:
        callbacks = Callbacks(client, after_s)
        try:
            yield callbacks
        finally:
            await callbacks.close()
