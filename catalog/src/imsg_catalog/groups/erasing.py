"""Erasure of people from the groups."""

from sqlalchemy import delete, insert, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_catalog.erasing import ErasedPeople
from imsg_catalog.groups.store import lock, read_member, write_member
from imsg_catalog.tables import GROUPS, MEMBERS, PEOPLE
from imsg_contract.mentions import find_mentions
from imsg_database.database import Database
from imsg_people.erasing import Stones

PAGE = 500
"""Members of one transaction."""


class GroupErasure:
    """Removes erased people from the groups. Methods raise DatabaseUnavailable."""

    def __init__(self, database: Database, erased: ErasedPeople) -> None:
        self._database = database
        self._erased = erased

    async def erase(self, stones: Stones) -> int:
        """Remove the people of these tombstones, and every mention of them; return how many rows changed."""
        after, count = ("", 0), 0
        while True:
            async with self._database.writing() as connection:
                await lock(connection)
                last, changed = await self._erase_page(connection, stones, after)
            count += changed
            if last is None:
                return count + await self._erase_names(stones)
            after = last

    async def _erase_page(
        self, connection: AsyncConnection, stones: Stones, after: tuple[str, int]
    ) -> tuple[tuple[str, int] | None, int]:
        """Erase a page of members; return the key of the last one, None after the last page, and what changed."""
        keys = (MEMBERS.c.group_id, MEMBERS.c.n)
        query = select(MEMBERS).where(tuple_(*keys) > tuple_(*after)).order_by(*keys).limit(PAGE)
        rows = [(row["group_id"], read_member(row)) for row in (await connection.execute(query)).mappings()]
        named = set[str]().union(*({*row.addresses, *row.find_mentions()} for _, row in rows))
        ends_ms = {
            address: max(stones.get(digest, -1) for digest in digests)
            for address, digests in (await self._erased.digests.of_many(named)).items()
        }
        changed = 0
        for group, row in rows:
            since_ms = row.since_ms
            kept = row.erase(lambda address: since_ms <= ends_ms[address])  # noqa: B023  called at once
            if kept is row:
                continue
            changed += 1
            await connection.execute(delete(MEMBERS).where(MEMBERS.c.group_id == group, MEMBERS.c.n == row.n))
            if kept is not None:
                await connection.execute(insert(MEMBERS), [write_member(group, kept)])
                continue
            await connection.execute(delete(PEOPLE).where(PEOPLE.c.group_id == group, PEOPLE.c.n == row.n))
            await connection.execute(update(GROUPS).where(GROUPS.c.id == group).values(size=GROUPS.c.size - 1))
        return (None if not rows else (rows[-1][0], rows[-1][1].n)), changed

    async def _erase_names(self, stones: Stones) -> int:
        """Empty the notes of groups that mention an erased person, and rename groups whose names do."""
        async with self._database.writing() as connection:
            rows = (await connection.execute(select(GROUPS.c.id, GROUPS.c.name, GROUPS.c.note))).all()
            mentioned = {text: find_mentions(text) for row in rows for text in (row.name, row.note)}
            digests = await self._erased.digests.of_many(set[str]().union(*mentioned.values()))
            erased = {
                text
                for text, addresses in mentioned.items()
                if any(digest in stones for address in addresses for digest in digests[address])
            }
            changes = [
                (row.id, f"group {row.id}" if row.name in erased else row.name, "" if row.note in erased else row.note)
                for row in rows
                if not erased.isdisjoint((row.name, row.note))
            ]
            for group, name, note in changes:
                await connection.execute(update(GROUPS).where(GROUPS.c.id == group).values(name=name, note=note))
        return len(changes)
