"""A change of a user, in the order that keeps the user cache true: lock, forget, change, note, commit, write."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from imsg_auth.store import Rows, Store, Taken, User
from imsg_auth.tokens import new_epoch
from imsg_contract.errors import Refusal
from imsg_contract.wire import Change
from imsg_web.callers import Caller

SOMEBODY = Caller("imsg:login", is_admin=False, user_id="", since=datetime.fromtimestamp(0, UTC))
"""Who fails to log in, in the audit: a name no user can have."""


class Cache(Protocol):
    """What has to follow a change: `forget` in the changing transaction, `refresh` after its commit."""

    async def forget(self, username: str) -> None:
        """Make sure that nobody sees the user as it was. Raises RedisUnavailable."""

    async def forget_counts(self, username: str) -> None:
        """Forget what a predecessor of this name has sent. Raises RedisUnavailable."""

    async def refresh(self, username: str) -> None:
        """Show the user as it is now, if that can be done."""


class NoCache:
    """Where all services and Redis are down: auth empties the user cache when it starts."""

    async def forget(self, username: str) -> None:
        """Do nothing."""

    async def forget_counts(self, username: str) -> None:
        """Do nothing."""

    async def refresh(self, username: str) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class Open:
    """A user whose row is locked and who is out of the cache, in a transaction that commits when the block ends."""

    user: User
    rows: Rows
    at: datetime
    administrators: frozenset[str]
    """Empty unless asked for."""

    def keep_an_administrator(self) -> None:
        """Refuse to go on where this is the last administrator. Raises Refusal last_administrator."""
        if self.administrators == {self.user.username}:
            raise Refusal("last_administrator")

    async def set(self, **values: Any) -> None:  # noqa: ANN401  a column's value
        """Set columns. Raises Refusal contact_taken."""
        try:
            await self.rows.change(self.user.username, values)
        except Taken as taken:
            raise Refusal("contact_taken", field=taken.field) from taken

    async def end_tokens(self) -> None:
        """End every token of the user."""
        await self.rows.change(self.user.username, {"epoch": new_epoch()})
        await self.rows.forget_revoked(self.user.username)

    async def note(self, actor: Caller, action: str, **details: Any) -> None:  # noqa: ANN401  JSON
        """Write the audit record, kept and lost with the change itself; never a password, a token or an address."""
        await _note(self.rows, _change(actor, action, self.user, details, self.at))


class UserChanges:
    """Opens changes."""

    def __init__(
        self,
        store: Store,
        cache: Cache,
        wake: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`wake` is told that the outbox holds something new."""
        self._store = store
        self._cache = cache
        self._wake = wake
        self._now = now

    @asynccontextmanager
    async def of(
        self, username: str, *, user_id: str | None = None, may_end_administrator: bool = False
    ) -> AsyncIterator[Open]:
        """Change a user; `may_end_administrator` also keeps the other administrators as they are meanwhile.

        With `user_id` that very user, and none who was registered under the name since.
        Raises Refusal no_such_user; DatabaseUnavailable and RedisUnavailable, and then nothing was changed.
        """
        async with self._store.writing() as rows:
            administrators = await rows.lock_administrators() if may_end_administrator else frozenset[str]()
            user = await rows.lock(username)
            if user is None or user_id not in (None, user.id):
                raise Refusal("no_such_user", username=username)
            await self._cache.forget(username)
            yield Open(user, rows, self._time(), administrators)
        self._wake()
        await self._cache.refresh(username)

    async def add(self, user: User, actor: Caller, details: dict[str, Any]) -> None:
        """Add a user. Raises Refusal username_taken, contact_taken; DatabaseUnavailable, RedisUnavailable."""
        async with self._store.writing() as rows:
            if await rows.user(user.username) is not None:  # said first, where a contact is taken as well
                raise Refusal("username_taken", username=user.username)
            try:
                await rows.add(user)
            except Taken as taken:
                if taken.field == "username":
                    raise Refusal("username_taken", username=user.username) from taken
                raise Refusal("contact_taken", field=taken.field) from taken
            await self._cache.forget(user.username)
            await self._cache.forget_counts(user.username)
            await _note(rows, _change(actor, "register", user, details, self._time()))
        self._wake()
        await self._cache.refresh(user.username)

    async def note_failure(self, user: User, details: dict[str, Any]) -> None:
        """Write an audit record of a log-in that failed. Raises DatabaseUnavailable."""
        async with self._store.writing() as rows:
            await _note(rows, _change(SOMEBODY, "login_failed", user, details, self._time()))
        self._wake()

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


def _change(actor: Caller, action: str, user: User, details: dict[str, Any], at: datetime) -> Change:
    return Change(
        actor=actor.username,
        action=action,
        subject=user.username,
        details=details,
        at=at,
        actor_id=actor.user_id or None,
        subject_id=user.id,
    )


async def _note(rows: Rows, change: Change) -> None:
    """Put an audit record into the outbox."""
    await rows.note(change.model_dump_json())
