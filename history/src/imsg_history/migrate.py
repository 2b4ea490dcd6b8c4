"""Bringing history's tables up to date: the missing steps, and the partitions of these months."""

from datetime import datetime

from sqlalchemy import URL, Connection

from imsg_database import migrate as store
from imsg_history import partitions
from imsg_history.migrations import MIGRATIONS


def migrate(url: URL, now: datetime) -> None:
    """Run what steps are missing and make the partitions of these months; call it in a thread.

    The first of several processes does it, the others wait for it. Raises DatabaseUnavailable.
    """

    def make_months(connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            partitions.make_months(connection, now)

    store.migrate(url, MIGRATIONS, make_months)
