"""The users whose messages are recorded as events: those with an endpoint, and those who read events."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select, update

from imsg_callbacks.matching import READER, kinds_of
from imsg_callbacks.records import read_endpoint
from imsg_callbacks.schedule import READER_EXPIRES_AFTER
from imsg_callbacks.tables import endpoints, listeners
from imsg_database.database import Database
from imsg_database.engines import is_postgres
from imsg_database.inserts import insert_into
from imsg_web.service_client import Peer, ServiceFailed

READ_RECORDED_EVERY = timedelta(hours=1)
"""How often the time of a user's last read is updated."""

READ_RECORDED_EVERY_MS = READ_RECORDED_EVERY // timedelta(milliseconds=1)
READER_EXPIRES_AFTER_MS = READER_EXPIRES_AFTER // timedelta(milliseconds=1)

OK, NOT_FOUND = 200, 404


class Listeners:
    """Registers at auth the users whose messages are recorded as events.

    Methods raise DatabaseUnavailable, and ServiceUnavailable if auth is down.
    """

    def __init__(self, database: Database, auth: Peer, now: Callable[[], int]) -> None:
        self._database = database
        self._auth = auth
        self._now = now

    async def subscribe(self, user_id: str, username: str, events: int) -> None:
        """Register the user for at least these events (bits of `EventKind`)."""
        known = await self._read_known(user_id)
        if known & events != events:
            await self._register(user_id, username, known | events)

    async def record_read(self, user_id: str, username: str, *, is_admin: bool) -> None:
        """Record that a user reads events, and register the user for them."""
        query = select(listeners).where(listeners.c.user_id == user_id)
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).first()
        if row is not None and _is_fresh(row, self._now() - READ_RECORDED_EVERY_MS) and row.is_admin == is_admin:
            return
        await self.subscribe(user_id, username, READER)
        async with self._database.writing() as connection:
            change = update(listeners).where(listeners.c.user_id == user_id)
            await connection.execute(change.values(read_at=self._now(), is_admin=is_admin))

    async def synchronize(self, *, all_users: bool = False) -> None:
        """Register the listeners whose events have changed at auth; with `all_users`, all of them."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(listeners))).all()
            known = [read_endpoint(row) for row in (await connection.execute(select(endpoints))).mappings()]
        for row in rows:
            wanted = READER if (row.read_at or 0) > self._now() - READER_EXPIRES_AFTER_MS else 0
            for endpoint in known:
                if endpoint.user_id == row.user_id:
                    wanted |= kinds_of(endpoint.events)
            if all_users or wanted != row.events:
                await self._register(row.user_id, row.username, wanted)

    async def _read_known(self, user_id: str) -> int:
        async with self._database.reading() as connection:
            events = await connection.scalar(select(listeners.c.events).where(listeners.c.user_id == user_id))
        return events or 0

    async def _register(self, user_id: str, username: str, events: int) -> None:
        body = {"user_id": user_id, "username": username, "events": events}
        response = await self._auth.call("PUT", "/internal/events", json=body)
        if response.status_code not in (OK, NOT_FOUND):
            raise ServiceFailed(f"auth answered {response.status_code} to /internal/events")
        async with self._database.writing() as connection:
            row = {**body, "events": 0 if response.status_code == NOT_FOUND else events}
            statement = insert_into(listeners, is_postgres=is_postgres(connection)).values(row)
            await connection.execute(
                statement.on_conflict_do_update(index_elements=["user_id"], set_={"events": row["events"]})
            )


def _is_fresh(row: Row[Any], since: int) -> bool:
    return row.events & READER == READER and (row.read_at or 0) > since
