"""Changes of users, in the order that keeps the user cache consistent.

A change locks the row, deletes the cache entry, writes row and audit record, commits, and writes the entry again.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from imsg_auth.rows.installation_limits import InstallationLimits
from imsg_auth.rows.users import FieldTaken, User
from imsg_auth.store import Rows, Store
from imsg_auth.tokens import new_epoch
from imsg_contract.errors import Refusal
from imsg_contract.wire import Change
from imsg_web.audit import make_change
from imsg_web.callers import Caller

LEAK_CALLER = Caller("imsg:leaked-key", role="admin", user_id="", since=datetime.fromtimestamp(0, UTC))
"""The actor in the audit who ends a key that was reported as leaked: a name no user can have."""

LOGIN_CALLER = Caller("imsg:login", role="user", user_id="", since=datetime.fromtimestamp(0, UTC))
"""The actor of failed log-ins in the audit: a name no user can have."""


UNKNOWN_USER = "imsg:unknown"
"""The target in the audit of a log-in under a name that no user has, which may be a password."""

INSTALLATION = "imsg:installation"
"""The target of changes of the whole installation in the audit: a name no user can have."""


State = Mapping[str, Any] | None
"""What an audit record shows of what is changed, before or after."""


class Cache(Protocol):
    """The user cache: `forget` is called within the changing transaction, `refresh` after its commit."""

    async def forget(self, username: str) -> None:
        """Delete a user's entry. Raises RedisUnavailable."""

    async def forget_counts(self, username: str) -> None:
        """Delete the counts of an earlier user of this name. Raises RedisUnavailable."""

    async def refresh(self, username: str) -> None:
        """Write the user's entry, if Redis and the database answer."""

    async def forget_installation_limits(self) -> None:
        """Delete the installation's quotas. Raises RedisUnavailable."""

    async def refresh_installation_limits(self) -> None:
        """Write the installation's limits, if Redis and the database answer."""


class NoCache:
    """The cache while Redis is down: auth empties the user cache when it starts."""

    async def forget(self, username: str) -> None:
        """Do nothing."""

    async def forget_counts(self, username: str) -> None:
        """Do nothing."""

    async def refresh(self, username: str) -> None:
        """Do nothing."""

    async def forget_installation_limits(self) -> None:
        """Do nothing."""

    async def refresh_installation_limits(self) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class UserChange:
    """A change of one user, whose row is locked and whose cache entry is deleted; it commits when its block ends."""

    user: User
    rows: Rows
    at: datetime
    administrators: frozenset[str]
    """The names of all administrators, locked; empty unless `may_end_administrator`."""

    def require_other_admin(self) -> None:
        """Require that another administrator remains. Raises Refusal last_administrator."""
        if self.administrators == {self.user.username}:
            raise Refusal("last_administrator")

    async def set(self, **values: Any) -> None:  # noqa: ANN401  a column's value
        """Set columns. Raises Refusal contact_taken."""
        try:
            await self.rows.update_user(self.user.username, values)
        except FieldTaken as error:
            raise Refusal("contact_taken", field=error.field) from error

    async def end_tokens(self) -> None:
        """End every token of the user."""
        await self.rows.update_user(self.user.username, {"epoch": new_epoch()})
        await self.rows.forget_revoked(self.user.username)

    async def record(self, actor: Caller, action: str, before: State = None, after: State = None) -> None:
        """Add the audit record to the same transaction; it holds no password, token or whole address."""
        user = self.user
        change = make_change(actor, action, user.username, self.at, before=before, after=after, target_id=user.id)
        await _add_audit_record(self.rows, change)


@dataclass(frozen=True, slots=True)
class InstallationChange:
    """A change of the installation's limits, which are locked; it commits when its block ends.

    Its quotas are not cached meanwhile.
    """

    limits: InstallationLimits
    rows: Rows
    at: datetime

    async def replace(self, name: str, value: object) -> None:
        """Replace a list of the limits."""
        await self.rows.replace_installation_limits(name, value)

    async def record(self, actor: Caller, action: str, before: State = None, after: State = None) -> None:
        """Add the audit record to the same transaction."""
        change = make_change(actor, action, INSTALLATION, self.at, before=before, after=after)
        await _add_audit_record(self.rows, change)


class UserChanges:
    """Opens changes."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        wake: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`wake` is called when the outbox holds a new record."""
        self._store = store
        self._cache = cache
        self._wake = wake
        self._now = now

    @asynccontextmanager
    async def open(
        self, username: str, *, user_id: str | None = None, may_end_administrator: bool = False
    ) -> AsyncIterator[UserChange]:
        """Open a change of a user; `may_end_administrator` also locks the other administrators.

        With `user_id` the user must have this id, since a name may be registered again.
        Raises Refusal no_such_user; DatabaseUnavailable and RedisUnavailable, and then nothing was changed.
        """
        async with self._store.writing() as rows:
            administrators = await rows.lock_administrators() if may_end_administrator else frozenset[str]()
            user = await rows.lock_user(username)
            if user is None or user_id not in (None, user.id):
                raise Refusal("no_such_user", username=username)
            await self._cache.forget(username)
            yield UserChange(user, rows, self._now_utc(), administrators)
        self._wake()
        await self._cache.refresh(username)

    @asynccontextmanager
    async def open_installation_limits(self) -> AsyncIterator[InstallationChange]:
        """Open a change of the installation's limits.

        Raises DatabaseUnavailable and RedisUnavailable, and then nothing was changed.
        """
        async with self._store.writing() as rows:
            limits = await rows.lock_installation_limits()
            await self._cache.forget_installation_limits()
            yield InstallationChange(limits, rows, self._now_utc())
        self._wake()
        await self._cache.refresh_installation_limits()

    async def add_user(self, user: User, actor: Caller, after: dict[str, Any]) -> None:
        """Add a user. Raises Refusal username_taken, contact_taken; DatabaseUnavailable, RedisUnavailable."""
        async with self._store.writing() as rows:
            if await rows.find_user(user.username) is not None:  # before a taken contact
                raise Refusal("username_taken", username=user.username)
            try:
                await rows.add_user(user)
            except FieldTaken as error:
                if error.field == "username":
                    raise Refusal("username_taken", username=user.username) from error
                raise Refusal("contact_taken", field=error.field) from error
            await self._cache.forget(user.username)
            await self._cache.forget_counts(user.username)
            change = make_change(actor, "register", user.username, self._now_utc(), after=after, target_id=user.id)
            await _add_audit_record(rows, change)
        self._wake()
        await self._cache.refresh(user.username)

    async def record_login(self, user: User, address: str) -> None:
        """Write an audit record of a log-in. Raises DatabaseUnavailable."""
        caller = Caller(user.username, user.role, user.id, user.created_at, address=address)
        await self._audit_alone(make_change(caller, "login", user.username, self._now_utc(), target_id=user.id))

    async def record_failed_login(self, user: User | None, reason: str, address: str) -> None:
        """Write an audit record of a log-in that failed, None: of an unknown name. Raises DatabaseUnavailable."""
        caller, after = replace(LOGIN_CALLER, address=address), {"reason": reason}
        name, user_id = (UNKNOWN_USER, None) if user is None else (user.username, user.id)
        change = make_change(caller, "login_failed", name, self._now_utc(), after=after, target_id=user_id)
        await self._audit_alone(change)

    async def _audit_alone(self, change: Change) -> None:
        async with self._store.writing() as rows:
            await _add_audit_record(rows, change)
        self._wake()

    def _now_utc(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


async def _add_audit_record(rows: Rows, change: Change) -> None:
    """Add an audit record to the outbox."""
    await rows.add_audit_record(change.model_dump_json())
