"""The store of users: every statement that auth runs, in transactions of the database."""

import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, delete, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_auth.tables import (
    CHANGES,
    INSTALLATION_LIMITS,
    KEYS,
    PROVIDER_ACCOUNTS,
    PROVIDER_SWITCHES,
    REMOVED_ACCOUNTS,
    REVOKED,
    SENDERS,
    THE_INSTALLATION,
    USERS,
)
from imsg_channels import CONTACTS
from imsg_contract.addresses import identity
from imsg_contract.api_keys import KeyKind
from imsg_contract.roles import Role
from imsg_contract.topology import CHANGE
from imsg_contract.wire import Category
from imsg_database.database import Database
from imsg_database.totals import count_rows
from imsg_database.unavailable import find_constraint
from imsg_limits.caps import CapRow
from imsg_limits.quota import PER_DAY, PER_HOUR, RECIPIENTS_PER_DAY, QuotaRow

DEFAULT_COUNTRIES = ("CN",)

DEFAULT_QUOTAS = (PER_HOUR._replace(limit=5), PER_DAY._replace(limit=20))
"""What a new user starts with: the interface document's 默认值 (section 4)."""

REVOKED_MARGIN_S = 600
"""How long a logged-out token is kept beyond its expiry, since a gateway's clock may be behind."""

MAX_VERSIONS = 20
"""How many versions of an account at a provider are kept."""

CHUNK = 500
"""Names in one statement: SQLite takes at most 32,766 variables."""


class FieldTaken(Exception):  # noqa: N818  an outcome
    """Another user has this value: `field` is username, phone, email or wechat."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class User:
    """A user, as a row of the table."""

    id: str
    """Immutable and never given again: a UUIDv7 as 32 hex digits."""
    username: str
    password: str
    """The argon2id hash."""
    role: Role
    available: bool
    quotas: tuple[QuotaRow, ...]
    phone: str | None
    email: str | None
    wechat: str | None
    epoch: int
    created_at: datetime
    may_send_codes: bool = False
    """Whether the user may send messages of the category `code`."""
    events: int = 0
    """Which events of the user's messages callbacks wants (`wire.EventKind`)."""
    senders: str | None = None
    """The mail senders that the user may name, comma-separated; None: all."""
    totp_secret: str | None = None
    """The sealed secret of one-time passwords; None: the user logs in by the password alone."""
    totp_pending: str | None = None
    """One that is not confirmed yet."""
    totp_step: int | None = None
    """The time step of the last one-time password that was used."""
    recovery_codes: str | None = None
    """The SHA-256 of each that is left, comma-separated."""
    sms_countries: tuple[str, ...] = DEFAULT_COUNTRIES
    """The countries that the user may send SMS to, by their ISO 3166 codes; `*`: every one."""
    default_category: str = Category.NOTICE
    """What the user's messages are in v1, which names no category."""
    department: str | None = None

    @property
    def per_hour(self) -> int | None:
        """Requests of an hour; None: not limited."""
        return self.find_limit(PER_HOUR)

    @property
    def per_day(self) -> int | None:
        """Requests of a day; None: not limited."""
        return self.find_limit(PER_DAY)

    @property
    def recipients_per_day(self) -> int | None:
        """Recipients of a day; None: not limited."""
        return self.find_limit(RECIPIENTS_PER_DAY)

    def find_limit(self, like: QuotaRow) -> int | None:
        """Return the limit of the quota that counts the same; None: not limited."""
        return next((row.limit for row in self.quotas if row.key == like.key), None)


def set_limit(quotas: Sequence[QuotaRow], like: QuotaRow, limit: int | None) -> tuple[QuotaRow, ...]:
    """Set the limit of the quota that counts the same as `like` and keeps its id and place; None removes it."""
    if limit is None:
        return tuple(row for row in quotas if row.key != like.key)
    if all(row.key != like.key for row in quotas):
        return (*quotas, like._replace(limit=limit))
    return tuple(row._replace(limit=limit) if row.key == like.key else row for row in quotas)


@dataclass(frozen=True, slots=True)
class InstallationLimits:
    """The limits of the whole installation, each list as `UserCache` publishes it."""

    quotas: tuple[QuotaRow, ...]
    caps: tuple[CapRow, ...]
    windows: list[dict[str, Any]]
    """`imsg_limits.windows.Window` as JSON."""
    holidays: dict[str, str]
    """Date → `holiday` or `workday`."""


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


@dataclass(frozen=True, slots=True)
class SenderRow:
    """A sender that a send may name."""

    name: str
    method: str
    address: str
    reply_to: str | None
    changed_at: datetime
    changed_by: str


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


_READ_LIMITS = select(*[INSTALLATION_LIMITS.c[name] for name in InstallationLimits.__dataclass_fields__]).where(
    INSTALLATION_LIMITS.c.id == THE_INSTALLATION
)
_USER_COLUMNS = [USERS.c[name] for name in User.__dataclass_fields__]


class Rows:
    """The statements of one transaction; those that write need `Store.writing`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_user(self, username: str) -> User | None:
        """Read a user."""
        return await self._find_one(select(*_USER_COLUMNS).where(USERS.c.username == username))

    async def lock_user(self, username: str) -> User | None:
        """Read a user, and lock the row until the transaction ends."""
        return await self._find_one(select(*_USER_COLUMNS).where(USERS.c.username == username).with_for_update())

    async def lock_administrators(self) -> frozenset[str]:
        """Return the names of all administrators, and lock their rows, in one order so that no deadlock can arise.

        A transaction that also calls `lock_user` calls this first.
        """
        statement = select(USERS.c.username).where(USERS.c.role == "admin").order_by(USERS.c.username).with_for_update()
        return frozenset((await self._connection.execute(statement)).scalars())

    async def list_administrators(self) -> list[User]:
        """Read all administrators, in the order of their names."""
        statement = select(*_USER_COLUMNS).where(USERS.c.role == "admin").order_by(USERS.c.username)
        return [User(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def lock_table(self) -> None:
        """Lock the table of users against other writers until the transaction ends."""
        if self._connection.dialect.name == "postgresql":  # SQLite has one writer anyway
            await self._connection.execute(text("LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"))

    async def has_users(self) -> bool:
        """Return whether there are any users."""
        return (await self._connection.execute(select(USERS.c.username).limit(1))).first() is not None

    async def list_users(self, after: str | None, search: Iterable[str], limit: int) -> list[User]:
        """Read users in the order of their names' code points whose name or a contact contains a term of `search`."""
        statement = _search_users(search).order_by(USERS.c.username).limit(limit)
        if after is not None:
            statement = statement.where(USERS.c.username > after)
        return [User(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def count_users(self, search: Iterable[str], most: int) -> int:
        """Count the users that `list_users` lists, `most` at the most."""
        return (await self._connection.execute(count_rows(_search_users(search), most))).scalar_one()

    async def list_users_with_totp(self) -> list[User]:
        """Read the users who log in with one-time passwords, and lock their rows."""
        statement = select(*_USER_COLUMNS).where(USERS.c.totp_secret.is_not(None)).order_by(USERS.c.username)
        rows = await self._connection.execute(statement.with_for_update())
        return [User(**row) for row in rows.mappings()]

    async def find_contacts(self, field: str, usernames: Sequence[str]) -> dict[str, str | None]:
        """Read one contact of many users; unknown users are absent."""
        found: dict[str, str | None] = {}
        for first in range(0, len(usernames), CHUNK):
            names = usernames[first : first + CHUNK]
            statement = select(USERS.c.username, USERS.c[field]).where(USERS.c.username.in_(names))
            found |= dict((await self._connection.execute(statement)).all())
        return found

    async def find_holders(self, field: str, contact: str) -> list[str]:
        """Return the users who have this contact; e-mail addresses match in any case."""
        is_same = USERS.c[field] == contact
        if field == "email":
            is_same = USERS.c.email_key == identity(contact)
        statement = select(USERS.c.username).where(is_same).order_by(USERS.c.username)
        return list((await self._connection.execute(statement)).scalars())

    async def find_usernames(self, field: str, contacts: Sequence[str]) -> dict[str, str]:
        """Return the users of these contacts, contact → name; e-mail addresses match exactly."""
        found: dict[str, str] = {}
        for first in range(0, len(contacts), CHUNK):
            statement = select(USERS.c[field], USERS.c.username).where(
                USERS.c[field].in_(contacts[first : first + CHUNK])
            )
            found |= dict((await self._connection.execute(statement)).all())
        return found

    async def add_user(self, user: User) -> None:
        """Add a user. Raises FieldTaken."""
        await self._write(insert(USERS).values({**asdict(user), "email_key": _identify(user.email)}))

    async def update_user(self, username: str, values: Mapping[str, Any]) -> None:
        """Set columns of a user. Raises FieldTaken."""
        if values:
            key = {"email_key": _identify(values["email"])} if "email" in values else {}
            await self._write(update(USERS).where(USERS.c.username == username).values({**values, **key}))

    async def replace_hash(self, username: str, old: str, new: str) -> None:
        """Replace the password's hash unless it changed meanwhile."""
        row = (USERS.c.username == username) & (USERS.c.password == old)
        await self._connection.execute(update(USERS).where(row).values(password=new))

    async def remove_user(self, username: str) -> None:
        """Remove a user, with the revoked tokens."""
        await self._connection.execute(delete(USERS).where(USERS.c.username == username))

    async def revoke(self, username: str, nonce: str, expiry: int, now: int) -> None:
        """Revoke a token, and delete revoked ones that expired long before `now` (Unix time)."""
        mine = REVOKED.c.username == username
        await self._connection.execute(delete(REVOKED).where(mine, REVOKED.c.expiry < now - REVOKED_MARGIN_S))
        await self._connection.execute(delete(REVOKED).where(mine, REVOKED.c.nonce == nonce))
        await self._connection.execute(insert(REVOKED).values(username=username, nonce=nonce, expiry=expiry))

    async def forget_revoked(self, username: str) -> None:
        """Delete the revoked tokens of a user, after a new epoch ended all of them."""
        await self._connection.execute(delete(REVOKED).where(REVOKED.c.username == username))

    async def read_revoked(self, username: str, now: int) -> dict[str, int]:
        """Read the revoked tokens, nonce → expiry, that did not expire long before `now`."""
        statement = select(REVOKED.c.nonce, REVOKED.c.expiry).where(
            REVOKED.c.username == username, REVOKED.c.expiry >= now - REVOKED_MARGIN_S
        )
        return dict((await self._connection.execute(statement)).all())

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

    async def note_key_use(self, key_id: str, at: datetime, address: str) -> None:
        """Note when and from where a key was used last, unless a later use is noted."""
        is_older = or_(KEYS.c.last_used_at.is_(None), KEYS.c.last_used_at < at)
        row = (KEYS.c.id == key_id) & is_older
        await self._connection.execute(update(KEYS).where(row).values(last_used_at=at, last_used_from=address))

    async def _read_keys(self, *wanted: ColumnElement[bool], limit: int | None = None) -> list[Key]:
        statement = select(KEYS).where(*wanted).order_by(KEYS.c.id).limit(limit)
        return [Key(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def list_switches(self) -> list[Switch]:
        """Read the switches of providers."""
        statement = select(PROVIDER_SWITCHES).order_by(PROVIDER_SWITCHES.c.method, PROVIDER_SWITCHES.c.name)
        return [Switch(**row) for row in (await self._connection.execute(statement)).mappings()]

    async def change_switch(self, method: str, name: str, values: Mapping[str, Any]) -> tuple[Switch, Switch]:
        """Change some values of a provider's switch; return the switch as it was and as it is."""
        if self._connection.dialect.name == "postgresql":  # SQLite has one writer anyway
            turn = zlib.crc32(f"imsg provider {method} {name}".encode())
            await self._connection.execute(select(func.pg_advisory_xact_lock(turn)))
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
        """Let one transaction at a time change the accounts of a channel."""
        if self._connection.dialect.name == "postgresql":  # SQLite has one writer anyway
            turn = zlib.crc32(f"imsg accounts {method}".encode())
            await self._connection.execute(select(func.pg_advisory_xact_lock(turn)))

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

    async def keep_removed_accounts(self, removed: Sequence[RemovedAccount]) -> None:
        """Keep versions of an account that is removed."""
        if removed:
            await self._connection.execute(insert(REMOVED_ACCOUNTS), [asdict(one) for one in removed])

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

    async def read_installation_limits(self) -> InstallationLimits:
        """Read the limits of the installation."""
        return InstallationLimits(**(await self._connection.execute(_READ_LIMITS)).mappings().one())

    async def lock_installation_limits(self) -> InstallationLimits:
        """Read the limits of the installation, and lock them until the transaction ends."""
        found = await self._connection.execute(_READ_LIMITS.with_for_update())
        return InstallationLimits(**found.mappings().one())

    async def replace_installation_limits(self, name: str, value: object) -> None:
        """Replace a list of `InstallationLimits`, which are locked."""
        await self._connection.execute(update(INSTALLATION_LIMITS).values({name: value}))

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

    async def _find_one(self, statement: Select[Any]) -> User | None:
        row = (await self._connection.execute(statement)).mappings().first()
        return None if row is None else User(**row)

    async def _write(self, statement: Any) -> None:  # noqa: ANN401  an insert or an update
        try:
            await self._connection.execute(statement)
        except IntegrityError as error:
            raise FieldTaken(_name_violated(error)) from error


class Store:
    """Transactions over the users. Entering, leaving and every statement raise DatabaseUnavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def takes_writes(self) -> bool:
        """Whether the database has refused no write lately."""
        return self._database.takes_writes

    async def purge(self) -> None:
        """Remove deleted data from the database's files."""
        await self._database.purge()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Rows]:
        """Open a transaction that only reads."""
        async with self._database.reading() as connection:
            yield Rows(connection)

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Rows]:
        """Open a transaction that writes; commits unless the block raises."""
        async with self._database.writing() as connection:
            yield Rows(connection)


def _search_users(search: Iterable[str]) -> Select[Any]:
    """Select the users whose name or a contact contains a term; without any all of them."""
    columns = (USERS.c.username, USERS.c.phone, USERS.c.email, USERS.c.wechat)
    wanted = [func.lower(column).contains(term.lower(), autoescape=True) for term in search for column in columns]
    return select(*_USER_COLUMNS).where(or_(*wanted)) if wanted else select(*_USER_COLUMNS)


def _name_violated(error: IntegrityError) -> str:
    """Return the field whose uniqueness an insert or update violates. Raises the error for other constraints."""
    constraint = find_constraint(error)
    for field in ("username", *CONTACTS):
        column = "email_key" if field == "email" else field
        if constraint == ("users_pkey" if field == "username" else f"users_{field}_key"):
            return field
        if str(error.orig).endswith(f"UNIQUE constraint failed: users.{column}"):  # SQLite's words
            return field
    raise error


def _identify(email: str | None) -> str | None:
    """Return the key under which an e-mail address is unique, whatever its case."""
    return None if email is None else identity(email)
