"""SmsReport: pushes receipts to a URL as the provider does, and repeats them until they are answered."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from imsg_runtime.logs import logger
from imsg_web.callers import Apps

log = logger(__name__)

REPEATS_MIN = (1, 5, 10)
"""Minutes after which an unanswered push is repeated; then never."""

ANSWER_TIMEOUT_S = 5.0
MOST_OF_A_PUSH = 100

Report = Mapping[str, Any]


class Reports:
    """Pushes; without a URL to push to, nothing is."""

    def __init__(self, client: httpx.AsyncClient, url: str | None, after_s: float, minute_s: float) -> None:
        self._client = client
        self._url = url
        self._after_s = after_s
        self._minute_s = minute_s
        self._pushing: set[asyncio.Task[None]] = set()

    @property
    def under_way(self) -> int:
        """How many pushes are not answered yet, nor given up."""
        return len(self._pushing)

    def push(self, reports: Sequence[Report]) -> None:
        """Push in the background, soon."""
        for at in range(0, len(reports), MOST_OF_A_PUSH):
            task = asyncio.create_task(self._push(reports[at : at + MOST_OF_A_PUSH]))
            self._pushing.add(task)
            task.add_done_callback(self._pushing.discard)

    async def push_now(self, reports: Sequence[Report]) -> None:
        """Push once, and come back when that was answered or not."""
        if reports:
            await self._post(reports)

    async def close(self) -> None:
        """Push no more."""
        pushing = list(self._pushing)
        for task in pushing:
            task.cancel()
        await asyncio.gather(*pushing, return_exceptions=True)

    async def _push(self, reports: Sequence[Report]) -> None:
        for wait_s in (self._after_s, *(minutes * self._minute_s for minutes in REPEATS_MIN)):
            await asyncio.sleep(wait_s)
            if await self._post(reports):
                return
        log.warning("reports_given_up", count=len(reports))

    async def _post(self, reports: Sequence[Report]) -> bool:
        if self._url is None:
            return True
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                answer = await self._client.post(self._url, json=list(reports), timeout=ANSWER_TIMEOUT_S)
            said = answer.json()
        except (httpx.HTTPError, OSError, TimeoutError, ValueError) as error:
            log.info("report_unanswered", why=str(error) or type(error).__name__)
            return False
        return answer.is_success and isinstance(said, dict) and said.get("code") == 0


@asynccontextmanager
async def reporting(url: str | None, apps: Apps, after_s: float, minute_s: float) -> AsyncIterator[Reports]:
    """Push for as long as the context lasts; over ASGI where `apps` holds the URL's host."""
    host = httpx.URL(url).host if url else ""
    transport = httpx.ASGITransport(apps[host], raise_app_exceptions=False) if host in apps else None
    async with httpx.AsyncClient(transport=transport) as client:
        reports = Reports(client, url, after_s, minute_s)
        try:
            yield reports
        finally:
            await reports.close()
