"""API keys."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, insert, or_, select, update

from imsg_auth.rows.statements import Statements
from imsg_auth.tables import KEYS
from imsg_contract.api_keys import KeyKind


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, as a row of the table."""

    id: str
    username: str
    digest: str
    """The SHA-256 of the key, in hex digits: the key itself is not kept."""
    hint: str
    name: str
    kind: KeyKind
    scopes: tuple[str, ...]
    networks: tuple[str, ...]
    """The networks it may be used from; empty: all."""
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None
    last_used_from: str | None = None


class KeyRows(Statements):
    """The statements about keys."""

    async def add_key(self, key: Key) -> None:
        """Add a key."""
        await self._connection.execute(insert(KEYS).values(asdict(key)))

    async def find_key(self, key_id: str) -> Key | None:
        """Read a key."""
        return next(iter(await self._read_keys(KEYS.c.id == key_id)), None)

    async def find_key_by_digest(self, digest: str) -> Key | None:
        """Read the key of a digest."""
        return next(iter(await self._read_keys(KEYS.c.digest == digest)), None)

    async def list_keys(self, username: str | None, after: str | None, limit: int) -> list[Key]:
        """Read the keys of a user, or all, in the order in which they were made."""
        wanted = []
        if username is not None:
            wanted.append(KEYS.c.username == username)
        if after is not None:
            wanted.append(KEYS.c.id > after)
        return await self._read_keys(*wanted, limit=limit)

    async def count_keys(self, username: str) -> int:
        """Count the keys of a user."""
        statement = select(func.count()).select_from(KEYS).where(KEYS.c.username == username)
        return (await self._connection.execute(statement)).scalar_one()

    async def update_key(self, key_id: str, values: Mapping[str, Any]) -> None:
        """Set columns of a key."""
        await self._connection.execute(update(KEYS).where(KEYS.c.id == key_id).values(**values))

    async def remove_key(self, key_id: str) -> None:
        """Remove a key."""
        await self._connection.execute(delete(KEYS).where(KEYS.c.id == key_id))

    async def record_key_use(self, key_id: str, at: datetime, address: str) -> None:
        """Record when and from where a key was used last, unless a later use is recorded."""
        is_older = or_(KEYS.c.last_used_at.is_(None), KEYS.c.last_used_at < at)
        row = (KEYS.c.id == key_id) & is_older
        await self._connection.execute(update(KEYS).where(row).values(last_used_at=at, last_used_from=address))

    async def _read_keys(self, *wanted: ColumnElement[bool], limit: int | None = None) -> list[Key]:
        statement = select(KEYS).where(*wanted).order_by(KEYS.c.id).limit(limit)
        return [Key(**row) for row in (await self._connection.execute(statement)).mappings()]
