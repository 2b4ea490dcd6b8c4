"""A person's copy: all that is kept of an address or a user, as a file of JSON."""

import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.addresses import identity
from imsg_contract.errors import Refusal
from imsg_contract.mentions import find_mentions
from imsg_contract.prices import PriceList
from imsg_history import redaction
from imsg_history.audit import insert_line
from imsg_history.database import Database
from imsg_history.ids import rfc3339
from imsg_history.pagination import MAX_LIMIT
from imsg_history.queries import MessagesQuery, RepliesQuery
from imsg_history.query import MessageQuery
from imsg_history.replies import Replies
from imsg_history.reports import DONE, ReportPart, make_row
from imsg_history.tables import attachments, dead, receipts, report_parts, reports
from imsg_web.audit import hide_person, make_change
from imsg_web.callers import Caller
from imsg_web.request_models import RequestModel

EXPORT = "export"
"""The kind of a person's copy among the reports, whose work it shares."""

SLICE = 500

Section = tuple[str, AsyncIterator[Mapping[str, Any]]]


class Person(RequestModel):
    """One address of a person."""

    method: str
    to: str
    """In the normal form."""


class NewExport(RequestModel):
    """POST /internal/exports: the person, and what other services keep of them."""

    username: str | None
    """The user whose export it is; None: the person with the address."""
    people: list[Person]
    kept: dict[str, Any]


class Exports:
    """The store of copies; `report_builder` makes them."""

    def __init__(
        self, database: Database, now: Callable[[], datetime], wake: Callable[[], None], audit_key: bytes
    ) -> None:
        """`wake` is called when a copy waits; `audit_key` makes the digests of addresses in the audit."""
        self._database = database
        self._audit_key = audit_key
        self._now = now
        self._wake = wake

    async def begin(self, export: NewExport, caller: Caller) -> str:
        """Store an export to be made, and return its id. Raises DatabaseUnavailable."""
        now = self._now()
        row = make_row(EXPORT, export.model_dump_json(), caller, now)
        name = str(row["id"])
        people = [{"method": person.method, "to": hide_person(person.to, self._audit_key)} for person in export.people]
        after = {"username": export.username, "people": people}
        line = insert_line(make_change(caller, EXPORT, name, now, after=after))

        async def write(connection: AsyncConnection) -> None:
            await connection.execute(insert(reports).values(row))
            await connection.execute(line)

        await self._database.write(write)
        self._wake()
        return name

    async def show(self, name: str) -> dict[str, Any]:
        """Show how far a copy is. Raises Refusal not_found, DatabaseUnavailable."""
        row = await self._find(name)
        return {
            "id": row.id,
            "state": row.state,
            "progress": row.progress,
            "created_at": rfc3339(row.created_at),
            "expires_at": rfc3339(row.expires_at),
            "url": f"/api/v2/exports/{row.id}/file" if row.state == DONE else None,
        }

    async def read_part(self, name: str, n: int) -> ReportPart:
        """Return a part of the file. Raises Refusal not_found, DatabaseUnavailable."""
        row = await self._find(name)
        query = select(report_parts.c.body).where(report_parts.c.report == row.id, report_parts.c.n == n)
        body: bytes | None = await self._database.scalar(query) if row.state == DONE else None
        if body is None:
            raise Refusal("not_found", what=f"{name[:64]}/file")
        return ReportPart(body, row.parts, "application/json", f"imsg-export-{row.id[:8]}.json")

    async def _find(self, name: str) -> Row[Any]:
        where = (reports.c.id == name, reports.c.kind == EXPORT, reports.c.expires_at > self._now())
        row = await self._database.first(select(reports).where(*where))
        if row is None:
            raise Refusal("not_found", what=name[:64])
        return row


class ExportReader:
    """Reads what history keeps of a person."""

    def __init__(self, database: Database, people: Sequence[Person], caller: Caller, prices: PriceList) -> None:
        self._database = database
        self._people = people
        self._caller = caller
        self._prices = prices

    def list_sections(self) -> Sequence[Section]:
        """Return each list of the file by its name."""
        return (
            ("messages", self._read_messages()),
            ("replies", self._read_replies()),
            ("receipts", self._read_receipts()),
            ("dead_letters", self._read_dead_letters()),
        )

    async def _read_messages(self) -> AsyncIterator[Mapping[str, Any]]:
        """Read the messages, each with its content, files and timeline."""
        messages = MessageQuery(self._database)
        for person in self._people:
            cursor: str | None = ""
            while cursor is not None:
                fields = {"method": person.method, "to": person.to, "limit": str(SLICE), "cursor": cursor}
                page = await messages.find(MessagesQuery.model_validate(fields), self._caller, self._prices)
                for row in page.rows:
                    alone = MessagesQuery.model_validate({"id": row["id"]})
                    for message in (await messages.find(alone, self._caller, self._prices)).rows:
                        yield message | {"files": await self._read_files(message["id"])}
                cursor = page.next

    async def _read_files(self, message: str) -> list[dict[str, str]]:
        """Read the files of a message's request that are still kept."""
        query = select(attachments.c.sha256, attachments.c.body).where(
            attachments.c.request == message.partition("-")[0]
        )
        rows = await self._database.fetch(query)
        return [{"sha256": row.sha256, "body_base64": base64.b64encode(row.body).decode()} for row in rows]

    async def _read_replies(self) -> AsyncIterator[Mapping[str, Any]]:
        replies = Replies(self._database)
        for person in self._people:
            cursor: str | None = ""
            while cursor is not None:
                fields = {"method": person.method, "from": person.to, "limit": str(MAX_LIMIT), "cursor": cursor}
                page = await replies.find(RepliesQuery.model_validate(fields), self._caller)
                for row in page.rows:
                    yield row
                cursor = page.next

    async def _read_receipts(self) -> AsyncIterator[Mapping[str, Any]]:
        """Read the receipts that wait for their message."""
        addresses = [person.to for person in self._people]
        for row in await self._database.fetch(select(receipts).where(receipts.c.address.in_(addresses))):
            yield _write_row(row)

    async def _read_dead_letters(self) -> AsyncIterator[Mapping[str, Any]]:
        """Yield the dead letters that mention the person; there is no index of mentions."""
        wanted, after = {identity(person.to) for person in self._people}, ""
        while True:
            rows = await self._database.fetch(select(dead).where(dead.c.id > after).order_by(dead.c.id).limit(SLICE))
            if not rows:
                return
            after = rows[-1].id
            for row in rows:
                text = f"{redaction.read_text(row.body)} {row.detail}"
                if wanted & {identity(address) for address in find_mentions(text)}:
                    yield _write_row(row)


def _write_row(row: Row[Any]) -> dict[str, object]:
    return {name: _write(value) for name, value in row._asdict().items()}


def _write(value: object) -> object:
    """Write a column's value as JSON has it."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value


def encode(row: Mapping[str, Any]) -> bytes:
    """Write one row of the file."""
    return json.dumps(row, ensure_ascii=False).encode()
