"""Users' endpoints in the database, and their encrypted secrets."""

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, select, update

from imsg_callbacks import signatures
from imsg_callbacks.records import Endpoint, read_endpoint
from imsg_callbacks.tables import IS_WAITING, deliveries, endpoints, recoveries
from imsg_callbacks.vault import Unreadable, Vault
from imsg_contract.errors import Refusal
from imsg_database.database import Database

MAX_ENDPOINTS = 20
"""Endpoints of one user."""

OLD_SECRET_VALID_FOR = timedelta(hours=24)
"""How long the previous secret still signs after a rotation (docs.svix.com, "Rotating signing secrets")."""


class Endpoints:
    """The endpoints in a database. Every method raises DatabaseUnavailable."""

    def __init__(self, database: Database, vault: Vault, now: Callable[[], int]) -> None:
        self._database = database
        self._vault = vault
        self._now = now

    async def list_of_user(self, user_id: str) -> list[Endpoint]:
        """List a user's endpoints, the oldest first."""
        return await self._list(endpoints.c.user_id == user_id)

    async def list_by_name(self, username: str) -> list[Endpoint]:
        """List the endpoints of the user of that name, the oldest first."""
        return await self._list(endpoints.c.username == username)

    async def _list(self, condition: ColumnElement[bool]) -> list[Endpoint]:
        query = select(endpoints).where(condition).order_by(endpoints.c.created_at, endpoints.c.id)
        async with self._database.reading() as connection:
            return [read_endpoint(row) for row in (await connection.execute(query)).mappings()]

    async def find(self, name: str, user_id: str | None) -> Endpoint:
        """Find an endpoint of a user, or of any user for None. Raises Refusal not_found."""
        query = select(endpoints).where(_is_endpoint(name, user_id))
        async with self._database.reading() as connection:
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            raise Refusal("not_found", what=name[:80])
        return read_endpoint(row)

    async def count_waiting(self, names: Sequence[str]) -> dict[str, int]:
        """Count the waiting deliveries of endpoints: id → count; an endpoint without any is left out."""
        query = (
            select(deliveries.c.endpoint, func.count())
            .where(deliveries.c.endpoint.in_(names), IS_WAITING)
            .group_by(deliveries.c.endpoint)
        )
        async with self._database.reading() as connection:
            return dict((await connection.execute(query)).all())

    async def add(self, endpoint: Endpoint) -> None:
        """Add an endpoint. Raises Refusal too_many_callbacks."""
        values = {name: getattr(endpoint, name) for name in Endpoint.__dataclass_fields__}
        values |= _write_lists(endpoint.events, endpoint.methods)
        async with self._database.writing() as connection:
            of_user = select(func.count()).where(endpoints.c.user_id == endpoint.user_id)
            if (await connection.scalar(of_user) or 0) >= MAX_ENDPOINTS:
                raise Refusal("too_many_callbacks", most=MAX_ENDPOINTS)
            await connection.execute(insert(endpoints).values(values))

    async def change(self, name: str, user_id: str, values: dict[str, Any]) -> Endpoint:
        """Set columns of a user's endpoint and return it. Raises Refusal not_found."""
        async with self._database.writing() as connection:
            is_own = (endpoints.c.id == name) & (endpoints.c.user_id == user_id)
            if values:
                await connection.execute(update(endpoints).where(is_own).values(values))
            row = (await connection.execute(select(endpoints).where(is_own))).mappings().first()
        if row is None:
            raise Refusal("not_found", what=name[:80])
        return read_endpoint(row)

    async def remove(self, name: str, user_id: str | None) -> None:
        """Remove an endpoint of a user, or of any user for None, with its deliveries and recoveries.

        Raises Refusal not_found.
        """
        async with self._database.writing() as connection:
            if not (await connection.execute(delete(endpoints).where(_is_endpoint(name, user_id)))).rowcount:
                raise Refusal("not_found", what=name[:80])
            await connection.execute(delete(deliveries).where(deliveries.c.endpoint == name))
            await connection.execute(delete(recoveries).where(recoveries.c.endpoint == name))

    async def rotate(self, endpoint: Endpoint) -> str:
        """Replace the secret of an endpoint and return the new one; the previous one signs too for a day."""
        secret = signatures.make_secret()
        values = {
            "secret": self.seal(secret, endpoint.id),
            "old_secret": endpoint.secret,
            "old_until": self._now() + OLD_SECRET_VALID_FOR // timedelta(milliseconds=1),
        }
        await self.change(endpoint.id, endpoint.user_id, values)
        return secret

    def seal(self, secret: str, name: str) -> str:
        """Encrypt an endpoint's secret."""
        return self._vault.seal(secret, name)

    def valid_secrets(self, endpoint: Endpoint) -> list[str]:
        """Return the decrypted secrets that sign now. Raises vault.Unreadable."""
        return [self._vault.open(sealed, endpoint.id) for sealed in endpoint.list_sealed_secrets(self._now())]

    async def reseal(self) -> int:
        """Re-encrypt secrets that are not under the first key; return the number of endpoints changed.

        Raises vault.Unreadable if none of the keys decrypts a secret.
        """
        count = 0
        async with self._database.writing() as connection:
            rows = (await connection.execute(select(endpoints.c.id, endpoints.c.secret, endpoints.c.old_secret))).all()
            for row in rows:
                stale = {
                    column: self.seal(self._vault.open(sealed, row.id), row.id)
                    for column, sealed in (("secret", row.secret), ("old_secret", row.old_secret))
                    if sealed is not None and not self._vault.is_fresh(sealed)
                }
                if stale:
                    await connection.execute(update(endpoints).where(endpoints.c.id == row.id).values(stale))
                    count += 1
        return count

    async def count_unreadable(self) -> int:
        """Count the endpoints with a secret that none of the keys decrypts."""
        async with self._database.reading() as connection:
            rows = (await connection.execute(select(endpoints.c.id, endpoints.c.secret, endpoints.c.old_secret))).all()
        return sum(
            not self._can_open(row.id, [secret for secret in (row.secret, row.old_secret) if secret]) for row in rows
        )

    def _can_open(self, name: str, sealed: Sequence[str]) -> bool:
        try:
            for secret in sealed:
                self._vault.open(secret, name)
        except (Unreadable, ValueError):
            return False
        return True


def _write_lists(events: Sequence[str], methods: Sequence[str] | None) -> dict[str, str | None]:
    return {"events": json.dumps(events), "methods": None if methods is None else json.dumps(methods)}


def _is_endpoint(name: str, user_id: str | None) -> ColumnElement[bool]:
    condition = endpoints.c.id == name
    return condition if user_id is None else condition & (endpoints.c.user_id == user_id)
