"""History's tables are what the code describes, and an upgrade keeps what was there; SQLite and PostgreSQL alike."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_database.address import read_url
from imsg_database.migrate import migrate as store_migrate
from imsg_history.database import connect
from imsg_history.migrate import migrate
from imsg_history.migrations import STEPS
from imsg_history.tables import messages, metadata, requests
from imsg_runtime.callers import Caller
from imsg_testing.databases import open_database
from imsg_testing.history import NOW, job
from imsg_testing.history_store import ADMIN, find
from imsg_testing.upgrades import older_steps


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLAlchemy reads those of no SQLite
def test_the_migrations_make_the_tables_the_code_describes(database_url: str) -> None:
    migrate(read_url(database_url), NOW)
    with open_database(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def _is_ours(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    if kind == "table":
        return name in metadata.tables
    return kind != "index" or parents.get("table_name") in metadata.tables


async def test_an_upgrade_keeps_what_was_there_and_its_users_see_it(database_url: str) -> None:
    before = replace(STEPS, folder=older_steps(STEPS.folder, "0001"), head="0001")
    await asyncio.to_thread(store_migrate, read_url(database_url), before)
    one = job(username="张三", at=NOW)
    async with connect(read_url(database_url)) as database:
        await database.write(lambda connection: _insert_as_before(connection, one.request))
        await asyncio.to_thread(migrate, read_url(database_url), NOW)
        for caller, count in (
            (ADMIN, 1),
            (Caller("张三", is_admin=False), 1),
            (Caller("张三", is_admin=False, user_id="1" * 32, since=NOW - timedelta(days=1)), 1),
            (Caller("张三", is_admin=False, user_id="2" * 32, since=NOW + timedelta(days=1)), 0),
        ):
            assert len(await find(database, caller)) == count, caller


async def _insert_as_before(connection: AsyncConnection, request: str) -> None:
    row = {"request": request, "username": "张三", "method": "smtp"}
    said = {"lane": "single", "attachments": "[]", "accepted_at": NOW, "expires_at": NOW}
    await connection.execute(insert(requests).values(row | said))
    standing = {"status": "sent", "rank": 30, "attempt": 1, "at": NOW, "mark": 0, "attempts": 1}
    to = {"n": 0, "written": "a@example.com", "address": "a@example.com"}
    await connection.execute(insert(messages).values(row | standing | to))
