"""Users, and their tokens that were revoked before they expired."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, delete, func, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError

from imsg_auth.rows.statements import Statements
from imsg_auth.tables import REVOKED, USERS
from imsg_channels import CONTACTS
from imsg_contract.addresses import identity
from imsg_contract.roles import Role
from imsg_contract.wire import Category
from imsg_database.totals import count_rows
from imsg_database.unavailable import find_constraint
from imsg_limits.quota import PER_DAY, PER_HOUR, RECIPIENTS_PER_DAY, QuotaRow

DEFAULT_COUNTRIES = ("CN",)

DEFAULT_QUOTAS = (PER_HOUR._replace(limit=5), PER_DAY._replace(limit=20))
"""What a new user starts with: the interface document's 默认值 (section 4)."""

REVOKED_MARGIN_S = 600
"""How long a logged-out token is kept beyond its expiry, since a gateway's clock may be behind."""

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
    """The senders that the user may name, comma-separated; None: all."""
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


_USER_COLUMNS = [USERS.c[name] for name in User.__dataclass_fields__]


class UserRows(Statements):
    """The statements about users."""

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
        if self._is_postgres:  # SQLite has one writer anyway
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

    async def count_users(self, search: Iterable[str], limit: int) -> int:
        """Count the users that `list_users` lists, `limit` at the most."""
        return (await self._connection.execute(count_rows(_search_users(search), limit))).scalar_one()

    async def list_users_with_totp(self) -> list[User]:
        """Read the users who log in with one-time passwords, and lock their rows."""
        statement = select(*_USER_COLUMNS).where(USERS.c.totp_secret.is_not(None)).order_by(USERS.c.username)
        rows = await self._connection.execute(statement.with_for_update())
        return [User(**row) for row in rows.mappings()]

    async def find_contacts(self, field: str, usernames: Sequence[str]) -> dict[str, str | None]:
        """Read one contact of many users; unknown users are absent."""
        contacts: dict[str, str | None] = {}
        for first in range(0, len(usernames), CHUNK):
            names = usernames[first : first + CHUNK]
            statement = select(USERS.c.username, USERS.c[field]).where(USERS.c.username.in_(names))
            contacts |= dict((await self._connection.execute(statement)).all())
        return contacts

    async def find_holders(self, field: str, contact: str) -> list[str]:
        """Return the users who have this contact; e-mail addresses match in any case."""
        is_same = USERS.c[field] == contact
        if field == "email":
            is_same = USERS.c.email_key == identity(contact)
        statement = select(USERS.c.username).where(is_same).order_by(USERS.c.username)
        return list((await self._connection.execute(statement)).scalars())

    async def find_usernames(self, field: str, contacts: Sequence[str]) -> dict[str, str]:
        """Return the users of these contacts, contact → name; e-mail addresses match exactly."""
        usernames: dict[str, str] = {}
        for first in range(0, len(contacts), CHUNK):
            statement = select(USERS.c[field], USERS.c.username).where(
                USERS.c[field].in_(contacts[first : first + CHUNK])
            )
            usernames |= dict((await self._connection.execute(statement)).all())
        return usernames

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
        is_of_user = REVOKED.c.username == username
        await self._connection.execute(delete(REVOKED).where(is_of_user, REVOKED.c.expiry < now - REVOKED_MARGIN_S))
        await self._connection.execute(delete(REVOKED).where(is_of_user, REVOKED.c.nonce == nonce))
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

    async def _find_one(self, statement: Select[Any]) -> User | None:
        row = (await self._connection.execute(statement)).mappings().first()
        return None if row is None else User(**row)

    async def _write(self, statement: Any) -> None:  # noqa: ANN401  an insert or an update
        try:
            await self._connection.execute(statement)
        except IntegrityError as error:
            raise FieldTaken(_name_violated(error)) from error


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
