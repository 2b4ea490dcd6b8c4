"""The tables of grants for subscribe notices, each for one message, and of followers' reply windows."""

from collections.abc import Mapping

from sqlalchemy import ColumnElement, and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from imsg_database.database import Database
from imsg_wechat.tables import GRANTS, WINDOWS

MINUTE_S = 60
MESSAGE_WINDOW_S = 48 * 3_600

ACTION_WINDOWS: Mapping[str, tuple[int, int]] = dict.fromkeys(("subscribe", "CLICK", "SCAN"), (MINUTE_S, 3))
"""Event → the length of its reply window in seconds, and the texts it allows (WeChat's documentation of 2023)."""

MESSAGE_ACTION = "message"
"""The action of writing a message. Its window is 48 h; `texts_per_window` is the number of texts."""


class Allowances:
    """The tables of grants and windows. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def grant(self, account: str, openid: str, template: str) -> None:
        """Add a grant."""
        row = _is_grant(account, openid, template)
        for _ in range(2):
            try:
                async with self._database.writing() as connection:
                    changed = await connection.execute(update(GRANTS).where(row).values(count=GRANTS.c.count + 1))
                    if changed.rowcount == 0:
                        values = {"account": account, "openid": openid, "template": template, "count": 1}
                        await connection.execute(insert(GRANTS).values(values))
            except IntegrityError:  # another replica inserted the row first: update it
                continue
            return

    async def use_grant(self, account: str, openid: str, template: str) -> bool:
        """Use one grant; return False if there is none."""
        row = _is_grant(account, openid, template) & (GRANTS.c.count > 0)
        async with self._database.writing() as connection:
            changed = await connection.execute(update(GRANTS).where(row).values(count=GRANTS.c.count - 1))
        return bool(changed.rowcount)

    async def void_grants(self, account: str, openid: str, template: str) -> None:
        """Remove all grants, because they were revoked or WeChat has none."""
        async with self._database.writing() as connection:
            await connection.execute(delete(GRANTS).where(_is_grant(account, openid, template)))

    async def count_grants(self, account: str, openid: str, template: str) -> int:
        """Return the number of grants."""
        async with self._database.reading() as connection:
            statement = select(GRANTS.c.count).where(_is_grant(account, openid, template))
            return int((await connection.execute(statement)).scalar() or 0)

    async def open_window(self, account: str, openid: str, action: str, until: int, times: int) -> None:
        """Open a reply window for `times` texts until `until` (Unix seconds)."""
        row = _is_window(account, openid, action)
        values = {"until": until, "remaining": times}
        for _ in range(2):
            try:
                async with self._database.writing() as connection:
                    changed = await connection.execute(update(WINDOWS).where(row).values(values))
                    if changed.rowcount == 0:
                        key = {"account": account, "openid": openid, "action": action}
                        await connection.execute(insert(WINDOWS).values(key | values))
            except IntegrityError:
                continue
            return

    async def use_window(self, account: str, openid: str, now: int) -> str | None:
        """Use one text of the window that ends first; return the action of that window, None if none is open."""
        is_own = and_(WINDOWS.c.account == account, WINDOWS.c.openid == openid)
        is_open = and_(is_own, WINDOWS.c.until > now, WINDOWS.c.remaining > 0)
        async with self._database.writing() as connection:
            statement = select(WINDOWS.c.action).where(is_open).order_by(WINDOWS.c.until).limit(1)
            action: str | None = (await connection.execute(statement)).scalar()
            if action is None:
                return None
            row = is_open & (WINDOWS.c.action == action)
            changed = await connection.execute(update(WINDOWS).where(row).values(remaining=WINDOWS.c.remaining - 1))
        return action if changed.rowcount else None

    async def return_text(self, account: str, openid: str, action: str) -> None:
        """Add one text to a window again, because it was not sent."""
        row = _is_window(account, openid, action)
        async with self._database.writing() as connection:
            await connection.execute(update(WINDOWS).where(row).values(remaining=WINDOWS.c.remaining + 1))

    async def close_windows(self, account: str, openid: str) -> None:
        """Remove all windows of a follower, because WeChat has none open."""
        is_own = and_(WINDOWS.c.account == account, WINDOWS.c.openid == openid)
        async with self._database.writing() as connection:
            await connection.execute(delete(WINDOWS).where(is_own))

    async def remove_ended(self, now: int) -> None:
        """Remove ended windows."""
        async with self._database.writing() as connection:
            await connection.execute(delete(WINDOWS).where(WINDOWS.c.until < now))


def _is_grant(account: str, openid: str, template: str) -> ColumnElement[bool]:
    return and_(GRANTS.c.account == account, GRANTS.c.openid == openid, GRANTS.c.template == template)


def _is_window(account: str, openid: str, action: str) -> ColumnElement[bool]:
    return and_(WINDOWS.c.account == account, WINDOWS.c.openid == openid, WINDOWS.c.action == action)
