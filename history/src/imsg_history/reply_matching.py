"""Which message a reply answers: the last one that went to its writer before, by the provider that brought the reply.

It is looked for once the reply is kept, and for an hour after: its message may be recorded later than it. A reply that
asks for no more messages is told to the catalog with the category that only the message tells.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Category, Event, EventKind, Status, message_id
from imsg_history.database import Database
from imsg_history.ids import first_id
from imsg_history.tables import IS_UNMATCHED, messages, replies, requests
from imsg_runtime.logs import logger

log = logger(__name__)

Tell = Callable[[Suppression], Awaitable[None]]
"""Has the catalog hear of a suppression; durable when it returns. Raises PublishRefused, PublishUnknown."""

Publish = Callable[[Event], Awaitable[None]]
"""Has callbacks hear of a reply; durable when it returns. Raises PublishRefused, PublishUnknown."""

SOUGHT_FOR = timedelta(hours=1)

SKEW = timedelta(minutes=1)
"""How far a provider's clock may be behind ours: its times are to the second, and its own."""

SLICE = 200
"""Replies looked after at once."""

LOOKED_AT = 20
"""Messages to one person among which the provider's is looked for."""

GONE_OUT = (Status.SENT.value, Status.DELIVERED.value, Status.UNCERTAIN.value)


@dataclass(frozen=True, slots=True)
class Answered:
    """A reply and the message that it answers."""

    reply: Row[Any]
    message: Row[Any]

    @property
    def suppression(self) -> Suppression | None:
        """What is to be told: of a notice alone. Of marketing its sender told; codes are kept from nobody."""
        if not self.reply.opt_out or self.message.category not in (None, Category.NOTICE.value):
            return None
        return Suppression(
            method=self.reply.method,
            address=self.reply.address,
            reason=Reason.OPT_OUT,
            sender=self.reply.signature,
            category=Category.NOTICE,
            evidence=self.reply.text or "",
            request=self.message.request,
            n=self.message.n,
            at=self.reply.at,
        )

    @property
    def event(self) -> Event | None:
        """What is told to who sent the message, where they want to hear; of whom it names, what they wrote."""
        message, reply = self.message, self.reply
        if not (message.events or 0) & EventKind.MESSAGE or message.user_id is None:
            return None
        return Event(
            id=f"evt_reply-{reply.id}",
            type="message.reply",
            at=reply.at,
            username=message.username,
            user_id=message.user_id,
            method=reply.method,
            address=reply.address,
            data={
                "id": message_id(message.request, message.n),
                "request": message.request,
                "reference": message.reference,
                "to": message.written,
                "method": reply.method,
                "text": reply.text,
                "opt_out": bool(reply.opt_out),
            },
        )


@dataclass(frozen=True, slots=True)
class ReplyMatcher:
    """Matches replies; the same again changes nothing."""

    database: Database
    tell: Tell
    publish: Publish | None = None
    """None: nobody is told of replies."""

    async def match(self, now: datetime) -> int:
        """Match what waits for its message; return how many found theirs. Raises DatabaseUnavailable."""
        waiting = (
            select(replies)
            .where(IS_UNMATCHED, replies.c.kept_at >= now - SOUGHT_FOR)
            .order_by(replies.c.kept_at.desc())
            .limit(SLICE)
        )
        rows = (await self.database.read(lambda connection: connection.execute(waiting))).all()
        found = await self.database.read(lambda connection: _find_all(connection, rows)) if rows else []
        told = [one for one in found if await self._tell(one)]
        if told:
            await self.database.write(lambda connection: _keep(connection, told))
        return len(told)

    async def _tell(self, one: Answered) -> bool:
        """Tell the catalog before it is written down: what was not told is matched again."""
        try:
            if (suppression := one.suppression) is not None:
                await self.tell(suppression)
            if self.publish is not None and (event := one.event) is not None:
                await self.publish(event)
        except (PublishRefused, PublishUnknown) as error:
            log.warning("reply_not_told", reply=one.reply.id, why=str(error))
            return False
        return True


async def _find_all(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[Answered]:
    found = [(row, await _find_answered(connection, row)) for row in sorted(rows, key=lambda one: str(one.id))]
    return [Answered(row, message) for row, message in found if message is not None]


async def _keep(connection: AsyncConnection, found: Sequence[Answered]) -> None:
    for one in found:
        message = one.message
        change = update(replies).where(replies.c.id == one.reply.id, IS_UNMATCHED)
        whose = {"username": message.username, "user_id": message.user_id}
        await connection.execute(change.values(request=message.request, n=message.n, **whose))


async def _find_answered(connection: AsyncConnection, reply: Row[Any]) -> Row[Any] | None:
    query = (
        select(
            messages.c.request, messages.c.n, messages.c.username, messages.c.user_id, messages.c.provider,
            messages.c.status, messages.c.method, messages.c.events, messages.c.written, requests.c.category,
            requests.c.reference,
        )
        .outerjoin(requests, requests.c.request == messages.c.request)
        .where(messages.c.address == reply.address, messages.c.request < first_id(reply.at + SKEW))
        .order_by(messages.c.request.desc(), messages.c.n)
        .limit(LOOKED_AT)
    )  # fmt: skip
    found = [row for row in await connection.execute(query) if row.method == reply.method and row.username is not None]
    gone_out = [row for row in found if row.status in GONE_OUT]
    of_provider = [row for row in gone_out if row.provider == reply.provider]
    best: Any = next(iter((*of_provider, *gone_out, *found)), None)
    return best  # type: ignore[no-any-return]
