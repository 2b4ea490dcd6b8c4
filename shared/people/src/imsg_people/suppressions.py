"""The mirror of the catalog's suppressions in Redis, as senders read it.

Where the mirror is incomplete (Redis was flushed), the catalog writes it again, and senders wait for that. Where the
catalog is unavailable too, marketing is delayed and all other messages are sent.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from imsg_contract.addresses import identity
from imsg_contract.suppressions import erased_field, find_reason
from imsg_contract.topology import SUPPRESSED_COMPLETE, suppressed_key
from imsg_contract.wire import Category
from imsg_runtime.logs import logger
from imsg_runtime.redis import Read, Redis

log = logger(__name__)

COMPLETE = b"1"
"""The value of the field SUPPRESSED_COMPLETE."""

SUPPRESSED_FILLING = "+"
"""A field of the mirror that is no address: present while the catalog writes the mirror."""

DETECTION_S = 1.0
"""How long a sender waits for the catalog to detect an incomplete mirror; it checks four times as often."""

FILLING_S = 10.0
"""How long a sender waits while the catalog writes the mirror: enough for a million suppressions."""

POLL_S = 0.05

UNKNOWN = "unknown"
"""In place of a reason: the mirror is incomplete, and the message is marketing, which can wait."""


@dataclass(frozen=True, slots=True)
class SuppressionQuery:
    """Recipients, with the sender and category of their message."""

    addresses: Mapping[int, str]
    sender: str | None
    """None: it is not known, so that a suppression of any sender counts."""
    category: Category

    def only(self, ns: Sequence[int]) -> "SuppressionQuery":
        """Return the query of some of the recipients."""
        return SuppressionQuery({n: self.addresses[n] for n in ns}, self.sender, self.category)


class SuppressionMirror:
    """The mirror of one channel."""

    def __init__(
        self,
        redis: Redis,
        method: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._key = suppressed_key(method)
        self._clock = clock
        self._unix_clock = unix_clock
        self._has_timed_out = False
        """Whether a wait has timed out since the mirror was complete."""
        self._waiting: asyncio.Task[None] | None = None

    def make_read(self, query: SuppressionQuery) -> Read:
        """Return the Redis read of a query."""
        fields = [SUPPRESSED_COMPLETE, *(identity(address) for address in query.addresses.values())]
        return Read("HMGET", self._key, fields)

    async def find(self, query: SuppressionQuery) -> Mapping[int, str]:
        """Return the suppressed recipients, n → reason, without waiting. Raises RedisUnavailable, RedisRefused."""
        read = self.make_read(query)
        return self._find_reasons(query, await self._redis.call(read.command, read.key, *read.fields))

    async def read(self, query: SuppressionQuery, reply: Sequence[bytes | None]) -> Mapping[int, str]:
        """Return the suppressed recipients, n → reason, by a reply. Raises RedisUnavailable, RedisRefused."""
        if reply[0] is None and not self._has_timed_out:
            await self._wait()
            read = self.make_read(query)
            reply = await self._redis.call(read.command, read.key, *read.fields)
        if reply[0] is None:
            return dict.fromkeys(query.addresses, UNKNOWN) if query.category is Category.MARKETING else {}
        self._has_timed_out = False
        return self._find_reasons(query, reply) if any(reply[1:]) else {}

    async def find_erased(self, query: SuppressionQuery, digests: Mapping[int, str]) -> Mapping[int, str]:
        """Return the erased recipients that are suppressed, n → reason. Raises RedisUnavailable, RedisRefused."""
        if not digests:
            return {}
        fields = [SUPPRESSED_COMPLETE, *(erased_field(digest) for digest in digests.values())]
        return self._find_reasons(query.only(list(digests)), await self._redis.call("HMGET", self._key, *fields))

    def _find_reasons(self, query: SuppressionQuery, reply: Sequence[bytes | None]) -> Mapping[int, str]:
        now_s, reasons = self._unix_clock(), dict[int, str]()
        for n, value in zip(query.addresses, reply[1:], strict=True):
            reason = find_reason(value, query.sender, query.category, now_s) if value else None
            if reason is not None:
                reasons[n] = reason.value
        return reasons

    async def _wait(self) -> None:
        """Wait until the mirror is complete or the wait is over; all callers share one wait."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._watch())
            self._waiting.add_done_callback(self._end_waiting)
        await asyncio.shield(self._waiting)

    def _end_waiting(self, waiting: asyncio.Task[None]) -> None:
        self._waiting = None
        if not waiting.cancelled():
            waiting.exception()  # read here, in case every caller was cancelled

    async def _watch(self) -> None:
        begun = self._clock()
        while True:
            is_complete, is_filling = await self._redis.call(
                "HMGET", self._key, SUPPRESSED_COMPLETE, SUPPRESSED_FILLING
            )
            if is_complete is not None:
                return
            if self._clock() >= begun + (DETECTION_S if is_filling is None else FILLING_S):
                break
            await asyncio.sleep(POLL_S)
        self._has_timed_out = True
        log.warning("suppressions_unknown", remedy="see whether catalog runs; marketing waits until it does")
