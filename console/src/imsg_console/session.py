"""The sessions: the only state of the console, in memory."""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from imsg_console.client import Visitor
from imsg_contract.roles import READERS, Role

ID_BYTES = 32

MAX_SESSIONS_PER_USER = 100
"""The oldest ends for a new one, so that a script that logs in again and again fills no memory."""

MAX_AGENT = 256
"""Characters of a browser's name that are kept with its session."""

MAX_ENDED = 10_000
"""Ended sessions whose reason is remembered."""


class Tab(Protocol):
    """An open page of a session."""

    def close(self, why: str) -> None:
        """Redirect to the log-in page, which shows the reason."""

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
    """The SHA-256 of the cookie's secret, which is useless for logging in."""
    username: str
    role: Role
    token: str
    visitor: Visitor
    ends_at: float
    seen_at: float
    warned: bool = False
    """Whether the administrator's documented password works here: a banner warns until it is changed."""
    tabs: dict[str, Tab] = field(default_factory=dict)
    tasks: list[Task] = field(default_factory=list)
    end_others: Callable[[], None] = lambda: None
    """Ends the user's sessions in other browsers, after a change of the password."""

    @property
    def is_admin(self) -> bool:
        """Whether the user is an administrator."""
        return self.role == "admin"

    @property
    def sees_all(self) -> bool:
        """Whether the user sees the data of all users."""
        return self.role in READERS

    def describe(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """Return what the API keeps of the session: its key, and how the browser names itself in its headers."""
        return {"digest": self.key, "agent": headers.get("user-agent", "")[:MAX_AGENT].replace("\0", "")}


@dataclass(frozen=True, slots=True)
class Login:
    """Who has logged in, and by which token."""

    username: str
    role: Role
    token: str
    expires_in_s: float


class NoSession:
    """There is no session of a secret."""


Resume = Callable[[str, Visitor], Awaitable[Login | NoSession | None]]
"""Asks the API for the log-in of a session's secret; None where the API is not reached."""


class Sessions:
    """Finds, opens and ends sessions. `now` is a monotonic clock in seconds."""

    def __init__(
        self,
        idle_s: float,
        now: Callable[[], float],
        revoke: Callable[[Session], Awaitable[None]],
        resume: Resume,
    ) -> None:
        self.idle_s = idle_s
        self._now = now
        self._revoke = revoke
        self._resume = resume
        self._resuming = asyncio.Lock()
        self._sessions: dict[str, Session] = {}
        self._ended: dict[str, str] = {}
        """Key of an ended session → why it ended, the oldest first."""

    def __len__(self) -> int:
        return len(self._sessions)

    def open(
        self, username: str, *, role: Role, token: str, visitor: Visitor, expires_in_s: float
    ) -> tuple[Session, str]:
        """Open a session; return it and the secret for its cookie, which is kept nowhere else."""
        secret = secrets.token_urlsafe(ID_BYTES)
        return self._add(_key(secret), Login(username, role, token, expires_in_s), visitor), secret

    def _add(self, key: str, login: "Login", visitor: Visitor) -> Session:
        now, username = self._now(), login.username
        session = Session(key, username, login.role, login.token, visitor, now + login.expires_in_s, now)
        sessions = [session for session in self._sessions.values() if session.username == username]
        for oldest in sessions[: max(0, len(sessions) - MAX_SESSIONS_PER_USER + 1)]:
            self.end(oldest, "ended")
        self._sessions[session.key] = session
        session.end_others = lambda: self._end_others(session)
        return session

    def find(self, secret: str) -> Session | None:
        """Return the session of a cookie, if it still lasts."""
        return self.by_key(_key(secret)) if secret else None

    async def find_or_resume(self, secret: str, visitor: Visitor) -> Session | None:
        """Return the session of a cookie; one that another console opened is resumed."""
        key = _key(secret)
        if (session := self.find(secret)) is not None or not secret or key in self._ended:
            return session
        async with self._resuming:
            if (session := self.find(secret)) is not None or key in self._ended:
                return session
            resumed = await self._resume(secret, visitor)
            if resumed is None:
                return None
            if isinstance(resumed, NoSession):
                self._record_end(key, "restarted")
                return None
            return self._add(key, resumed, visitor)

    def by_key(self, key: str) -> Session | None:
        """Return a session that still lasts."""
        session = self._sessions.get(key)
        return None if session is None or self._over(session) else session

    def why_ended(self, secret: str) -> str:
        """Return why the session of a cookie has ended: `restarted` where it is not known, as after a restart."""
        session = self._sessions.get(_key(secret))
        return self._over(session) if session is not None else self._ended.get(_key(secret), "restarted")

    def touch(self, session: Session) -> None:
        """Record activity in a session, which extends it."""
        session.seen_at = self._now()

    def end(self, session: Session, why: str) -> None:
        """End a session: its tasks stop, and its pages lead to the log-in page, which says why."""
        self._sessions.pop(session.key, None)
        self._record_end(session.key, why)
        for task in list(session.tasks):
            task.stop()
        for tab in list(session.tabs.values()):
            tab.close(why)

    def _record_end(self, key: str, why: str) -> None:
        self._ended[key] = why
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]

    def end_all_of(self, username: str, why: str) -> None:
        """End every session of a user."""
        for session in [session for session in self._sessions.values() if session.username == username]:
            self.end(session, why)

    def _end_others(self, session: Session) -> None:
        for other in [candidate for candidate in self._sessions.values() if candidate.username == session.username]:
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
