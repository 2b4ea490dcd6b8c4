"""Senders that are set up in the web page."""

from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from imsg_auth.rows.statements import Statements
from imsg_auth.tables import SENDERS


@dataclass(frozen=True, slots=True)
class SenderRow:
    """A sender that a send may name."""

    name: str
    method: str
    address: str
    reply_to: str | None
    changed_at: datetime
    changed_by: str
    signature: str | None = None


class SenderRows(Statements):
    """The statements about senders."""

    async def list_senders(self) -> list[SenderRow]:
        """Read all senders, in the order of their names."""
        statement = select(SENDERS).order_by(SENDERS.c.name)
        return [SenderRow(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def put_sender(self, sender: SenderRow) -> None:
        """Add a sender, or replace the one of its name."""
        await self.remove_sender(sender.name)
        await self._connection.execute(insert(SENDERS).values(**asdict(sender)))

    async def remove_sender(self, name: str) -> None:
        """Remove a sender."""
        await self._connection.execute(delete(SENDERS).where(SENDERS.c.name == name))
