"""Erasure from history's tables: rows that hold an address of a tombstone are emptied.

A message keeps its id, method, provider, segments, status, user and month. Every step may be repeated.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, Row, Table, bindparam, case, delete, exists, func, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.addresses import identity
from imsg_contract.mentions import find_mentions
from imsg_contract.wire import OPEN, Status
from imsg_history import batch_redaction, day_facts, redaction
from imsg_history.batch_redaction import ErasedPeople
from imsg_history.database import Database
from imsg_history.ids import first_id, time_of
from imsg_history.merge import DEAD_RANK
from imsg_history.tables import (
    attachments,
    attempts,
    dead,
    events,
    jobs,
    messages,
    receipts,
    replies,
    report_parts,
    reports,
    requests,
)
from imsg_people.tombstones import Digests, Tombstone

SLICE = 1_000
"""Messages of one read."""

TEXTS_OF_OTHERS = (
    messages.c.detail, messages.c.reference, messages.c.params, attempts.c.detail, events.c.detail, events.c.reference
)  # fmt: skip
"""The columns of messages that may mention other recipients of their request."""

DEAD_LETTERS = 20
"""Dead letters of one read: each may have 4 MiB."""


FIRST_POSITION: tuple[str, int] = ("0" * 32, -1)


@dataclass(frozen=True, slots=True)
class ErasedRecipient:
    """The recipient of a message who was erased."""

    address: str
    until: datetime
    """The tombstone's time: what was accepted until then is erased."""


ErasedRecipients = Mapping[int, ErasedRecipient]
"""The erased recipients of one request, by n."""


class Eraser:
    """Erases the people of tombstones; what was accepted after a tombstone stays."""

    def __init__(self, database: Database, digests: Digests) -> None:
        self._database = database
        self._digests = digests

    async def erase(self, stones: Sequence[Tombstone]) -> int:
        """Erase people from every table; return the number of their messages. Raises DatabaseUnavailable."""
        until: dict[str, datetime] = {}
        for stone in stones:
            until[stone.digest] = max(stone.at, until.get(stone.digest, stone.at))
        count = await self._erase_from_messages(until)
        await self._erase_addressed(receipts, receipts.c.kept_at, until)
        await self._erase_addressed(replies, replies.c.at, until)
        await self._erase_from_replies(until)
        await self._erase_from_dead_letters(until)
        await self.erase_bodies(stones)
        await self._database.write(_delete_reports)
        return count

    async def erase_bodies(self, stones: Sequence[Tombstone]) -> int:
        """Delete long contents and files that mention these people, of requests that they were recipients of.

        Those of unsettled requests stay, since a sender needs them. Raises DatabaseUnavailable.
        """
        until = {stone.digest: stone.at for stone in stones}
        was_theirs = exists().where(
            messages.c.request == attachments.c.request, messages.c.erased_at.in_(list(until.values()))
        )
        is_open = exists().where(messages.c.request == attachments.c.request, messages.c.status.in_(OPEN))
        query = select(attachments.c.request, attachments.c.sha256).where(was_theirs, ~is_open)
        count = 0
        for row in await self._database.fetch(query):
            count += await self._erase_body(row.request, row.sha256, until)
        return count

    async def _erase_body(self, request: str, sha256: str, until: Mapping[str, datetime]) -> bool:
        this = attachments.c.request == request, attachments.c.sha256 == sha256
        query = select(attachments.c.body).where(*this)
        body: bytes | None = await self._database.scalar(query)
        people = await asyncio.to_thread(lambda: find_mentions(redaction.read_text(body or b"")))
        known = await self._find_known(people, until)
        if not any(map(known.build_is_gone(time_of(request)), people)):
            return False

        async def remove(connection: AsyncConnection) -> None:
            is_content = requests.c.request == request, requests.c.content_at.contains(sha256)
            await connection.execute(update(requests).where(*is_content).values(redaction.EMPTY_REQUEST))
            await connection.execute(delete(attachments).where(*this))

        await self._database.write(remove)
        return True

    async def _find_known(self, addresses: Collection[str], until: Mapping[str, datetime]) -> ErasedPeople:
        digests = await self._digests.of_many(addresses)
        found = {
            identity(address): until[digest]
            for address, all_of in digests.items()
            for digest in all_of
            if digest in until
        }
        return ErasedPeople(found, digests)

    async def _erase_from_messages(self, until: Mapping[str, datetime]) -> int:
        """Read all messages once: no index finds a mail address whatever its case."""
        last, after, count = first_id(max(until.values()) + timedelta(milliseconds=1)), FIRST_POSITION, 0
        while True:
            place = tuple_(literal(after[0], messages.c.request.type), literal(after[1]))
            query = (
                select(messages.c.request, messages.c.n, messages.c.address)
                .where(tuple_(messages.c.request, messages.c.n) > place, messages.c.request < last)
                .order_by(messages.c.request, messages.c.n)
                .limit(SLICE)
            )
            rows = await self._database.fetch(query)
            if not rows:
                return count
            after = rows[-1].request, rows[-1].n
            known = await self._find_known([row.address for row in rows if row.address is not None], until)
            erased: defaultdict[str, dict[int, ErasedRecipient]] = defaultdict(dict)
            for row in rows:
                if row.address is not None and (at := known.until.get(identity(row.address))) is not None:
                    erased[row.request][row.n] = ErasedRecipient(row.address, at)
            for name in sorted(erased):
                of_request = erased[name]
                count += await self._database.write(
                    lambda connection, name=name, erased=of_request: _erase(connection, name, erased)  # type: ignore[misc]
                )

    async def _erase_addressed(self, table: Table, since: Column[Any], until: Mapping[str, datetime]) -> None:
        """Delete the rows of an address: receipts that wait for their message, and replies."""

        async def list_addresses(connection: AsyncConnection) -> list[str]:
            return list(await connection.scalars(select(table.c.address).distinct()))

        addresses = await self._database.read(list_addresses)
        known = await self._find_known(addresses, until)
        for address in addresses:
            if (at := known.until.get(identity(address))) is not None:
                gone = delete(table).where(table.c.address == address, since <= at)
                await self._database.execute(gone)

    async def _erase_from_replies(self, until: Mapping[str, datetime]) -> None:
        """Remove the texts of other people's replies that mention these people."""
        after = ""
        while True:
            query = select(replies.c.id, replies.c.at, replies.c.text).where(replies.c.id > after)
            query = query.order_by(replies.c.id).limit(SLICE)
            rows = await self._database.fetch(query)
            if not rows:
                return
            after = rows[-1].id
            people = {row.id: find_mentions(row.text or "") for row in rows}
            known = await self._find_known(set().union(*people.values()), until)
            gone = [row.id for row in rows if any(map(known.build_is_gone(row.at), people[row.id]))]
            change = update(replies).where(replies.c.id.in_(gone)).values(text=None)
            if gone:
                await self._database.execute(change)

    async def _erase_from_dead_letters(self, until: Mapping[str, datetime]) -> None:
        after = ""
        while True:
            query = select(dead).where(dead.c.id > after).order_by(dead.c.id).limit(DEAD_LETTERS)
            rows = await self._database.fetch(query)
            if not rows:
                return
            after = rows[-1].id
            for row in rows:
                people = find_mentions(f"{redaction.read_text(row.body)} {row.detail}")
                known = await self._find_known(people, until)
                gone = known.build_is_gone(redaction.read_accepted_at(row.body) or row.at)
                if not any(map(gone, people)):
                    continue
                is_job = redaction.read_accepted_at(row.body) is not None
                body, detail = batch_redaction.redact_dead_letter(row.body, row.detail, gone, is_job=is_job)
                change = update(dead).where(dead.c.id == row.id).values(body=body, detail=detail)
                await self._database.execute(change)


async def _delete_reports(connection: AsyncConnection) -> None:
    """Delete all reports that list messages, and all people's copies: each can be made again.

    One that is being made is deleted too, since it has read messages before they were erased.
    """
    of_messages = reports.c.kind != "usage"
    await connection.execute(delete(reports).where(of_messages))
    await connection.execute(delete(report_parts).where(~exists().where(reports.c.id == report_parts.c.report)))


async def _erase(connection: AsyncConnection, name: str, erased: ErasedRecipients) -> int:
    """Empty messages of a request, and the request itself where it has no other recipients.

    Rows are locked table by table, as `row_writer` locks them.
    """
    request = (await connection.execute(select(requests).where(requests.c.request == name).with_for_update())).first()
    accepted_at = time_of(name) if request is None else request.accepted_at
    erased = {n: recipient for n, recipient in erased.items() if accepted_at <= recipient.until}
    if not erased:
        return 0
    if request is not None:
        await _empty_request(connection, request, erased)
        await _shorten_job(connection, request, {recipient.address for recipient in erased.values()})
    changes = await _empty_messages(connection, name, erased)
    await _empty_texts(connection, name, erased)
    await day_facts.record(connection, changes)  # last, as `row_writer` does
    return len(erased)


async def _empty_request(connection: AsyncConnection, request: Row[Any], erased: ErasedRecipients) -> None:
    living = await connection.scalar(
        select(func.count())
        .select_from(messages)
        .where(messages.c.request == request.request, messages.c.erased_at.is_(None), messages.c.n.not_in(list(erased)))
    )
    if living == 0:
        await connection.execute(delete(attachments).where(attachments.c.request == request.request))
    if living == 0 or redaction.mentions(_texts(request), [recipient.address for recipient in erased.values()]):
        await connection.execute(
            update(requests).where(requests.c.request == request.request).values(redaction.EMPTY_REQUEST)
        )


def _texts(request: Row[Any]) -> tuple[str | None, ...]:
    return request.content, request.subject, request.attachments, request.reference


async def _shorten_job(connection: AsyncConnection, request: Row[Any], people: AbstractSet[str]) -> None:
    """Remove people from the job that is kept to be published again.

    The job is deleted where the other recipients are settled, or where its texts mention the people.
    """
    name = request.request
    body = await connection.scalar(select(jobs.c.body).where(jobs.c.request == name).with_for_update())
    if body is None:
        return
    left = redaction.redact_job(body, people.__contains__)
    is_open = select(messages.c.n).where(
        messages.c.request == name,
        messages.c.address.not_in(list(people)),
        messages.c.status.in_(OPEN),
    )
    if left is None or redaction.mentions(_texts(request), people) or await connection.scalar(is_open.limit(1)) is None:
        await connection.execute(delete(jobs).where(jobs.c.request == name))
    elif left != body:
        await connection.execute(update(jobs).where(jobs.c.request == name).values(body=left))


async def _empty_messages(
    connection: AsyncConnection, name: str, erased: ErasedRecipients
) -> Counter[day_facts.Change]:
    """Empty messages, their attempts and their events; return what day facts are to count otherwise."""
    of_request = messages.c.request == name
    found = await connection.execute(
        select(messages).where(of_request, messages.c.n.in_(list(erased))).order_by(messages.c.n).with_for_update()
    )
    rows = found.all()
    values = [
        {"one": row.n, "month": redaction.truncate_to_month(row.at), "erased": erased[row.n].until} for row in rows
    ]
    is_open = messages.c.rank < DEAD_RANK  # it was not settled, and will not be sent
    change = (
        update(messages)
        .where(of_request, messages.c.n == bindparam("one"))
        .values(
            written=None,
            address=None,
            params=None,
            reference=None,
            provider_id=None,
            detail=None,
            code=redaction.ERASED,
            at=bindparam("month"),
            erased_at=bindparam("erased"),
            status=case((is_open, Status.FAILED.value), else_=messages.c.status),
            rank=case((is_open, DEAD_RANK), else_=messages.c.rank),
        )
    )
    await connection.execute(change, values)
    await connection.execute(delete(attempts).where(attempts.c.request == name, attempts.c.n.in_(list(erased))))
    waiting = update(events).where(events.c.request == name, events.c.n.in_(list(erased)))
    await connection.execute(waiting.values(written=None, address=None, provider_id=None, detail=None, reference=None))
    before = (day_facts.CountedMessage.of(row) for row in rows if row.rank < DEAD_RANK)
    failed = Status.FAILED.value
    return Counter(day_facts.Change(name, counted, replace(counted, status=failed)) for counted in before)


async def _empty_texts(connection: AsyncConnection, name: str, erased: ErasedRecipients) -> None:
    """Remove the texts of other messages of a request that mention one of these people."""
    people = {recipient.address for recipient in erased.values()}
    for column in TEXTS_OF_OTHERS:
        of_request = column.table.c.request == name
        texts = list(await connection.scalars(select(column).where(of_request, column.is_not(None)).distinct()))
        gone = await asyncio.to_thread(_filter_mentioning, texts, people)
        for first in range(0, len(gone), SLICE):
            these = column.in_(gone[first : first + SLICE])
            await connection.execute(update(column.table).where(of_request, these).values({column: None}))


def _filter_mentioning(texts: Sequence[str], people: AbstractSet[str]) -> list[str]:
    return [text for text in texts if redaction.mentions([text], people)]
