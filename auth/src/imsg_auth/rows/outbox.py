"""The outbox: audit records and other messages that wait for the broker."""

from collections.abc import Sequence

from sqlalchemy import delete, insert, select, update

from imsg_auth.rows.statements import Statements
from imsg_auth.tables import CHANGES
from imsg_contract.topology import CHANGE


class OutboxRows(Statements):
    """The statements about the outbox."""

    async def add_audit_record(self, body: str, topic: str = CHANGE) -> None:
        """Add an audit record to the outbox, or with another routing key another message."""
        await self._connection.execute(insert(CHANGES).values(topic=topic, body=body, leased_until=0))

    async def lease_audit_records(self, now: int, until: int, limit: int) -> dict[int, tuple[str, str]]:
        """Lease the oldest records that no process has leased, id → routing key and body, `until` (Unix time)."""
        free = (
            select(CHANGES.c.id)
            .where(CHANGES.c.leased_until <= now)
            .order_by(CHANGES.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        ids = list((await self._connection.execute(free)).scalars())
        if not ids:
            return {}
        await self._connection.execute(update(CHANGES).where(CHANGES.c.id.in_(ids)).values(leased_until=until))
        columns = (CHANGES.c.id, CHANGES.c.topic, CHANGES.c.body)
        statement = select(*columns).where(CHANGES.c.id.in_(ids)).order_by(CHANGES.c.id)
        return {number: (topic, body) for number, topic, body in (await self._connection.execute(statement)).all()}

    async def delete_audit_record(self, number: int) -> None:
        """Delete a record that the broker has confirmed."""
        await self._connection.execute(delete(CHANGES).where(CHANGES.c.id == number))

    async def release_audit_records(self, numbers: Sequence[int]) -> None:
        """Release the lease of records."""
        await self._connection.execute(update(CHANGES).where(CHANGES.c.id.in_(numbers)).values(leased_until=0))
