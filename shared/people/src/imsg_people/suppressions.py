"""The catalog's suppressions as Redis mirrors them: who may not be sent to, asked along with whatever else is asked.

Where the mirror is not whole (Redis was flushed), the catalog writes it anew within a moment, and that is waited for.
Where the catalog is away too, nobody waits: what is marketing is held back, the rest goes.
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
"""What the field says that the mirror is whole by."""

SUPPRESSED_FILLING = "+"
"""A field of the mirror that is no address: there while the catalog writes all of it anew."""

SIGN_S = 1.0
"""How long a sign of the catalog is waited for where the mirror is not whole: it looks four times as often."""

FILLING_S = 10.0
"""How long it may take to write all of them anew: a million suppressions do within that."""

LOOK_S = 0.05

UNKNOWN = "unknown"
"""In place of a reason: whether it is suppressed can't be known now, and it is nothing that anybody waits for."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose messages of which category go to whom."""

    addresses: Mapping[int, str]
    sender: str | None
    """None: it can't be told, so that what was refused of anybody's is refused."""
    category: Category

    def only(self, ns: Sequence[int]) -> "Question":
        """Ask about some of them."""
        return Question({n: self.addresses[n] for n in ns}, self.sender, self.category)


class SuppressionMirror:
    """What a channel's sender reads of it."""

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
        self._is_missed = False
        """Whether it was waited for in vain since it was whole last."""
        self._waiting: asyncio.Task[None] | None = None

    def ask(self, question: Question) -> Read:
        """Write the question as a read."""
        fields = [SUPPRESSED_COMPLETE, *(identity(address) for address in question.addresses.values())]
        return Read("HMGET", self._key, fields)

    async def find(self, question: Question) -> Mapping[int, str]:
        """Say who is suppressed as far as is known, without waiting. Raises RedisUnavailable, RedisRefused."""
        asked = self.ask(question)
        return self._judge(question, await self._redis.call(asked.command, asked.key, *asked.fields))

    async def read(self, question: Question, reply: Sequence[bytes | None]) -> Mapping[int, str]:
        """Say who is suppressed, n → reason, by the reply to the question. Raises RedisUnavailable, RedisRefused."""
        if reply[0] is None and not self._is_missed:
            await self._wait()
            asked = self.ask(question)
            reply = await self._redis.call(asked.command, asked.key, *asked.fields)
        if reply[0] is None:
            return dict.fromkeys(question.addresses, UNKNOWN) if question.category is Category.MARKETING else {}
        self._is_missed = False
        return self._judge(question, reply) if any(reply[1:]) else {}

    async def find_erased(self, question: Question, digests: Mapping[int, str]) -> Mapping[int, str]:
        """Say who of those who were erased under these digests is suppressed. Raises RedisUnavailable, RedisRefused."""
        if not digests:
            return {}
        fields = [SUPPRESSED_COMPLETE, *(erased_field(digest) for digest in digests.values())]
        return self._judge(question.only(list(digests)), await self._redis.call("HMGET", self._key, *fields))

    def _judge(self, question: Question, reply: Sequence[bytes | None]) -> Mapping[int, str]:
        now_s, found = self._unix_clock(), dict[int, str]()
        for n, value in zip(question.addresses, reply[1:], strict=True):
            reason = find_reason(value, question.sender, question.category, now_s) if value else None
            if reason is not None:
                found[n] = reason.value
        return found

    async def _wait(self) -> None:
        """Wait until it is whole or nobody makes it so; all wait together."""
        if self._waiting is None:
            self._waiting = asyncio.create_task(self._watch())
            self._waiting.add_done_callback(self._end_waiting)
        await asyncio.shield(self._waiting)

    def _end_waiting(self, waiting: asyncio.Task[None]) -> None:
        self._waiting = None
        if not waiting.cancelled():
            waiting.exception()  # whoever waited may have given up, and then nobody reads it

    async def _watch(self) -> None:
        begun = self._clock()
        while True:
            is_whole, fills = await self._redis.call("HMGET", self._key, SUPPRESSED_COMPLETE, SUPPRESSED_FILLING)
            if is_whole is not None:
                return
            if self._clock() >= begun + (SIGN_S if fills is None else FILLING_S):
                break
            await asyncio.sleep(LOOK_S)
        self._is_missed = True
        log.warning("suppressions_unknown", remedy="see whether catalog runs; marketing waits until it does")
