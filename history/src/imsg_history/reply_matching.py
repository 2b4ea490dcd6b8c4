"""Matching replies with the messages that they answer: the last one to that person, preferably of the same provider.

A reply is matched when it is written, and for an hour after, since its message may be recorded later. An opt-out goes
to the catalog with the category of its message.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Category, Event, EventKind, Status, message_id
from imsg_history.database import Database
from imsg_history.ids import first_id
from imsg_history.tables import IS_UNMATCHED, REFERENCE, messages, replies, requests
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger

log = logger(__name__)

PublishSuppression = Callable[[Suppression], Awaitable[None]]
"""Publishes a suppression for the catalog, durably. Raises PublishRefused, PublishUnknown."""

Publish = Callable[[Event], Awaitable[None]]
"""Publishes the event of a reply for callbacks, durably. Raises PublishRefused, PublishUnknown."""

MATCHED_FOR = timedelta(hours=1)

SKEW = timedelta(minutes=1)
"""How far a provider's clock may be behind; its times are whole seconds."""

SLICE = 200
"""Replies of one round."""

CANDIDATES = 20
"""Messages to one person that may be the answered one."""

SENT_STATUSES = (Status.SENT.value, Status.DELIVERED.value, Status.UNCERTAIN.value)


@dataclass(frozen=True, slots=True)
class MatchedReply:
    """A reply and the message that it answers."""

    reply: Row[Any]
    message: Row[Any]

    @property
    def suppression(self) -> Suppression | None:
        """The suppression of an opt-out from notices: sender-sms reports marketing, and codes are never suppressed."""
        if not self.reply.opt_out or self.message.category != Category.NOTICE.value:
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
        """The event for the user who sent the message; None where the user has not subscribed."""
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
    """Matches replies; to match one again changes nothing."""

    database: Database
    publish_suppression: PublishSuppression
    publish: Publish | None = None
    """None: no events are published."""
    problem: RecurringProblem = field(
        default_factory=lambda: RecurringProblem(log, "replies_not_published", quiet_s=QUIET_S), compare=False
    )

    async def match(self, now: datetime) -> int:
        """Match the waiting replies; return how many were matched. Raises DatabaseUnavailable."""
        waiting = (
            select(replies)
            .where(IS_UNMATCHED, replies.c.kept_at >= now - MATCHED_FOR)
            .order_by(replies.c.kept_at.desc())
            .limit(SLICE)
        )
        rows = await self.database.fetch(waiting)
        matches = await self.database.read(lambda connection: _match_all(connection, rows)) if rows else []
        published = [match for match in matches if await self._publish(match)]
        if published:
            await self.database.write(lambda connection: _update(connection, published))
        return len(published)

    async def _publish(self, match: MatchedReply) -> bool:
        """Publish before the match is written: a reply that was not published is matched again."""
        try:
            if (suppression := match.suppression) is not None:
                await self.publish_suppression(suppression)
            if self.publish is not None and (event := match.event) is not None:
                await self.publish(event)
        except (PublishRefused, PublishUnknown) as error:
            self.problem.report(error)
            return False
        self.problem.clear()
        return True


async def _match_all(connection: AsyncConnection, rows: Sequence[Row[Any]]) -> list[MatchedReply]:
    pairs = [(row, await _find_message(connection, row)) for row in sorted(rows, key=lambda row: str(row.id))]
    return [MatchedReply(row, message) for row, message in pairs if message is not None]


async def _update(connection: AsyncConnection, matches: Sequence[MatchedReply]) -> None:
    for match in matches:
        message = match.message
        change = update(replies).where(replies.c.id == match.reply.id, IS_UNMATCHED)
        user = {"username": message.username, "user_id": message.user_id}
        await connection.execute(change.values(request=message.request, n=message.n, **user))


async def _find_message(connection: AsyncConnection, reply: Row[Any]) -> Row[Any] | None:
    query = (
        select(
            messages.c.request, messages.c.n, messages.c.username, messages.c.user_id, messages.c.provider,
            messages.c.status, messages.c.method, messages.c.events, messages.c.written, requests.c.category,
            REFERENCE,
        )
        .outerjoin(requests, requests.c.request == messages.c.request)
        .where(messages.c.address == reply.address, messages.c.request < first_id(reply.at + SKEW))
        .order_by(messages.c.request.desc(), messages.c.n)
        .limit(CANDIDATES)
    )  # fmt: skip
    rows = [row for row in await connection.execute(query) if row.method == reply.method and row.username is not None]
    sent = [row for row in rows if row.status in SENT_STATUSES]
    of_provider = [row for row in sent if row.provider == reply.provider]
    best: Any = next(iter((*of_provider, *sent, *rows)), None)
    return best  # type: ignore[no-any-return]
