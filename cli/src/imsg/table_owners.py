"""The services that own tables: their migrations and their tables."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import MetaData, Table

import imsg_auth.migrations
import imsg_auth.tables
import imsg_callbacks.migrations
import imsg_callbacks.tables
import imsg_catalog.migrations
import imsg_catalog.tables
import imsg_history.migrations
import imsg_history.tables
import imsg_scheduler.migrations
import imsg_scheduler.tables
import imsg_wechat.migrations
import imsg_wechat.tables
from imsg_database.migrate import Migrations


@dataclass(frozen=True, slots=True)
class TableOwner:
    """A service with a database of its own."""

    name: str
    migrations: Migrations
    tables: MetaData
    filled: tuple[Table, ...] = ()
    """Tables into which a migration has written already."""

    def find_file(self, folder: Path) -> Path:
        """Return its SQLite file in a data folder."""
        return folder / f"{self.name}.db"


TABLE_OWNERS = (
    TableOwner(
        "auth",
        imsg_auth.migrations.MIGRATIONS,
        imsg_auth.tables.METADATA,
        filled=(imsg_auth.tables.INSTALLATION_LIMITS,),
    ),
    TableOwner("wechat", imsg_wechat.migrations.MIGRATIONS, imsg_wechat.tables.METADATA),
    TableOwner("callbacks", imsg_callbacks.migrations.MIGRATIONS, imsg_callbacks.tables.metadata),
    TableOwner("catalog", imsg_catalog.migrations.MIGRATIONS, imsg_catalog.tables.METADATA),
    TableOwner("scheduler", imsg_scheduler.migrations.MIGRATIONS, imsg_scheduler.tables.METADATA),
    TableOwner("history", imsg_history.migrations.MIGRATIONS, imsg_history.tables.metadata),
)
"""History is last: a copy of it must not be older than the others'."""
