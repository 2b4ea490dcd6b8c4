"""The store of auth: its statements, in transactions of the database."""

from imsg_auth.rows.installation_limits import InstallationLimitsRows
from imsg_auth.rows.keys import KeyRows
from imsg_auth.rows.outbox import OutboxRows
from imsg_auth.rows.providers import ProviderRows
from imsg_auth.rows.senders import SenderRows
from imsg_auth.rows.users import UserRows
from imsg_database.database import Database
from imsg_database.transactions import Transactions


class Rows(UserRows, KeyRows, ProviderRows, SenderRows, InstallationLimitsRows, OutboxRows):
    """All statements of one transaction."""


class Store(Transactions[Rows]):
    """Transactions over the users."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, Rows)

    @property
    def takes_writes(self) -> bool:
        """Whether the database has refused no write lately."""
        return self._database.takes_writes
