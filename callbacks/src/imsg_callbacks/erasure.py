"""Erases people from the log of events, and from events that are on their way to it.

An event names whom it is about, and its texts may mention others: a reference is of a whole request. What is on its
way is emptied as it is taken in, by the same tombstones; history hears how far this has come, and says until then that
something remains.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import exists, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_callbacks.event_log import lock_log, write_digests
from imsg_callbacks.records import LoggedEvent
from imsg_callbacks.tables import IS_WAITING, deliveries
from imsg_callbacks.tables import log as events
from imsg_contract.mentions import find_mentions
from imsg_contract.topology import ERASED, TOMBSTONES
from imsg_database.database import Database
from imsg_people.tombstones import Digests, Tombstones
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis
from imsg_runtime.watermark import Watermark

log = logger(__name__)

NAME = "callbacks"
SLICE = 500
"""Events looked at in one transaction."""

TEXTS = ("provider_id", "reference", "text")
"""What of an event's data a client, a provider or a person has written, beside the detail of its error."""

REPLY = "message.reply"

ErasureTimes = Mapping[str, int]
"""Digest → until when what is known of them is erased (Unix ms)."""

Names = Callable[[str], bool]
"""Tells whether a text mentions an erased person."""


@dataclass(slots=True)
class EventErasure:
    """Redacts events that name erased people. Methods raise RedisUnavailable, RedisRefused."""

    database: Database
    redis: Redis
    digests: Digests
    watermark: Watermark
    now: Callable[[], int]
    seen: ErasureTimes | None = None
    """The erased people of the last run."""

    async def erase_recorded(self) -> None:
        """Redact the log if people were erased since the last run. Raises DatabaseUnavailable too."""
        if not self.digests:
            return
        stones = await self._read()
        if stones != self.seen:
            if stones:
                count = await self._go_through(stones) + await self._go_through_answers(stones)
                await self.database.purge()
                log.info("events_erased", count=count)
            self.seen = stones
        until_ms = max(stones.values(), default=0)
        if not until_ms or (self.watermark.is_past(until_ms) and not await self._is_being_sent()):
            await self.redis.call("HSET", ERASED, NAME, until_ms)

    def find_named(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the digests of those whom the texts of an event's data mention."""
        mentioned = find_mentions("\n".join(_read_texts(data))) if self.digests else ()
        return tuple(digest for address in sorted(mentioned) for digest in self.digests.all_of(address))

    async def redact_arriving(self, arriving: Sequence[tuple[LoggedEvent, int]]) -> list[LoggedEvent]:
        """Redact those of some new events, with their times (Unix ms), that name people erased later.

        Asked while others are kept out of the log.
        """
        digests = sorted({digest for one, _ in arriving for digest in (*one.digests, *one.named)})
        if not digests:
            return [one for one, _ in arriving]
        reply = await self.redis.call("HMGET", TOMBSTONES, *digests)
        stones = {name: int(stone.split()[0]) for name, stone in zip(digests, reply, strict=True) if stone}
        return [self._erase(one, at_ms, stones) for one, at_ms in arriving]

    async def _read(self) -> ErasureTimes:
        stones = Tombstones(self.redis, self.digests)
        if await stones.count() == 0:
            return {}
        return {digest: at_ms for digest, (at_ms, _) in (await stones.read()).items()}

    async def _go_through(self, stones: ErasureTimes) -> int:
        after, count = 0, 0
        while True:
            async with self.database.writing() as connection:
                await lock_log(connection)  # who appends after us has seen these tombstones
                query = (
                    select(events)
                    .where(events.c.digests.is_not(None), events.c.number > after)
                    .order_by(events.c.number)
                    .limit(SLICE)
                )
                rows = (await connection.execute(query)).all()
                if not rows:
                    return count
                after = rows[-1].number
                for row in rows:
                    digests, named = map(tuple, json.loads(row.digests))
                    known = LoggedEvent(row.id, row.type, row.user_id, row.method, row.body, digests, named)
                    emptied = self._erase(known, row.kept_at, stones)
                    if emptied is not known:
                        count += 1
                        await _replace(connection, row.number, emptied)

    async def _go_through_answers(self, stones: ErasureTimes) -> int:
        """Remove what endpoints answered that mentions these people, to whichever event it was."""
        place, count = ("", 0), 0
        key = tuple_(deliveries.c.endpoint, deliveries.c.number)
        while True:
            query = (
                select(deliveries.c.endpoint, deliveries.c.number, deliveries.c.answer, deliveries.c.tried_at)
                .where(key > tuple_(*map(literal, place)), deliveries.c.answer != "")
                .order_by(deliveries.c.endpoint, deliveries.c.number)
                .limit(SLICE)
            )
            async with self.database.reading() as connection:
                rows = (await connection.execute(query)).all()
            if not rows:
                return count
            place = rows[-1].endpoint, rows[-1].number
            named = [row for row in rows if self._is_named(row.answer, row.tried_at, stones)]
            count += len(named)
            async with self.database.writing() as connection:
                for row in named:
                    this = deliveries.c.endpoint == row.endpoint, deliveries.c.number == row.number
                    same = deliveries.c.tried_at == row.tried_at
                    await connection.execute(update(deliveries).where(*this, same).values(answer=None))

    def _is_named(self, text: str, at_ms: int, stones: ErasureTimes) -> bool:
        digests = (digest for address in find_mentions(text) for digest in self.digests.all_of(address))
        return any(at_ms <= stones.get(digest, -1) + 1 for digest in digests)

    async def _is_being_sent(self) -> bool:
        """Tell whether somebody may still hold the old body of an event that was emptied, to send it."""
        is_held = IS_WAITING & deliveries.c.is_erased & (deliveries.c.leased_until > self.now())
        async with self.database.reading() as connection:
            return bool(await connection.scalar(select(exists().where(is_held))))

    def _erase(self, one: LoggedEvent, at_ms: int, stones: ErasureTimes) -> LoggedEvent:
        """Return the redacted event; the same one where it names no person erased after its time."""
        gone = {name for name in (*one.digests, *one.named) if name in stones}
        if not gone:
            return one
        at_ms = find_time_ms(one, at_ms)
        gone = {name for name in gone if at_ms <= stones[name] + 1}
        if not gone:
            return one
        if gone & set(one.digests):
            return replace(one, body=redact(one.body, None), digests=(), named=())

        def names(text: str) -> bool:
            return any(digest in gone for address in find_mentions(text) for digest in self.digests.all_of(address))

        return replace(one, body=redact(one.body, names), named=_without(one.named, gone))


def find_time_ms(one: LoggedEvent, at_ms: int) -> int:
    """Return when what an event tells of began: an erasure takes all that was accepted before it, told late or not."""
    request = json.loads(one.body)["data"].get("request")
    return at_ms if one.type == REPLY or request is None else min(at_ms, int(request[:12], 16))


def redact(body: str, names: Names | None) -> str:
    """Remove from an event the texts that mention erased people; without `names` all texts and the recipient.

    What counts stays.
    """
    event = json.loads(body)
    data = event["data"]
    fields = ("to", *TEXTS) if names is None else TEXTS
    data |= {name: None for name in fields if data.get(name) and (names is None or names(data[name]))}
    error = data.get("error")
    if error and names is None:
        data["error"] = {"code": "erased", "detail": None}
    elif error and names is not None and error["detail"] and names(error["detail"]):
        error["detail"] = None
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _read_texts(data: Mapping[str, Any]) -> list[str]:
    texts = [data.get(name) for name in TEXTS] + [(data.get("error") or {}).get("detail")]
    return [text for text in texts if text]


def _without(named: Collection[str], gone: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in named if name not in gone)


async def _replace(connection: AsyncConnection, number: int, emptied: LoggedEvent) -> None:
    change = update(events).where(events.c.number == number)
    await connection.execute(change.values(body=emptied.body, digests=write_digests(emptied)))
    # What an endpoint answered, or answers yet, may name whom it was told of.
    told = update(deliveries).where(deliveries.c.number == number)
    await connection.execute(told.values(answer=None, is_erased=True))
