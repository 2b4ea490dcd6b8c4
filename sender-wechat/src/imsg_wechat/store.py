"""The followers' rows: who follows which official account, and by which tag senders know them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_database.database import Database
from imsg_wechat.tables import BINDINGS, FOLLOWERS, GRANTS, RETIRED, WINDOWS

CHUNK = 500
"""Tags asked for in one statement: SQLite takes at most 32,766 variables."""

MAX_BEFORE = 10
"""Renewals that are looked back."""

MAX_DRAWS = 10
"""Tags drawn until a free one is found: with 2^40 of them the second is nearly always one."""


@dataclass(frozen=True, slots=True)
class Follower:
    """One person at one official account; the tag is theirs, whether they follow or have left, until it is retired."""

    account: str
    openid: str
    tag: str
    following: bool
    since: int


@dataclass(frozen=True, slots=True)
class Retired:
    """A tag that is no one's any more, and never anybody else's."""

    tag: str
    account: str
    at: int
    """Unix seconds."""
    successor: str | None
    """The tag that took its place; None: it was revoked."""


class Store:
    """The rows. Every verb raises DatabaseUnavailable."""

    def __init__(self, database: Database, draw: Callable[[], str]) -> None:
        """`draw` makes a random tag."""
        self._database = database
        self._draw = draw

    async def follows(self, account: str, openid: str, at: int) -> Follower:
        """Note that somebody followed at `at`, making their tag the first time; return how they stand now.

        What happened before the row's `since` changes nothing: WeChat repeats what was not answered, out of order.
        """
        for _ in range(MAX_DRAWS):
            known = await self._turn(account, openid, at, following=True)
            if known is not None:
                return known
            tag = self._draw()
            row = {"account": account, "openid": openid, "tag": tag, "following": True}
            try:
                async with self._database.writing() as connection:
                    if await _is_retired(connection, tag):
                        continue
                    await connection.execute(insert(FOLLOWERS).values(**row, since=at))
            except IntegrityError:  # the tag is taken, or another replica was quicker: look again
                continue
        raise RuntimeError("no free tag was drawn")

    async def leaves(self, account: str, openid: str, at: int) -> Follower | None:
        """Note that somebody had left by `at`; return how they stand now, None for one who never had a tag."""
        return await self._turn(account, openid, at, following=False)

    async def of(self, account: str, openid: str) -> Follower | None:
        """Find a follower by openid."""
        async with self._database.reading() as connection:
            return await _one(connection, _is(account, openid))

    async def tags_before(self, tag: str, since: int) -> list[str]:
        """Find the tags that whoever has a tag had before it, the last first, as far as each ended at `since` or after.

        A revoked tag is not among them: it was nobody's from then on.
        """
        before: list[str] = []
        async with self._database.reading() as connection:
            while len(before) < MAX_BEFORE:
                older = select(RETIRED.c.tag).where(RETIRED.c.successor == tag, RETIRED.c.at >= since)
                found = (await connection.execute(older)).scalars().first()
                if found is None:
                    break
                before.append(tag := str(found))
        return before

    async def by_tags(self, tags: Sequence[str]) -> dict[str, Follower]:
        """Find followers by tag; unknown tags are absent."""
        found: dict[str, Follower] = {}
        async with self._database.reading() as connection:
            for first in range(0, len(tags), CHUNK):
                statement = select(FOLLOWERS).where(FOLLOWERS.c.tag.in_(tags[first : first + CHUNK]))
                for row in (await connection.execute(statement)).mappings():
                    found[row["tag"]] = Follower(**row)
        return found

    async def page(self, account: str | None, after: str, limit: int) -> list[Follower]:
        """Read the followers of an account, or of all, left ones too, in the order of their tags."""
        statement = select(FOLLOWERS).where(FOLLOWERS.c.tag > after).order_by(FOLLOWERS.c.tag).limit(limit)
        if account is not None:
            statement = statement.where(FOLLOWERS.c.account == account)
        async with self._database.reading() as connection:
            return [Follower(**row) for row in (await connection.execute(statement)).mappings()]

    async def renew(self, tag: str, at: int) -> Follower | None:
        """Give whoever has a tag another one; None where nobody has it.

        Asked again with the old tag, it returns who has the new one: a renewal is repeated until all know of it.
        """
        for _ in range(MAX_DRAWS):
            fresh = self._draw()
            try:
                async with self._database.writing() as connection:
                    known = await _one(connection, FOLLOWERS.c.tag == tag)
                    if known is None:
                        return await _find_successor(connection, tag)
                    if await _is_retired(connection, fresh):
                        continue
                    row = _is(known.account, known.openid) & (FOLLOWERS.c.tag == tag)
                    changed = await connection.execute(update(FOLLOWERS).where(row).values(tag=fresh))
                    if changed.rowcount == 0:  # another replica was quicker: look again
                        continue
                    retired = {"tag": tag, "account": known.account, "at": at, "successor": fresh}
                    await connection.execute(insert(RETIRED).values(retired))
                return replace(known, tag=fresh)
            except IntegrityError:  # the tag is taken
                continue
        raise RuntimeError("no free tag was drawn")

    async def revoke(self, tag: str, at: int) -> Retired | None:
        """Take a tag from whoever has it: asking makes them another. None where nobody has or had it."""
        async with self._database.writing() as connection:
            known = await _one(connection, FOLLOWERS.c.tag == tag)
            if known is None:
                return await _find_retired(connection, tag)
            await connection.execute(delete(FOLLOWERS).where(FOLLOWERS.c.tag == tag))
            retired = Retired(tag, known.account, at, None)
            await connection.execute(insert(RETIRED).values(asdict(retired)))
        return retired

    async def find_retired(self, tags: Sequence[str]) -> dict[str, Retired]:
        """Find which tags were renewed or revoked."""
        found: dict[str, Retired] = {}
        async with self._database.reading() as connection:
            for first in range(0, len(tags), CHUNK):
                statement = select(RETIRED).where(RETIRED.c.tag.in_(tags[first : first + CHUNK]))
                for row in (await connection.execute(statement)).mappings():
                    found[row["tag"]] = Retired(**row)
        return found

    async def read_retired(self, account: str, after: str, limit: int) -> list[Retired]:
        """Read an account's retired tags, in their order."""
        statement = (
            select(RETIRED)
            .where(RETIRED.c.account == account, RETIRED.c.tag > after)
            .order_by(RETIRED.c.tag)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [Retired(**row) for row in (await connection.execute(statement)).mappings()]

    async def remove(self, tags: Sequence[str]) -> list[str]:
        """Remove tags and whose they are, and leave nothing of them in the file: a SQLite one is written anew.

        Return the tags that they had before, which are removed too.
        """
        before: list[str] = []
        async with self._database.writing() as connection:
            wave = list(tags)
            while wave:
                older = select(RETIRED.c.tag).where(RETIRED.c.successor.in_(wave))
                wave = [tag for tag in (await connection.execute(older)).scalars() if tag not in before]
                before += wave
            every = [*tags, *before]
            openids = select(FOLLOWERS.c.openid).where(FOLLOWERS.c.tag.in_(every))
            for allowed in (GRANTS, WINDOWS):
                await connection.execute(delete(allowed).where(allowed.c.openid.in_(openids)))
            await connection.execute(delete(BINDINGS).where(BINDINGS.c.tag.in_(every)))
            await connection.execute(delete(RETIRED).where(RETIRED.c.tag.in_(every)))
            await connection.execute(delete(FOLLOWERS).where(FOLLOWERS.c.tag.in_(every)))
        await self._database.purge()
        return before

    async def _turn(self, account: str, openid: str, at: int, *, following: bool) -> Follower | None:
        row = _is(account, openid)
        async with self._database.writing() as connection:
            await connection.execute(
                update(FOLLOWERS).where(row, FOLLOWERS.c.since <= at).values(following=following, since=at)
            )
            return await _one(connection, row)


def _is(account: str, openid: str) -> ColumnElement[bool]:
    return and_(FOLLOWERS.c.account == account, FOLLOWERS.c.openid == openid)


async def _one(connection: AsyncConnection, row: ColumnElement[bool]) -> Follower | None:
    found = (await connection.execute(select(FOLLOWERS).where(row))).mappings().first()
    return None if found is None else Follower(**found)


async def _find_retired(connection: AsyncConnection, tag: str) -> Retired | None:
    found = (await connection.execute(select(RETIRED).where(RETIRED.c.tag == tag))).mappings().first()
    return None if found is None else Retired(**found)


async def _is_retired(connection: AsyncConnection, tag: str) -> bool:
    return await _find_retired(connection, tag) is not None


async def _find_successor(connection: AsyncConnection, tag: str) -> Follower | None:
    """Find who has the tag that took a tag's place, however often it was renewed."""
    successor: str | None = tag
    while successor is not None:
        retired = await _find_retired(connection, successor)
        if retired is None:
            return await _one(connection, FOLLOWERS.c.tag == successor)
        successor = retired.successor
    return None
