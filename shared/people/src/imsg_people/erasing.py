"""Follows the tombstones of history: a service with addresses of its own erases them, and reports how far it came."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from imsg_people.tombstones import Tombstones
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_runtime.watermark import Watermark

log = logger(__name__)

POLL_S = 2.0

Stones = Mapping[str, int]
"""Digest → the tombstone's time (Unix ms): what was known until then is erased."""

Erase = Callable[[Stones], Awaitable[int]]
"""Erases people from the tables of a service, and returns how many rows it changed."""


class Erasing:
    """Erases people until it is cancelled, also those that a restored table brought back."""

    def __init__(
        self,
        service: str,
        tombstones: Tombstones,
        watermark: Watermark,
        erase: Erase,
        unavailable: type[Exception],
    ) -> None:
        """`erase` raises `unavailable` while the database is away: it is called again then."""
        self._service = service
        self._tombstones = tombstones
        self._watermark = watermark
        self._erase = erase
        self._unavailable = unavailable
        self._seen: Stones | None = None

    async def run(self) -> None:
        """Erase until cancelled."""
        problem = RecurringProblem(log, "people_not_erased")
        while True:
            with problem.catch(self._unavailable, RedisUnavailable, RedisRefused):
                await self.run_once()
            await asyncio.sleep(POLL_S)

    async def run_once(self) -> None:
        """Erase the people of new tombstones, and report to history. Raises what `erase` and Redis raise."""
        stones = await self._tombstones.read_times()
        if stones != self._seen:
            if stones and (count := await self._erase(stones)):
                log.info("people_erased", count=count)
            self._seen = stones
        until_ms = max(stones.values(), default=0)
        if not until_ms or self._watermark.is_past(until_ms):
            await self._tombstones.report(self._service, until_ms)
