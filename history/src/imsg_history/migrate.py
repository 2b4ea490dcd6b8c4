"""The migration of history's tables, with the partitions of these months."""

from datetime import datetime

from sqlalchemy import URL, Connection

from imsg_database import migrate as migrations
from imsg_history import partitions
from imsg_history.migrations import MIGRATIONS


def migrate(url: URL, now: datetime) -> None:
    """Run the missing migrations, and create the partitions of these months; call it in a thread.

    The first of several processes does it, the others wait for it. Raises DatabaseUnavailable.
    """

    def create_months(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            partitions.create_months(connection, now)

    migrations.migrate(url, MIGRATIONS, create_months)
