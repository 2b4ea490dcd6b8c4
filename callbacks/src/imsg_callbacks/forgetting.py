"""Erasing people from the log of events: from what stands in it, and from what was on its way to it.

What is on its way is emptied as it is taken in, by the same tombstones; history hears how far this has come, and says
until then that something remains.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select, update

from imsg_callbacks.event_log import keep_others_out
from imsg_callbacks.outcomes import Logged
from imsg_callbacks.tables import deliveries
from imsg_callbacks.tables import log as events
from imsg_contract.topology import ERASED, TOMBSTONES
from imsg_database.database import Database
from imsg_runtime.observe import logger
from imsg_runtime.passage import Passage
from imsg_runtime.redis import Redis
from imsg_runtime.tombstones import Digests, Tombstones

log = logger(__name__)

NAME = "callbacks"
SLICE = 500
"""Events looked at in one transaction."""

Stones = Mapping[str, int]
"""Digest → until when what is known of them is erased (Unix ms)."""


@dataclass(slots=True)
class Forgetting:
    """Empties events that name people who were erased since. Methods raise RedisUnavailable, RedisRefused."""

    database: Database
    redis: Redis
    digests: Digests
    passage: Passage
    seen: Stones | None = None
    """Who was erased when it was last looked."""

    async def once(self) -> None:
        """Empty what stands in the log, where somebody was erased since; raises DatabaseUnavailable too."""
        if not self.digests:
            return
        stones = await self._read()
        if stones != self.seen:
            if stones and (count := await self._go_through(stones)):
                log.info("events_erased", count=count)
            self.seen = stones
        until_ms = max(stones.values(), default=0)
        if not until_ms or self.passage.is_past(until_ms):
            await self.redis.call("HSET", ERASED, NAME, until_ms)

    async def empty(self, arriving: Sequence[tuple[Logged, int]]) -> list[Logged]:
        """Empty those of some events that come now, with their times (Unix ms), that name whoever was erased later.

        Asked while others are kept out of the log.
        """
        digests = sorted({digest for one, _ in arriving for digest in one.digests})
        if not digests:
            return [one for one, _ in arriving]
        reply = await self.redis.call("HMGET", TOMBSTONES, *digests)
        stones = {name: int(stone.split()[0]) for name, stone in zip(digests, reply, strict=True) if stone}
        return [
            replace(one, body=redact(one.body), digests=()) if is_erased(one.digests, at_ms, stones) else one
            for one, at_ms in arriving
        ]

    async def _read(self) -> Stones:
        stones = Tombstones(self.redis, self.digests)
        if await stones.count() == 0:
            return {}
        return {digest: at_ms for digest, (at_ms, _) in (await stones.read()).items()}

    async def _go_through(self, stones: Stones) -> int:
        after, count = 0, 0
        while True:
            async with self.database.writing() as connection:
                await keep_others_out(connection)  # who appends after us has seen these tombstones
                query = (
                    select(events.c.number, events.c.digests, events.c.kept_at, events.c.body)
                    .where(events.c.digests.is_not(None), events.c.number > after)
                    .order_by(events.c.number)
                    .limit(SLICE)
                )
                rows = (await connection.execute(query)).all()
                if not rows:
                    return count
                after = rows[-1].number
                for row in rows:
                    if not is_erased(json.loads(row.digests), row.kept_at, stones):
                        continue
                    count += 1
                    change = update(events).where(events.c.number == row.number)
                    await connection.execute(change.values(body=redact(row.body), digests=None))
                    # What an endpoint answered, or failed with, may name whom it was told of.
                    told = update(deliveries).where(deliveries.c.number == row.number)
                    await connection.execute(told.values(answer=None))


def is_erased(digests: Sequence[str], at_ms: int, stones: Stones) -> bool:
    """Tell whether one of these people was erased after a moment."""
    return any(one in stones and at_ms <= stones[one] + 1 for one in digests)


def redact(body: str) -> str:
    """Take out of an event whom it names, and what was said of them; what counts stays."""
    event = json.loads(body)
    data = event["data"]
    data |= {name: None for name in ("to", "provider_id", "reference", "text") if name in data}
    if data.get("error"):
        data["error"] = {"code": "erased", "detail": None}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
