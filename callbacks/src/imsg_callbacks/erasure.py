"""Redacts events about erased people: recorded ones, and new ones before they are appended.

An event has the address of its recipient, and its texts may mention others: a reference belongs to a whole request.
The last processed tombstone is published for history, which lists `events of callbacks` as remaining until then.
"""

import json
from collections.abc import Callable, Mapping, Sequence
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
"""Events or deliveries read in one transaction."""

TEXTS = ("provider_id", "reference", "text")
"""The fields of an event's data that clients, providers or recipients write; the detail of its error is another."""

REPLY = "message.reply"

ErasureTimes = Mapping[str, int]
"""Digest of an address → the time up to which its data is erased (Unix ms)."""

Mentions = Callable[[str], bool]
"""Returns whether a text mentions an erased person."""


@dataclass(slots=True)
class EventErasure:
    """Redacts events that name erased people. Methods raise RedisUnavailable, RedisRefused."""

    database: Database
    redis: Redis
    digests: Digests
    watermark: Watermark
    now: Callable[[], int]
    seen: ErasureTimes | None = None
    """The erasures that the last run processed."""

    async def erase_recorded(self) -> None:
        """Redact the log if there are new erasures since the last run. Raises DatabaseUnavailable too."""
        if not self.digests:
            return
        stones = await self._read()
        if stones != self.seen:
            if stones:
                count = await self._redact_log(stones) + await self._redact_answers(stones)
                await self.database.purge()
                log.info("events_erased", count=count)
            self.seen = stones
        until_ms = max(stones.values(), default=0)
        if not until_ms or (self.watermark.is_past(until_ms) and not await self._is_being_sent()):
            await self.redis.call("HSET", ERASED, NAME, until_ms)

    def find_named(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the digests of the addresses that the texts of an event's data mention."""
        mentioned = find_mentions("\n".join(_read_texts(data))) if self.digests else ()
        return tuple(digest for address in sorted(mentioned) for digest in self.digests.all_of(address))

    async def redact_arriving(self, arriving: Sequence[tuple[LoggedEvent, int]]) -> list[LoggedEvent]:
        """Redact new events, given with their times (Unix ms), about people erased after them; return all events.

        Call it under `lock_log`, so that no erasure is missed.
        """
        digests = sorted({digest for event, _ in arriving for digest in (*event.digests, *event.named)})
        if not digests:
            return [event for event, _ in arriving]
        reply = await self.redis.call("HMGET", TOMBSTONES, *digests)
        stones = {name: int(stone.split()[0]) for name, stone in zip(digests, reply, strict=True) if stone}
        return [self._redact(event, at_ms, stones) for event, at_ms in arriving]

    async def _read(self) -> ErasureTimes:
        stones = Tombstones(self.redis, self.digests)
        if await stones.count() == 0:
            return {}
        return {digest: at_ms for digest, (at_ms, _) in (await stones.read()).items()}

    async def _redact_log(self, stones: ErasureTimes) -> int:
        after, count = 0, 0
        while True:
            async with self.database.writing() as connection:
                await lock_log(connection)  # later appends then read these tombstones
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
                    redacted = self._redact(known, row.kept_at, stones)
                    if redacted is not known:
                        count += 1
                        await _replace(connection, row.number, redacted)

    async def _redact_answers(self, stones: ErasureTimes) -> int:
        """Remove recorded responses of endpoints that mention erased people; return how many."""
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
                    is_delivery = deliveries.c.endpoint == row.endpoint, deliveries.c.number == row.number
                    is_same_attempt = deliveries.c.tried_at == row.tried_at
                    await connection.execute(
                        update(deliveries).where(*is_delivery, is_same_attempt).values(answer=None)
                    )

    def _is_named(self, text: str, at_ms: int, stones: ErasureTimes) -> bool:
        digests = (digest for address in find_mentions(text) for digest in self.digests.all_of(address))
        return any(at_ms <= stones.get(digest, -1) + 1 for digest in digests)

    async def _is_being_sent(self) -> bool:
        """Return whether a process may still send the old body of a redacted event."""
        is_leased = IS_WAITING & deliveries.c.is_erased & (deliveries.c.leased_until > self.now())
        async with self.database.reading() as connection:
            return bool(await connection.scalar(select(exists().where(is_leased))))

    def _redact(self, event: LoggedEvent, at_ms: int, stones: ErasureTimes) -> LoggedEvent:
        """Return the redacted event; the same object if it names no person erased after its time."""
        erased = {name for name in (*event.digests, *event.named) if name in stones}
        if not erased:
            return event
        at_ms = find_time_ms(event, at_ms)
        erased = {name for name in erased if at_ms <= stones[name] + 1}
        if not erased:
            return event
        if erased & set(event.digests):
            return replace(event, body=redact(event.body, None), digests=(), named=())

        def mentions(text: str) -> bool:
            return any(digest in erased for address in find_mentions(text) for digest in self.digests.all_of(address))

        named = tuple(name for name in event.named if name not in erased)
        return replace(event, body=redact(event.body, mentions), named=named)


def find_time_ms(event: LoggedEvent, at_ms: int) -> int:
    """Return the time that an erasure compares: when the request was accepted, or a reply arrived (Unix ms)."""
    request = json.loads(event.body)["data"].get("request")
    return at_ms if event.type == REPLY or request is None else min(at_ms, int(request[:12], 16))


def redact(body: str, mentions: Mentions | None) -> str:
    """Remove from an event's body the texts of which `mentions` is true; if it is None, all texts and the recipient.

    Ids, statuses and counts stay.
    """
    event = json.loads(body)
    data = event["data"]
    fields = ("to", *TEXTS) if mentions is None else TEXTS
    data |= {name: None for name in fields if data.get(name) and (mentions is None or mentions(data[name]))}
    error = data.get("error")
    if error and mentions is None:
        data["error"] = {"code": "erased", "detail": None}
    elif error and mentions is not None and error["detail"] and mentions(error["detail"]):
        error["detail"] = None
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def _read_texts(data: Mapping[str, Any]) -> list[str]:
    texts = [data.get(name) for name in TEXTS] + [(data.get("error") or {}).get("detail")]
    return [text for text in texts if text]


async def _replace(connection: AsyncConnection, number: int, redacted: LoggedEvent) -> None:
    change = update(events).where(events.c.number == number)
    await connection.execute(change.values(body=redacted.body, digests=write_digests(redacted)))
    # The responses of endpoints, also later ones, may repeat the old body.
    change_deliveries = update(deliveries).where(deliveries.c.number == number)
    await connection.execute(change_deliveries.values(answer=None, is_erased=True))
