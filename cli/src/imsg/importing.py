"""`imsg import`: an export is copied into the databases of several services, and compared with what it holds."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Table, delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg import table_copy
from imsg.export import MANIFEST, list_migrations
from imsg.migrating import SERVICE, find_url
from imsg.table_owners import TABLE_OWNERS, TableOwner
from imsg_contract.version import VERSION
from imsg_database.address import is_sqlite
from imsg_database.engines import DatabaseOptions, open_engine
from imsg_database.migrate import migrate
from imsg_database.unavailable import DatabaseUnavailable, translate
from imsg_history.partitions import create_months_between
from imsg_history.tables import requests
from imsg_runtime.settings import StartError

OPTIONS = DatabaseOptions("imsg-import", pool=1, statement_timeout_s=None)


@dataclass(frozen=True, slots=True)
class Imported:
    """The tables of a service, which are now in its database."""

    service: str
    rows: int
    was_there: bool
    """Whether an earlier run had copied them."""


def import_export(folder: Path, template: str, secrets: Path) -> Iterator[Imported]:
    """Copy an export into the services' databases, one transaction for each service.

    In the URL `{service}` is the service's name, and any other `{NAME}` the content of that file in `secrets`.
    A run that was interrupted is repeated: a service that has the export's rows already is skipped. Raises
    StartError for an export of another version, a database that holds anything else, and copies that differ.
    """
    _check_version(folder)
    if SERVICE not in template:
        raise StartError(
            "the URL must say where each service's database is: write {0} for the service's name.", SERVICE
        )
    urls = [(owner, find_url(template, owner.name, secrets)) for owner in TABLE_OWNERS]
    if any(is_sqlite(url) for _, url in urls):
        raise StartError("an export is for PostgreSQL; write postgresql://user:password@host/name.")
    for owner, url in urls:
        try:
            with translate():
                yield asyncio.run(_import_tables(owner, folder, url))
        except DatabaseUnavailable as error:
            raise StartError("the database of {0} can't be used: {1}.", owner.name, error) from error


def _check_version(folder: Path) -> None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise StartError("{0} is no export; `imsg export` makes one.", folder) from error
    theirs, ours = manifest["migrations"], dict(list_migrations())
    if theirs != ours:
        names = sorted(name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name))
        differing = ", ".join(f"{name} {theirs.get(name)}, here {ours.get(name)}" for name in names)
        raise StartError(
            "the export is of iMSG {0}, this is {1}, and their tables differ ({2}): use the version "
            "that made the export, or start this version once on the data folder and export again.",
            manifest["version"],
            VERSION,
            differing,
        )


async def _import_tables(owner: TableOwner, folder: Path, url: URL) -> Imported:
    """Copy a service's tables in one transaction. Raises StartError, and what `translate` translates."""
    file = owner.find_file(folder)
    if not file.exists():
        raise StartError("{0} is missing: the export is not whole.", file)
    await asyncio.to_thread(migrate, url, owner.migrations)
    tables = owner.tables.sorted_tables
    async with (
        open_engine(URL.create("sqlite", database=str(file)), OPTIONS) as exported,
        open_engine(url, OPTIONS) as engine,
        exported.connect() as source,
        engine.begin() as target,
    ):
        if occupied := await _find_occupied(target, [table for table in tables if table not in owner.filled]):
            content = await table_copy.read_content(source, tables)
            if content != await table_copy.read_content(target, tables):
                raise StartError(
                    "the database of {0} is not empty ({1}); import into an empty one, before any service "
                    "has started on it.",
                    owner.name,
                    ", ".join(occupied),
                )
            return Imported(owner.name, _count_rows(content), was_there=True)
        if owner.tables is requests.metadata:
            await _create_partitions(source, target)
        for table in owner.filled:
            await target.execute(delete(table))
        content = await table_copy.copy(source, target, tables)
        rows_by_table = await table_copy.read_content(target, tables)
        if rows_by_table != content:
            names = [name for name in content if rows_by_table[name] != content[name]]
            raise StartError(
                "the copy of {0} differs from the export ({1}); it was undone.", owner.name, ", ".join(names)
            )
    return Imported(owner.name, _count_rows(content), was_there=False)


def _count_rows(contents: Mapping[str, table_copy.Content]) -> int:
    return sum(content.rows for content in contents.values())


async def _find_occupied(connection: AsyncConnection, tables: Sequence[Table]) -> list[str]:
    """Return the names of the tables that have rows."""
    return [table.name for table in tables if await connection.scalar(select(exists().select_from(table)))]


async def _create_partitions(source: AsyncConnection, target: AsyncConnection) -> None:
    """Create the months of the exported requests, so that their rows need not move later."""
    first, last = (await source.execute(select(func.min(requests.c.request), func.max(requests.c.request)))).one()
    if first is not None:
        await target.run_sync(create_months_between, first, last)
