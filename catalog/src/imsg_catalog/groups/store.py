"""Groups and their members in the database."""

import json
import zlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, RowMapping, and_, delete, false, func, insert, or_, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker
from imsg_catalog.erasing import ErasedPeople
from imsg_catalog.groups.members import Member, find_person, write_json
from imsg_catalog.tables import GROUPS, MEMBERS, PEOPLE
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.topology import CHANGE
from imsg_database.database import Database
from imsg_web.audit import make_change
from imsg_web.callers import Caller

LOCK = zlib.crc32(b"imsg groups")
"""PostgreSQL's advisory lock for writing members, so that an erasure meets no row that is being written."""

SLICE = 500
"""Keys in one statement: under the parameters that PostgreSQL and SQLite take."""

MAX_MEMBERS = 100_000


class Group(NamedTuple):
    """One group."""

    id: str
    name: str
    user_id: str
    username: str
    shared: bool
    note: str
    size: int
    last_n: int
    created_ms: int


class Added(NamedTuple):
    """The result of adding members."""

    added: int
    changed: int
    conflicts: Sequence[int]
    """The places of those whose addresses are of two members."""


@dataclass(frozen=True, slots=True)
class Page:
    """Which members a page lists."""

    find: str | None
    after: int
    limit: int


class Groups:
    """The operations on groups. All raise DatabaseUnavailable; those that write PublishRefused, PublishUnknown.

    Users see their own groups and shared ones, readers of everything all. Its owner and administrators change a group.
    """

    def __init__(self, database: Database, erased: ErasedPeople, broker: Broker, now_ms: Callable[[], int]) -> None:
        self._database = database
        self._erased = erased
        self._broker = broker
        self.now_ms = now_ms

    async def page(self, by: Caller, after: str, limit: int) -> list[Group]:
        """Read a page of the groups that a user sees, in the order of their names."""
        query = select(GROUPS).where(_sees(by), GROUPS.c.name > after).order_by(GROUPS.c.name).limit(limit)
        async with self._database.reading() as connection:
            return [Group(**row) for row in (await connection.execute(query)).mappings()]

    async def find(self, name: str, by: Caller) -> Group:
        """Read a group. Raises Refusal not_found."""
        async with self._database.reading() as connection:
            return await _find(connection, name, by)

    async def create(self, name: str, by: Caller, *, shared: bool, note: str) -> Group:
        """Create a group. Raises Refusal group_exists."""
        group = Group(new_id(), name, by.user_id, by.username, shared, note, 0, 0, self.now_ms())
        async with self._writing() as connection:
            await _require_free(connection, name)
            await connection.execute(insert(GROUPS), [group._asdict()])
            await self._audit(by, "group_created", group, after={"shared": shared, "note": bool(note)})
        return group

    async def change(self, name: str, by: Caller, fields: Mapping[str, Any]) -> Group:
        """Change a group's name, note, or whether it is shared. Raises Refusal not_found, not_yours, group_exists."""
        async with self._writing() as connection:
            group = await _find(connection, name, by, to_change=True)
            if fields.get("name", name) != name:
                await _require_free(connection, fields["name"])
            changed = group._replace(**fields)
            if fields:
                await connection.execute(update(GROUPS).where(GROUPS.c.id == group.id).values(**fields))
                shown = [
                    {key: getattr(version, key) for key in fields if key != "note"} for version in (group, changed)
                ]
                await self._audit(by, "group_changed", group, before=shown[0], after=shown[1])
        return changed

    async def delete(self, name: str, by: Caller) -> None:
        """Delete a group with its members. Raises Refusal not_found, not_yours."""
        async with self._writing() as connection:
            group = await _find(connection, name, by, to_change=True)
            for table in (PEOPLE, MEMBERS):
                await connection.execute(delete(table).where(table.c.group_id == group.id))
            await connection.execute(delete(GROUPS).where(GROUPS.c.id == group.id))
            await self._audit(by, "group_deleted", group, before={"members": group.size})

    async def read_members(self, name: str, by: Caller, page: Page) -> tuple[Group, list[Member]]:
        """Read a page of members, in the order in which they were added. Raises Refusal not_found."""
        async with self._database.reading() as connection:
            group = await _find(connection, name, by)
            query = select(MEMBERS).where(MEMBERS.c.group_id == group.id, MEMBERS.c.n > page.after)
            if page.find:
                columns = (MEMBERS.c.contacts, MEMBERS.c.params)
                part = page.find.lower()
                query = query.where(or_(*(func.lower(column).contains(part, autoescape=True) for column in columns)))
            rows = (await connection.execute(query.order_by(MEMBERS.c.n).limit(page.limit))).mappings()
            return group, [read_member(row) for row in rows]

    async def add(self, name: str, by: Caller, members: Sequence[Member]) -> Added:
        """Add members; one who is there already is replaced. Those who were erased meanwhile are left out.

        Raises Refusal not_found, not_yours, group_full; RedisUnavailable, RedisRefused.
        """
        async with self._writing() as connection:
            group = await _find(connection, name, by, to_change=True)
            known = await _find_people(connection, group.id, [key for member in members for key in member.people])
            rows: dict[int, Member] = {}
            before, conflicts, last_n = frozenset(known.values()), list[int](), group.last_n
            for place, member in enumerate(members):
                owners = {known[key] for key in member.people if key in known}
                if len(owners) > 1:
                    conflicts.append(place)
                    continue
                last_n += not owners
                row = replace(member, n=owners.pop() if owners else last_n)
                known |= dict.fromkeys(row.people, row.n)
                rows[row.n] = row
            replaced = before & rows.keys()
            kept = await self._drop_erased(list(rows.values()))
            size = group.size + len(kept) - len(replaced)
            if size > MAX_MEMBERS:
                raise Refusal("group_full", name=name, most=MAX_MEMBERS, size=size)
            await _delete(connection, group.id, list(replaced))
            await _insert(connection, group.id, kept)
            await connection.execute(update(GROUPS).where(GROUPS.c.id == group.id).values(size=size, last_n=last_n))
            added = Added(
                len(rows) - len(replaced), len(members) - len(conflicts) - len(rows) + len(replaced), conflicts
            )
            await self._audit(by, "group_members_added", group, after={"added": added.added, "changed": added.changed})
        return added

    async def remove(self, name: str, by: Caller, texts: Sequence[str]) -> tuple[int, list[str]]:
        """Remove the members with these addresses; return how many, and the addresses of none.

        Raises Refusal not_found, not_yours.
        """
        keys = {text: find_person(text) for text in texts}
        async with self._writing() as connection:
            group = await _find(connection, name, by, to_change=True)
            known = await _find_people(connection, group.id, [key for own_keys in keys.values() for key in own_keys])
            members = list({known[key] for own_keys in keys.values() for key in own_keys if key in known})
            await _delete(connection, group.id, members)
            size = group.size - len(members)
            await connection.execute(update(GROUPS).where(GROUPS.c.id == group.id).values(size=size))
            if members:
                await self._audit(by, "group_members_removed", group, before={"members": len(members)})
        return len(members), [text for text, own_keys in keys.items() if not any(key in known for key in own_keys)]

    async def read_all(self, names: Sequence[str], by: Caller, max_members: int) -> tuple[int, list[Member]]:
        """Read the members of several groups, with their number; none where a group has more than `max_members`.

        Raises Refusal not_found.
        """
        async with self._database.reading() as connection:
            groups = [await _find(connection, name, by) for name in dict.fromkeys(names)]
            total = sum(group.size for group in groups)
            if any(group.size > max_members for group in groups):
                return total, []
            query = select(MEMBERS).where(MEMBERS.c.group_id.in_([group.id for group in groups]))
            rows = (await connection.execute(query.order_by(MEMBERS.c.group_id, MEMBERS.c.n))).mappings()
            return total, [read_member(row) for row in rows]

    async def find_memberships(self, method: str, address: str) -> list[tuple[str, Member]]:
        """Return the groups in which an address is, with its member."""
        here = and_(MEMBERS.c.group_id == PEOPLE.c.group_id, MEMBERS.c.n == PEOPLE.c.n)
        query = select(GROUPS.c.name, MEMBERS).join(PEOPLE, here).join(GROUPS, GROUPS.c.id == MEMBERS.c.group_id)
        query = query.where(PEOPLE.c.person.in_(find_person(address)), PEOPLE.c.person.startswith(f"{method}:"))
        async with self._database.reading() as connection:
            rows = (await connection.execute(query.order_by(GROUPS.c.name))).mappings()
            return [(row["name"], read_member(row)) for row in rows]

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.writing() as connection:
            await lock(connection)
            yield connection

    async def _drop_erased(self, rows: Sequence[Member]) -> list[Member]:
        """Return what remains of members, some of which may have been erased since their request came."""
        named = set[str]().union(*({*row.addresses, *row.find_mentions()} for row in rows))
        stones = await self._erased.find(list(named))
        if not stones:
            return list(rows)
        remaining = []
        for row in rows:
            since_ms = row.since_ms
            remaining.append(row.erase(lambda address: address in stones and since_ms <= stones[address][1]))  # noqa: B023
        return [row for row in remaining if row is not None]

    async def _audit(
        self,
        by: Caller,
        action: str,
        group: Group,
        *,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish an audit record: numbers of members, never an address."""
        at = datetime.fromtimestamp(self.now_ms() / 1_000, UTC)
        change = make_change(by, action, group.name, at, before=before, after=after)
        await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))


async def lock(connection: AsyncConnection) -> None:
    """Lock out other writers until the transaction ends."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        await connection.execute(select(func.pg_advisory_xact_lock(LOCK)))


def read_member(row: RowMapping) -> Member:
    """Read a row."""
    fields: dict[str, Any] = {str(name): value for name, value in row.items() if name not in ("group_id", "name")}
    return Member(**{**fields, "contacts": json.loads(fields["contacts"]), "params": json.loads(fields["params"])})


def write_member(group: str, row: Member) -> dict[str, Any]:
    """Write a row."""
    return {
        "group_id": group,
        "n": row.n,
        "contacts": write_json(row.contacts),
        "params": write_json(row.params),
        "language": row.language,
        "consent_ms": row.consent_ms,
        "consent_source": row.consent_source,
        "since_ms": row.since_ms,
    }


def _sees(by: Caller) -> ColumnElement[bool]:
    return or_(GROUPS.c.user_id == by.user_id, GROUPS.c.shared, true() if by.sees_all else false())


async def _find(connection: AsyncConnection, name: str, by: Caller, *, to_change: bool = False) -> Group:
    query = select(GROUPS).where(and_(GROUPS.c.name == name, _sees(by)))
    row = (await connection.execute(query)).mappings().first()
    if row is None:
        raise Refusal("not_found", what=name[:64])
    group = Group(**row)
    if to_change and not (by.is_admin or group.user_id == by.user_id):
        raise Refusal("not_yours", name=name, owner=group.username)
    return group


async def _require_free(connection: AsyncConnection, name: str) -> None:
    if (await connection.execute(select(GROUPS.c.id).where(GROUPS.c.name == name))).first() is not None:
        raise Refusal("group_exists", name=name)


async def _find_people(connection: AsyncConnection, group: str, keys: Sequence[str]) -> dict[str, int]:
    """Return the members who have these addresses: key → `n`."""
    numbers: dict[str, int] = {}
    for first in range(0, len(keys), SLICE):
        some = PEOPLE.c.person.in_(keys[first : first + SLICE])
        rows = await connection.execute(select(PEOPLE.c.person, PEOPLE.c.n).where(PEOPLE.c.group_id == group, some))
        numbers |= {row.person: row.n for row in rows}
    return numbers


async def _delete(connection: AsyncConnection, group: str, members: Sequence[int]) -> None:
    for first in range(0, len(members), SLICE):
        some = members[first : first + SLICE]
        await connection.execute(delete(PEOPLE).where(PEOPLE.c.group_id == group, PEOPLE.c.n.in_(some)))
        await connection.execute(delete(MEMBERS).where(MEMBERS.c.group_id == group, MEMBERS.c.n.in_(some)))


async def _insert(connection: AsyncConnection, group: str, rows: Sequence[Member]) -> None:
    for first in range(0, len(rows), SLICE):
        some = rows[first : first + SLICE]
        await connection.execute(insert(MEMBERS), [write_member(group, row) for row in some])
        keys = [{"group_id": group, "person": key, "n": row.n} for row in some for key in row.people]
        await connection.execute(insert(PEOPLE), keys)
