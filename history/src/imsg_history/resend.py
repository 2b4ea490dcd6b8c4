"""What is to be sent again: of a request, of one message, or of a dead letter."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_contract.wire import Category, Job, Status
from imsg_history.database import Database
from imsg_history.ids import Name
from imsg_history.merge import DEAD_LETTER
from imsg_history.ownership import is_of
from imsg_history.resends import find_resent
from imsg_history.tables import dead, messages, requests
from imsg_web.callers import Caller

LOST = (Status.FAILED, Status.EXPIRED)
"""What is sent again; with `uncertain` also what the provider may already have."""


class Resends:
    """Drafts of new requests, made of old ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def draft(self, text: str, caller: Caller, *, uncertain: bool, again: bool) -> dict[str, Any]:
        """Draft what of a request, a message or (for administrators) a dead letter is to be sent again.

        What was sent again already is left out, unless `again`. Raises Refusal not_found (to others too: an id tells
        nothing), nothing_to_resend, already_resent or content_erased; DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None:
            raise Refusal("not_found", what=text[:64])
        statuses = (*LOST, Status.UNCERTAIN) if uncertain else LOST
        where = [messages.c.request == name.request, messages.c.status.in_([status.value for status in statuses])]
        if name.n is not None:
            where.append(messages.c.n == name.n)
        try:
            return await self._database.read(
                lambda connection: _draft(connection, text, name.request, caller, where, again=again)
            )
        except Refusal as refusal:
            if refusal.reason != "not_found" or name.n is not None or not caller.is_admin:
                raise
        return await self.draft_of_dead(name.request, caller, again=again)  # a dead letter's id looks like a request's

    async def draft_of_dead(self, letter: str, caller: Caller, *, again: bool) -> dict[str, Any]:
        """Draft what a dead letter held back: those of its recipients that failed with it.

        Raises Refusal no_right, not_found, nothing_to_resend where it holds no job, already_resent;
        DatabaseUnavailable.
        """
        if not caller.is_admin:
            raise Refusal("no_right")
        body = await self._database.read(
            lambda connection: connection.scalar(select(dead.c.body).where(dead.c.id == letter))
        )
        if body is None:
            raise Refusal("not_found", what=letter[:64])
        try:
            job = Job.model_validate_json(body)
        except ValueError as error:
            raise Refusal("nothing_to_resend", id=letter) from error
        where = [
            messages.c.request == job.request,
            messages.c.n.between(job.recipients[0].n, job.recipients[-1].n),
            messages.c.status == Status.FAILED.value,
            messages.c.code == DEAD_LETTER,
        ]
        return await self._database.read(
            lambda connection: _draft(connection, letter, job.request, caller, where, again=again)
        )


async def _draft(
    connection: AsyncConnection, name: str, request: str, caller: Caller, where: Iterable[Any], *, again: bool
) -> dict[str, Any]:
    row = (await connection.execute(select(requests).where(requests.c.request == request))).first()
    if row is None or not (caller.is_admin or is_of(row.username, row.user_id, row.request, caller)):
        raise Refusal("not_found", what=name)
    found = await connection.execute(
        select(messages.c.n, messages.c.written, messages.c.address)
        .where(*where, messages.c.erased_at.is_(None))
        .order_by(messages.c.n)
    )
    recipients = [{"n": message.n, "to": message.written, "address": message.address} for message in found]
    if not recipients:
        raise Refusal("nothing_to_resend", id=name)
    if not again:
        resent = await find_resent(connection, [request])
        recipients = [one for one in recipients if (request, one["address"]) not in resent]
    if not recipients:
        raise Refusal("already_resent", id=name)
    if row.content is None and row.content_at is None:
        raise Refusal("content_erased", id=name)
    return {**_request(row), "recipients": recipients}


def _request(row: Row[Any]) -> dict[str, Any]:
    return {
        "request": row.request,
        "username": row.username,
        "user_id": row.user_id,
        "method": row.method,
        "account": row.account,
        "content": json.loads(row.content or "null"),
        "content_at": json.loads(row.content_at or "null"),
        "attachments": json.loads(row.attachments),
        "reference": row.reference,
        "category": row.category or Category.NOTICE,
    }
