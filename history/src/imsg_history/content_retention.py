"""Contents, erased before the rows they belong to: subject, text, files, replies, and the bodies of dead letters."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import Status
from imsg_history import redact
from imsg_history.database import Database
from imsg_history.ids import first_id
from imsg_history.tables import attachments, dead, messages, replies, requests

SLICE = 1_000

ROUND = timedelta(days=1)
"""After so long all are looked through again: what came late, or was not settled, is found then."""

STEP = timedelta(hours=6)
"""Of so much time are the requests that are looked through in one statement."""


class ContentRetention:
    """Erases what is old enough; of the rest it remembers how far it has come."""

    def __init__(self, database: Database, days: int) -> None:
        self._database = database
        self._days = days
        self._done_until: datetime | None = None
        self._began_at: datetime | None = None

    async def erase(self, now: datetime, retention: timedelta) -> int:
        """Erase what is old enough; return of how many requests. Raises DatabaseUnavailable."""
        until = now - timedelta(days=self._days)
        oldest = now - retention
        if until <= oldest:
            return 0  # the rows themselves have gone
        if self._done_until is None or self._began_at is None or now - self._began_at >= ROUND:
            self._done_until, self._began_at = oldest, now
        count = 0
        while self._done_until < until:
            end = min(until, self._done_until + STEP)
            count += await self._erase_between(self._done_until, end)
            self._done_until = end
        bodies = update(dead).where(dead.c.at < until, dead.c.body != b"").values(body=b"")
        await self._database.write(lambda connection: connection.execute(bodies))
        texts = update(replies).where(replies.c.at < until, replies.c.text.is_not(None)).values(text=None)
        await self._database.write(lambda connection: connection.execute(texts))
        return count

    async def _erase_between(self, start: datetime, end: datetime) -> int:
        has_content = or_(
            requests.c.content.is_not(None),
            requests.c.content_at.is_not(None),
            requests.c.subject.is_not(None),
            requests.c.attachments != "[]",
        )
        is_open = exists().where(
            messages.c.request == requests.c.request,
            messages.c.status.in_([Status.QUEUED.value, Status.RETRYING.value]),
        )
        query = (
            select(requests.c.request)
            .where(requests.c.request >= first_id(start), requests.c.request < first_id(end), has_content, ~is_open)
            .limit(SLICE)
        )
        count = 0
        while True:
            names = await self._database.read(lambda connection: connection.scalars(query))
            found = list(names)
            if found:
                await self._database.write(lambda connection, found=found: _empty(connection, found))  # type: ignore[misc]
            count += len(found)
            if len(found) < SLICE:
                return count


async def _empty(connection: AsyncConnection, names: Iterable[str]) -> None:
    some = list(names)
    await connection.execute(update(requests).where(requests.c.request.in_(some)).values(redact.BARE))
    await connection.execute(delete(attachments).where(attachments.c.request.in_(some)))
