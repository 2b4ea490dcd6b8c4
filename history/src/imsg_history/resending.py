"""Resending: what to send again of a request, a message or a dead letter, and what was sent again already."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.errors import Refusal
from imsg_contract.roles import OPERATORS, refuse_role
from imsg_contract.topology import Lane
from imsg_contract.wire import Category, Job, Status, message_id
from imsg_history.database import Database
from imsg_history.ids import Name
from imsg_history.merge import DEAD_LETTER
from imsg_history.ownership import may_see
from imsg_history.tables import SENDS_AGAIN, dead, messages, requests
from imsg_web.callers import Caller

Resent = Mapping[tuple[str, str], list[str]]
"""Request and address of a message → the messages that it was sent again as, oldest first."""

RESENDABLE = (Status.FAILED, Status.EXPIRED)
"""The statuses of messages that are sent again; `uncertain` ones only where the caller asks for them."""


class Resends:
    """Drafts new requests from old ones."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def draft(self, text: str, caller: Caller, *, uncertain: bool, again: bool) -> dict[str, Any]:
        """Return a draft that resends a request, a message or (for operators) a dead letter.

        The draft leaves out messages that were sent again already, unless `again`. Raises Refusal not_found (also for
        other people's requests), nothing_to_resend, already_resent, redacted or content_erased; DatabaseUnavailable.
        """
        name = Name.read(text)
        if name is None:
            raise Refusal("not_found", what=text[:64])
        statuses = (*RESENDABLE, Status.UNCERTAIN) if uncertain else RESENDABLE
        where = [messages.c.request == name.request, messages.c.status.in_([status.value for status in statuses])]
        if name.n is not None:
            where.append(messages.c.n == name.n)
        try:
            return await self._database.read(
                lambda connection: _draft(connection, text, name.request, caller, where, again=again)
            )
        except Refusal as refusal:
            if refusal.reason != "not_found" or name.n is not None or caller.role not in OPERATORS:
                raise
        # The id of a dead letter looks like that of a request.
        return await self.draft_dead_letter(name.request, caller, again=again)

    async def draft_dead_letter(self, letter: str, caller: Caller, *, again: bool) -> dict[str, Any]:
        """Return a draft that resends to the recipients that failed with a dead letter.

        Raises Refusal no_right, not_found, nothing_to_resend where it holds no job, already_resent, redacted;
        DatabaseUnavailable.
        """
        if caller.role not in OPERATORS:
            raise refuse_role(OPERATORS)
        row = await self._database.first(select(dead.c.body, dead.c.request).where(dead.c.id == letter))
        if row is None:
            raise Refusal("not_found", what=letter[:64])
        body = row.body
        if not body and row.request is not None:
            of_request = select(requests.c.category).where(requests.c.request == row.request)
            if await self._database.scalar(of_request) == Category.CODE.value:
                raise Refusal("redacted", id=letter)
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
    if row is None or not may_see(row, caller):
        raise Refusal("not_found", what=name)
    rows = await connection.execute(
        select(messages.c.n, messages.c.written, messages.c.address, messages.c.params, messages.c.reference)
        .where(*where, messages.c.erased_at.is_(None))
        .order_by(messages.c.n)
    )
    recipients = [
        {
            "n": message.n,
            "to": message.written,
            "address": message.address,
            "reference": message.reference,
            **({} if message.params is None else json.loads(message.params)),
        }
        for message in rows
    ]
    if not recipients:
        raise Refusal("nothing_to_resend", id=name)
    if not again:
        resent = await find_resent(connection, [request])
        recipients = [recipient for recipient in recipients if (request, recipient["address"]) not in resent]
    if not recipients:
        raise Refusal("already_resent", id=name)
    if row.content is None and row.content_at is None:
        raise Refusal("redacted" if row.category == Category.CODE.value else "content_erased", id=name)
    return {**_show_request(row), "recipients": recipients}


def _show_request(row: Row[Any]) -> dict[str, Any]:
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
        "category": row.category,
        "test": row.lane == Lane.TEST,
    }


async def find_resent(connection: AsyncConnection, of: Iterable[str]) -> Resent:
    """Find the messages as which the messages of these requests were sent again.

    A request holds an address once, so the address tells which message of the old request is meant.
    """
    rows = await connection.execute(
        select(messages.c.request, messages.c.n, messages.c.address, SENDS_AGAIN.label("old"))
        .join(requests, requests.c.request == messages.c.request)
        .where(requests.c.resend_of.is_not(None), SENDS_AGAIN.in_(list(of)), messages.c.address.is_not(None))
        .order_by(messages.c.request, messages.c.n)
    )
    resent: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        resent.setdefault((row.old, row.address), []).append(message_id(row.request, row.n))
    return resent
