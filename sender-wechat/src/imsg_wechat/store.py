"""The table of followers: openid, account and tag."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_database.database import Database
from imsg_wechat.tables import BINDINGS, FOLLOWERS, GRANTS, RETIRED, WINDOWS

CHUNK = 500
"""Tags in one statement: SQLite takes at most 32,766 variables."""

MAX_RENEWALS = 10
"""The most earlier tags of a follower that `find_earlier_tags` returns."""

MAX_DRAWS = 10
"""How many random tags are tried; there are 2^40 tags."""


@dataclass(frozen=True, slots=True)
class Follower:
    """A person at an official account. The tag stays when they leave, until it is renewed or revoked."""

    account: str
    openid: str
    tag: str
    following: bool
    since: int


@dataclass(frozen=True, slots=True)
class RetiredTag:
    """A tag that was renewed or revoked; it is never used again."""

    tag: str
    account: str
    at: int
    """Unix seconds."""
    successor: str | None
    """The tag that replaced it; None: it was revoked."""


class Store:
    """Reads and writes the rows. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, draw: Callable[[], str]) -> None:
        """Use `draw`, which returns a random tag, for new followers."""
        self._database = database
        self._draw = draw

    async def follow(self, account: str, openid: str, at: int) -> Follower:
        """Record that a person followed at `at`, with a new tag the first time; return their row.

        An event before the row's `since` changes nothing: WeChat repeats unanswered events out of order.
        """
        for _ in range(MAX_DRAWS):
            follower = await self._set_following(account, openid, at, following=True)
            if follower is not None:
                return follower
            tag = self._draw()
            row = {"account": account, "openid": openid, "tag": tag, "following": True}
            try:
                async with self._database.writing() as connection:
                    if await _is_retired(connection, tag):
                        continue
                    await connection.execute(insert(FOLLOWERS).values(**row, since=at))
            except IntegrityError:  # the tag is in use, or another replica was first: try again
                continue
        raise RuntimeError("no free tag was drawn")

    async def unfollow(self, account: str, openid: str, at: int) -> Follower | None:
        """Record that a person left at `at`; return their row, None for a stranger."""
        return await self._set_following(account, openid, at, following=False)

    async def find(self, account: str, openid: str) -> Follower | None:
        """Return the row of an openid; None for a stranger."""
        async with self._database.reading() as connection:
            return await _find_one(connection, _is_row(account, openid))

    async def find_earlier_tags(self, tag: str, since: int) -> list[str]:
        """Return earlier tags of the follower with this tag that ended at `since` or after, the last one first.

        Revoked tags are not among them.
        """
        before: list[str] = []
        async with self._database.reading() as connection:
            while len(before) < MAX_RENEWALS:
                older = select(RETIRED.c.tag).where(RETIRED.c.successor == tag, RETIRED.c.at >= since)
                earlier = (await connection.execute(older)).scalars().first()
                if earlier is None:
                    break
                before.append(tag := str(earlier))
        return before

    async def find_by_tags(self, tags: Sequence[str]) -> dict[str, Follower]:
        """Return followers by tag; unknown tags are absent."""
        rows: dict[str, Follower] = {}
        async with self._database.reading() as connection:
            for first in range(0, len(tags), CHUNK):
                statement = select(FOLLOWERS).where(FOLLOWERS.c.tag.in_(tags[first : first + CHUNK]))
                for row in (await connection.execute(statement)).mappings():
                    rows[row["tag"]] = Follower(**row)
        return rows

    async def list_page(self, account: str | None, after: str, limit: int) -> list[Follower]:
        """Read the followers of an account, or of all, left ones too, in the order of their tags."""
        statement = select(FOLLOWERS).where(FOLLOWERS.c.tag > after).order_by(FOLLOWERS.c.tag).limit(limit)
        if account is not None:
            statement = statement.where(FOLLOWERS.c.account == account)
        async with self._database.reading() as connection:
            return [Follower(**row) for row in (await connection.execute(statement)).mappings()]

    async def renew(self, tag: str, at: int) -> Follower | None:
        """Replace a follower's tag; return the follower, or None for an unknown tag.

        A repeat with the old tag returns the follower with the new one.
        """
        for _ in range(MAX_DRAWS):
            fresh = self._draw()
            try:
                async with self._database.writing() as connection:
                    known = await _find_one(connection, FOLLOWERS.c.tag == tag)
                    if known is None:
                        return await _find_successor(connection, tag)
                    if await _is_retired(connection, fresh):
                        continue
                    row = _is_row(known.account, known.openid) & (FOLLOWERS.c.tag == tag)
                    changed = await connection.execute(update(FOLLOWERS).where(row).values(tag=fresh))
                    if changed.rowcount == 0:  # another replica was first: try again
                        continue
                    retired = {"tag": tag, "account": known.account, "at": at, "successor": fresh}
                    await connection.execute(insert(RETIRED).values(retired))
                return replace(known, tag=fresh)
            except IntegrityError:  # the tag is in use
                continue
        raise RuntimeError("no free tag was drawn")

    async def revoke(self, tag: str, at: int) -> RetiredTag | None:
        """Remove the follower with this tag; their next request makes a new one. Return None for an unknown tag."""
        async with self._database.writing() as connection:
            known = await _find_one(connection, FOLLOWERS.c.tag == tag)
            if known is None:
                return await _find_retired(connection, tag)
            await connection.execute(delete(FOLLOWERS).where(FOLLOWERS.c.tag == tag))
            retired = RetiredTag(tag, known.account, at, None)
            await connection.execute(insert(RETIRED).values(asdict(retired)))
        return retired

    async def find_retired(self, tags: Sequence[str]) -> dict[str, RetiredTag]:
        """Return those of the tags that were renewed or revoked."""
        rows: dict[str, RetiredTag] = {}
        async with self._database.reading() as connection:
            for first in range(0, len(tags), CHUNK):
                statement = select(RETIRED).where(RETIRED.c.tag.in_(tags[first : first + CHUNK]))
                for row in (await connection.execute(statement)).mappings():
                    rows[row["tag"]] = RetiredTag(**row)
        return rows

    async def read_retired(self, account: str, after: str, limit: int) -> list[RetiredTag]:
        """Read an account's retired tags, in their order."""
        statement = (
            select(RETIRED)
            .where(RETIRED.c.account == account, RETIRED.c.tag > after)
            .order_by(RETIRED.c.tag)
            .limit(limit)
        )
        async with self._database.reading() as connection:
            return [RetiredTag(**row) for row in (await connection.execute(statement)).mappings()]

    async def remove(self, tags: Sequence[str]) -> list[str]:
        """Remove followers by tag with all their rows, also from SQLite's free pages.

        Return their earlier tags, which are removed too.
        """
        before: list[str] = []
        async with self._database.writing() as connection:
            newer = list(tags)
            while newer:
                older = select(RETIRED.c.tag).where(RETIRED.c.successor.in_(newer))
                newer = [tag for tag in (await connection.execute(older)).scalars() if tag not in before]
                before += newer
            removed = [*tags, *before]
            openids = select(FOLLOWERS.c.openid).where(FOLLOWERS.c.tag.in_(removed))
            for table in (GRANTS, WINDOWS):
                await connection.execute(delete(table).where(table.c.openid.in_(openids)))
            await connection.execute(delete(BINDINGS).where(BINDINGS.c.tag.in_(removed)))
            await connection.execute(delete(RETIRED).where(RETIRED.c.tag.in_(removed)))
            await connection.execute(delete(FOLLOWERS).where(FOLLOWERS.c.tag.in_(removed)))
        await self._database.purge()
        return before

    async def _set_following(self, account: str, openid: str, at: int, *, following: bool) -> Follower | None:
        row = _is_row(account, openid)
        async with self._database.writing() as connection:
            await connection.execute(
                update(FOLLOWERS).where(row, FOLLOWERS.c.since <= at).values(following=following, since=at)
            )
            return await _find_one(connection, row)


def _is_row(account: str, openid: str) -> ColumnElement[bool]:
    return and_(FOLLOWERS.c.account == account, FOLLOWERS.c.openid == openid)


async def _find_one(connection: AsyncConnection, row: ColumnElement[bool]) -> Follower | None:
    values = (await connection.execute(select(FOLLOWERS).where(row))).mappings().first()
    return None if values is None else Follower(**values)


async def _find_retired(connection: AsyncConnection, tag: str) -> RetiredTag | None:
    values = (await connection.execute(select(RETIRED).where(RETIRED.c.tag == tag))).mappings().first()
    return None if values is None else RetiredTag(**values)


async def _is_retired(connection: AsyncConnection, tag: str) -> bool:
    return await _find_retired(connection, tag) is not None


async def _find_successor(connection: AsyncConnection, tag: str) -> Follower | None:
    """Return the follower whose tag replaced this one, over any number of renewals."""
    successor: str | None = tag
    while successor is not None:
        retired = await _find_retired(connection, successor)
        if retired is None:
            return await _find_one(connection, FOLLOWERS.c.tag == successor)
        successor = retired.successor
    return None
