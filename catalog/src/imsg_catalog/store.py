"""The store of suppressions, in transactions: a writing one locks out other writers."""

import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Select, and_, delete, func, insert, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_catalog.tables import ANY, SUPPRESSIONS
from imsg_contract.addresses import identity
from imsg_contract.suppressions import Entry, Reason
from imsg_contract.wire import Category
from imsg_database.database import Database
from imsg_database.totals import count_rows
from imsg_database.transactions import Transactions

LOCK = zlib.crc32(b"imsg suppressions")
"""PostgreSQL's advisory lock of writers: the mirror must be written in order."""

SLICE = 500
"""Keys in one statement: under the parameters that PostgreSQL and SQLite take."""

Key = tuple[str, str, str, str, str]
"""(method, person, reason, sender, category): unique in the table."""

Place = tuple[str, str]
"""(method, person): one field of the mirror."""

DEFAULT_LIMIT = 50
"""Rows of a page."""


@dataclass(frozen=True, slots=True)
class Row:
    """One suppression."""

    id: str
    method: str
    address: str
    reason: Reason
    sender: str | None
    """None: every sender."""
    category: Category | None
    created_ms: int
    evidence: str = ""
    note: str = ""
    added_by: str | None = None
    """The user who added it; None: a sender reported it."""
    request: str | None = None
    n: int | None = None
    until_ms: int | None = None

    @property
    def place(self) -> Place:
        """The key of its field in the mirror."""
        return self.method, identity(self.address)

    @property
    def key(self) -> Key:
        """The unique key of the row."""
        sender = ANY if self.sender is None else self.sender
        return (*self.place, self.reason.value, sender, self.category.value if self.category else ANY)


@dataclass(frozen=True, slots=True)
class Filter:
    """The suppressions that a page lists."""

    method: str | None = None
    reason: Reason | None = None
    part: str | None = None
    """A part of the address, in lower case."""
    before: str | None = None
    """The last id of the page before."""
    limit: int = DEFAULT_LIMIT
    people: Sequence[str] = ()
    """Digests of erased people whose address `part` is."""
    places: Sequence[Place] | None = None
    """None: of all users."""


class Rows:
    """The statements of one transaction; those that write need `Store.writing`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock_table(self) -> None:
        """Lock out other writers until the transaction ends."""
        if self._connection.dialect.name == "postgresql":  # SQLite has one writer anyway
            await self._connection.execute(select(func.pg_advisory_xact_lock(LOCK)))

    async def add(self, rows: Sequence[Row], now_ms: int) -> list[Row]:
        """Add suppressions and return the new ones; an expired row is replaced, an existing one stays."""
        wanted = {row.key: row for row in rows}
        standing = await self._find_existing(list(wanted))
        over = [name for name, until_ms in standing.values() if until_ms is not None and until_ms <= now_ms]
        await self.remove(over)
        new = [row for key, row in wanted.items() if key not in standing or standing[key][0] in set(over)]
        for first in range(0, len(new), SLICE):
            await self._connection.execute(insert(SUPPRESSIONS), [_values(row) for row in new[first : first + SLICE]])
        return new

    async def lift(self, keys: Iterable[Key]) -> None:
        """Delete suppressions by their keys."""
        await self.remove([name for name, _ in (await self._find_existing(list(keys))).values()])

    async def remove(self, names: Sequence[str]) -> None:
        """Delete suppressions by their ids."""
        for first in range(0, len(names), SLICE):
            these = SUPPRESSIONS.c.id.in_(names[first : first + SLICE])
            await self._connection.execute(delete(SUPPRESSIONS).where(these))

    async def find(self, name: str) -> Row | None:
        """Read a suppression by its id."""
        result = await self._connection.execute(select(SUPPRESSIONS).where(SUPPRESSIONS.c.id == name))
        row = result.mappings().first()
        return None if row is None else _row(row)

    async def page(self, wanted: Filter) -> list[Row]:
        """Read a page, the newest first."""
        query = _select_wanted(wanted).order_by(SUPPRESSIONS.c.id.desc()).limit(wanted.limit)
        if wanted.before is not None:
            query = query.where(SUPPRESSIONS.c.id < wanted.before)
        return [_row(row) for row in (await self._connection.execute(query)).mappings()]

    async def count(self, wanted: Filter, limit: int) -> int:
        """Count the rows of all pages, `limit` at the most."""
        return (await self._connection.execute(count_rows(_select_wanted(wanted), limit))).scalar_one()

    async def over(self, now_ms: int, limit: int) -> list[Row]:
        """Read expired suppressions."""
        query = select(SUPPRESSIONS).where(SUPPRESSIONS.c.until_ms <= now_ms).limit(limit)
        return [_row(row) for row in (await self._connection.execute(query)).mappings()]

    async def list_after(self, name: str, limit: int) -> list[Row]:
        """Read the suppressions after an id, in the order of ids."""
        table = SUPPRESSIONS.c
        query = select(SUPPRESSIONS).where(table.id > name).order_by(table.id).limit(limit)
        return [_row(row) for row in (await self._connection.execute(query)).mappings()]

    async def entries(self, places: Iterable[Place]) -> dict[Place, list[Entry]]:
        """Read the mirror's entries of people; an empty list where there are none."""
        wanted = sorted(set(places))
        entries: dict[Place, list[Entry]] = {place: [] for place in wanted}
        table = SUPPRESSIONS.c
        for first in range(0, len(wanted), SLICE):
            these = tuple_(table.method, table.person).in_(wanted[first : first + SLICE])
            query = select(SUPPRESSIONS).where(these).order_by(table.id)
            for row in (await self._connection.execute(query)).mappings():
                entries[row["method"], row["person"]].append(_entry(_row(row)))
        return entries

    async def entries_after(self, method: str, person: str, limit: int) -> dict[Place, list[Entry]]:
        """Read the mirror's entries of the people after `person`, in order."""
        table = SUPPRESSIONS.c
        people = (
            select(table.person)
            .where(and_(table.method == method, table.person > person))
            .distinct()
            .order_by(table.person)
            .limit(limit)
        )
        names = (await self._connection.execute(people)).scalars().all()
        return await self.entries((method, name) for name in names)

    async def count_people(self, method: str) -> int:
        """Count the people of a method, each a field of the mirror."""
        people = select(func.count(SUPPRESSIONS.c.person.distinct())).where(SUPPRESSIONS.c.method == method)
        return int((await self._connection.execute(people)).scalar_one())

    async def _find_existing(self, keys: Sequence[Key]) -> dict[Key, tuple[str, int | None]]:
        existing: dict[Key, tuple[str, int | None]] = {}
        table = SUPPRESSIONS.c
        columns = (table.method, table.person, table.reason, table.sender, table.category)
        for first in range(0, len(keys), SLICE // len(columns)):
            some = keys[first : first + SLICE // len(columns)]
            query = select(*columns, table.id, table.until_ms).where(tuple_(*columns).in_(some))
            for *key, name, until_ms in await self._connection.execute(query):
                existing[key[0], key[1], key[2], key[3], key[4]] = (name, until_ms)
        return existing


class Store(Transactions[Rows]):
    """Transactions over the suppressions, of which one at a time writes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, Rows)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Rows]:
        """Open the only writing transaction; it commits unless the block raises."""
        async with super().writing() as rows:
            await rows.lock_table()
            yield rows


def _select_wanted(wanted: Filter) -> Select[Any]:
    """Select the suppressions of all pages."""
    table = SUPPRESSIONS.c
    query = select(SUPPRESSIONS)
    if wanted.method is not None:
        query = query.where(table.method == wanted.method)
    if wanted.reason is not None:
        query = query.where(table.reason == wanted.reason.value)
    if wanted.part is not None:
        has_part = func.lower(table.person).contains(wanted.part, autoescape=True)
        query = query.where(or_(has_part, table.person.in_(wanted.people)))
    if wanted.places is not None:
        query = query.where(tuple_(table.method, table.person).in_(wanted.places))
    return query


def _values(row: Row) -> Mapping[str, Any]:
    method, person, reason, sender, category = row.key
    return {
        "id": row.id,
        "method": method,
        "person": person,
        "address": row.address,
        "reason": reason,
        "sender": sender,
        "category": category,
        "evidence": row.evidence,
        "note": row.note,
        "added_by": row.added_by,
        "request": row.request,
        "n": row.n,
        "until_ms": row.until_ms,
        "created_ms": row.created_ms,
    }


def _row(row: RowMapping) -> Row:
    values: dict[str, Any] = {str(name): value for name, value in row.items() if name != "person"}
    values["reason"] = Reason(values["reason"])
    values["sender"] = None if values["sender"] == ANY else values["sender"]
    values["category"] = None if values["category"] == ANY else Category(values["category"])
    return Row(**values)


def _entry(row: Row) -> Entry:
    until_s = None if row.until_ms is None else row.until_ms / 1_000
    return Entry(row.reason, row.sender, row.category.value if row.category else None, until_s)
