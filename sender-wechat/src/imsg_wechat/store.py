"""The followers' rows: who follows which official account, and by which tag senders know them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_database.database import Database
from imsg_wechat.tables import FOLLOWERS

CHUNK = 500
"""Tags asked for in one statement: SQLite takes at most 32,766 variables."""

MAX_DRAWS = 10
"""Tags drawn until a free one is found: with 2^40 of them the second is nearly always one."""


@dataclass(frozen=True, slots=True)
class Follower:
    """One person at one official account; the tag is theirs for ever, whether they follow or have left."""

    account: str
    openid: str
    tag: str
    following: bool
    since: int


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
            row = {"account": account, "openid": openid, "tag": self._draw(), "following": True}
            try:
                async with self._database.writing() as connection:
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

    async def by_tags(self, tags: Sequence[str]) -> dict[str, Follower]:
        """Find followers by tag; unknown tags are absent."""
        found: dict[str, Follower] = {}
        async with self._database.reading() as connection:
            for first in range(0, len(tags), CHUNK):
                statement = select(FOLLOWERS).where(FOLLOWERS.c.tag.in_(tags[first : first + CHUNK]))
                for row in (await connection.execute(statement)).mappings():
                    found[row["tag"]] = Follower(**row)
        return found

    async def page(self, account: str, after: str, limit: int) -> list[Follower]:
        """Read an account's followers, left ones too, in the order of their tags."""
        statement = (
            select(FOLLOWERS)
            .where(FOLLOWERS.c.account == account, FOLLOWERS.c.tag > after)
            .order_by(FOLLOWERS.c.tag)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [Follower(**row) for row in (await connection.execute(statement)).mappings()]

    async def remove(self, tags: Sequence[str]) -> None:
        """Remove followers, and leave nothing of them in the file: a SQLite one is written anew."""
        async with self._database.writing() as connection:
            await connection.execute(delete(FOLLOWERS).where(FOLLOWERS.c.tag.in_(tags)))
        await self._database.purge()

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
