"""The sessions: the only state of the console, in memory."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from imsg_console.client import Visitor

ID_BYTES = 32

MAX_SESSIONS_PER_USER = 100
"""The oldest ends for a new one, so that a script that logs in again and again fills no memory."""


MAX_ENDED = 10_000
"""Ended sessions whose reason is remembered."""


class Tab(Protocol):
    """An open page of a session."""

    def close(self, why: str) -> None:
        """Go to the log-in page, which says why."""

    def discard(self) -> None:
        """Remove the page from the server."""


class Task(Protocol):
    """Work that belongs to a session."""

    def stop(self) -> None:
        """End it."""


@dataclass(eq=False, slots=True)
class Session:
    """One log-in in one browser."""

    key: str
    """The SHA-256 of the cookie's secret, with which nobody can log in."""
    username: str
    is_admin: bool
    token: str
    visitor: Visitor
    ends_at: float
    seen_at: float
    warned: bool = False
    """Whether the administrator's documented password works here: a banner warns until it is changed."""
    tabs: dict[str, Tab] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    is_over: bool = False
    end_others: Callable[[], None] = lambda: None
    """Ends the user's sessions in other browsers, after a change of the password."""


class Sessions:
    """Finds, opens and ends sessions. `now` is a monotonic clock in seconds."""

    def __init__(self, idle_s: float, now: Callable[[], float], revoke: Callable[[Session], Awaitable[None]]) -> None:
        self.idle_s = idle_s
        self._now = now
        self._revoke = revoke
        self._sessions: dict[str, Session] = {}
        self._ended: dict[str, str] = {}
        """Key of an ended session → why it ended, the oldest first."""

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self, username: str, *, is_admin: bool, token: str, visitor: Visitor, expires_in_s: float
    ) -> tuple[Session, str]:
        """Open a session; return it and the secret for its cookie, which is kept nowhere else."""
        secret = secrets.token_urlsafe(ID_BYTES)
        now = self._now()
        session = Session(_key(secret), username, is_admin, token, visitor, now + expires_in_s, now)
        mine = [one for one in self._sessions.values() if one.username == username]
        for oldest in mine[: max(0, len(mine) - MAX_SESSIONS_PER_USER + 1)]:
            self.end(oldest, "ended")
        self._sessions[session.key] = session
        session.end_others = lambda: self._end_others(session)
        return session, secret

    def find(self, secret: str) -> Session | None:
        """Return the session of a cookie, if it still lasts."""
        return self.by_key(_key(secret)) if secret else None

    def by_key(self, key: str) -> Session | None:
        """Return a session that still lasts."""
        session = self._sessions.get(key)
        return None if session is None or self._over(session) else session

    def why_ended(self, secret: str) -> str:
        """Return why the session of a cookie has ended: `restarted` where it is not known, as after a restart."""
        session = self._sessions.get(_key(secret))
        return self._over(session) if session is not None else self._ended.get(_key(secret), "restarted")

    def touch(self, session: Session) -> None:
        """Keep a session alive: its person has done something."""
        session.seen_at = self._now()

    def end(self, session: Session, why: str) -> None:
        """End a session: its tasks stop, and its pages lead to the log-in page, which says why."""
        session.is_over = True
        self._sessions.pop(session.key, None)
        self._ended[session.key] = why
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        for task in list(session.tasks):
            task.stop()
        for tab in list(session.tabs.values()):
            tab.close(why)

    def end_all_of(self, username: str, why: str) -> None:
        """End every session of a user."""
        for session in [one for one in self._sessions.values() if one.username == username]:
            self.end(session, why)

    def _end_others(self, session: Session) -> None:
        for other in [one for one in self._sessions.values() if one.username == session.username]:
            if other is not session:
                self.end(other, "changed")

    async def sweep(self) -> None:
        """End the sessions that are over, and revoke their tokens."""
        for session in list(self._sessions.values()):
            if why := self._over(session):
                self.end(session, why)
                await self._revoke(session)

    async def keep_sweeping(self, every_s: float) -> None:
        """Sweep for as long as the console runs."""
        while True:
            await asyncio.sleep(every_s)
            await self.sweep()

    def _over(self, session: Session) -> str:
        now = self._now()
        if now >= session.ends_at:
            return "expired"
        return "idle" if now - session.seen_at >= self.idle_s else ""


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
