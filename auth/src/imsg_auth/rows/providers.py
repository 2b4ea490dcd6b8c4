"""Providers: the switches of all of them, and the accounts that are set up in the web page, in versions."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from imsg_auth.rows.statements import Statements
from imsg_auth.tables import PROVIDER_ACCOUNTS, PROVIDER_SWITCHES, REMOVED_ACCOUNTS

MAX_VERSIONS = 20
"""How many versions of an account at a provider are kept."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A provider as administrators changed it; None: as the settings say."""

    method: str
    name: str
    enabled: bool | None
    weight: int | None


@dataclass(frozen=True, slots=True)
class AccountVersion:
    """A version of an account at a provider."""

    method: str
    name: str
    version: int
    kind: str
    settings: str
    """Sealed JSON."""
    changed_at: datetime
    changed_by: str
    is_current: bool


@dataclass(frozen=True, slots=True)
class RemovedAccount:
    """A version of an account at a provider that was removed."""

    id: str
    method: str
    name: str
    kind: str
    settings: str
    """Sealed JSON."""
    removed_at: datetime


class ProviderRows(Statements):
    """The statements about providers."""

    async def list_switches(self) -> list[Switch]:
        """Read the switches of providers."""
        statement = select(PROVIDER_SWITCHES).order_by(PROVIDER_SWITCHES.c.method, PROVIDER_SWITCHES.c.name)
        return [Switch(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def change_switch(self, method: str, name: str, values: Mapping[str, Any]) -> tuple[Switch, Switch]:
        """Change some values of a provider's switch; return the switch before and after."""
        await self._lock(f"imsg provider {method} {name}")
        row = (PROVIDER_SWITCHES.c.method == method) & (PROVIDER_SWITCHES.c.name == name)
        known = (await self._connection.execute(select(PROVIDER_SWITCHES).where(row))).mappings().first()
        before = Switch(method, name, None, None) if known is None else Switch(**known)
        switch = replace(before, **values)
        await self._connection.execute(delete(PROVIDER_SWITCHES).where(row))
        await self._connection.execute(insert(PROVIDER_SWITCHES).values(**asdict(switch)))
        return before, switch

    async def list_accounts(self, method: str | None = None) -> list[AccountVersion]:
        """Read the current versions of accounts, in the order in which they were set up."""
        wanted = [PROVIDER_ACCOUNTS.c.is_current, *([PROVIDER_ACCOUNTS.c.method == method] if method else [])]
        first = PROVIDER_ACCOUNTS.alias()
        since = (
            select(func.min(first.c.changed_at))
            .where(first.c.method == PROVIDER_ACCOUNTS.c.method, first.c.name == PROVIDER_ACCOUNTS.c.name)
            .scalar_subquery()
        )
        statement = select(PROVIDER_ACCOUNTS).where(*wanted).order_by(since, PROVIDER_ACCOUNTS.c.name)
        return [AccountVersion(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def list_account_versions(self, method: str | None = None, name: str | None = None) -> list[AccountVersion]:
        """Read the versions of an account, the newest first; without names those of all."""
        table = PROVIDER_ACCOUNTS.c
        wanted = [] if name is None else [table.method == method, table.name == name]
        statement = select(PROVIDER_ACCOUNTS).where(*wanted).order_by(table.version.desc())
        return [AccountVersion(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def lock_accounts(self, method: str) -> None:
        """Lock the accounts of a channel until the transaction ends."""
        await self._lock(f"imsg accounts {method}")

    async def add_account_version(self, version: AccountVersion) -> None:
        """Add a version of an account, which is the current one from then on; old versions are dropped."""
        row = (PROVIDER_ACCOUNTS.c.method == version.method) & (PROVIDER_ACCOUNTS.c.name == version.name)
        await self._connection.execute(update(PROVIDER_ACCOUNTS).where(row).values(is_current=False))
        old = row & (PROVIDER_ACCOUNTS.c.version <= version.version - MAX_VERSIONS)
        await self._connection.execute(delete(PROVIDER_ACCOUNTS).where(old))
        await self._connection.execute(insert(PROVIDER_ACCOUNTS).values(**asdict(version)))

    async def seal_account_again(self, version: AccountVersion, sealed: str) -> None:
        """Replace the sealed settings of a version."""
        table = PROVIDER_ACCOUNTS.c
        row = (table.method == version.method) & (table.name == version.name) & (table.version == version.version)
        await self._connection.execute(update(PROVIDER_ACCOUNTS).where(row).values(settings=sealed))

    async def remove_account(self, method: str, name: str) -> None:
        """Remove an account with its versions and its switch."""
        for table in (PROVIDER_ACCOUNTS, PROVIDER_SWITCHES):
            await self._connection.execute(delete(table).where(table.c.method == method, table.c.name == name))

    async def add_removed_accounts(self, removed: Sequence[RemovedAccount]) -> None:
        """Store the versions of a removed account."""
        if removed:
            await self._connection.execute(insert(REMOVED_ACCOUNTS), [asdict(version) for version in removed])

    async def list_removed_accounts(self) -> list[RemovedAccount]:
        """Read the versions that are kept of removed accounts, those removed last first."""
        table = REMOVED_ACCOUNTS.c
        statement = select(REMOVED_ACCOUNTS).order_by(table.removed_at.desc(), table.id)
        return [RemovedAccount(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def drop_removed_accounts(self, until: datetime) -> None:
        """Drop the accounts that were removed until then."""
        await self._connection.execute(delete(REMOVED_ACCOUNTS).where(REMOVED_ACCOUNTS.c.removed_at <= until))

    async def seal_removed_account_again(self, removed: RemovedAccount, sealed: str) -> None:
        """Replace the sealed settings of a removed account."""
        statement = update(REMOVED_ACCOUNTS).where(REMOVED_ACCOUNTS.c.id == removed.id)
        await self._connection.execute(statement.values(settings=sealed))
