"""When and from where keys were used last: recorded in memory, and reported to auth in batches."""

import asyncio
import time
from collections.abc import Callable

from imsg_runtime.logs import RecurringProblem, logger
from imsg_web.service_client import Peer, ServiceFailed, ServiceUnavailable

log = logger(__name__)

EVERY_S = 5.0
MAX_USES = 10_000
"""Keys in one message to auth; those beyond it wait for their next use."""


class KeyUsage:
    """Records the uses of keys, and reports them to auth every few seconds."""

    def __init__(self, auth: Peer, now: Callable[[], float] = time.time) -> None:
        self._auth = auth
        self._now = now
        self._uses: dict[str, tuple[float, str]] = {}

    def record(self, key_id: str, address: str) -> None:
        """Record that a key was used now, from an address."""
        if key_id in self._uses or len(self._uses) < MAX_USES:
            self._uses[key_id] = (self._now(), address)

    async def watch(self) -> None:
        """Report the uses to auth until cancelled."""
        problem = RecurringProblem(log, "key_uses_not_written")
        while True:
            await asyncio.sleep(EVERY_S)
            uses, self._uses = self._uses, {}
            if not uses:
                continue
            reported = [{"id": key_id, "at": at, "address": address} for key_id, (at, address) in uses.items()]
            try:
                answer = await self._auth.call("POST", "/internal/keys/used", json={"uses": reported})
                if answer.status_code != 200:  # noqa: PLR2004  HTTP's own number
                    raise ServiceFailed(f"auth answered {answer.status_code} to /internal/keys/used")
            except ServiceUnavailable as error:
                problem.report(error)
                self._uses = uses | self._uses
            else:
                problem.clear()
