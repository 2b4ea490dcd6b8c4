"""Retention of contents: subjects, texts, files, replies and bodies of dead letters are erased before their rows."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import delete, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.wire import OPEN
from imsg_history import redaction
from imsg_history.database import Database
from imsg_history.ids import first_id
from imsg_history.tables import attachments, dead, messages, replies, requests

SLICE = 1_000

REPEAT_AFTER = timedelta(days=1)
"""How often all requests are read again: contents may arrive late, or be settled late."""

STEP = timedelta(hours=6)
"""The time span of the requests of one statement."""


class ContentRetention:
    """Erases old contents, and remembers the time up to which they are erased."""

    def __init__(self, database: Database, days: int) -> None:
        self._database = database
        self._days = days
        self._done_until: datetime | None = None
        self._started_at: datetime | None = None

    async def erase(self, now: datetime, retention: timedelta) -> int:
        """Erase old contents; return the number of their requests. Raises DatabaseUnavailable."""
        until = now - timedelta(days=self._days)
        oldest = now - retention
        if until <= oldest:
            return 0  # the rows are deleted as early
        if self._done_until is None or self._started_at is None or now - self._started_at >= REPEAT_AFTER:
            self._done_until, self._started_at = oldest, now
        count = 0
        while self._done_until < until:
            end = min(until, self._done_until + STEP)
            count += await self._erase_between(self._done_until, end)
            self._done_until = end
        bodies = update(dead).where(dead.c.at < until, dead.c.body != b"").values(body=b"")
        await self._database.execute(bodies)
        texts = update(replies).where(replies.c.at < until, replies.c.text.is_not(None)).values(text=None)
        await self._database.execute(texts)
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
            messages.c.status.in_(OPEN),
        )
        query = (
            select(requests.c.request)
            .where(requests.c.request >= first_id(start), requests.c.request < first_id(end), has_content, ~is_open)
            .limit(SLICE)
        )
        count = 0
        while True:
            names = [row.request for row in await self._database.fetch(query)]
            if names:
                await self._database.write(partial(_erase_contents, names=names))
            count += len(names)
            if len(names) < SLICE:
                return count


async def _erase_contents(connection: AsyncConnection, names: Sequence[str]) -> None:
    await connection.execute(update(requests).where(requests.c.request.in_(names)).values(redaction.EMPTY_CONTENT))
    await connection.execute(delete(attachments).where(attachments.c.request.in_(names)))
