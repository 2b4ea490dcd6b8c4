"""The sessions of the web page: kept in Redis, so that they outlive the console that opened them.

A session is a token of a log-in, and the digest of the secret that a browser's cookie has. The token itself is not
kept: it is computed again from its nonce and expiry when a client presents the secret.
"""

import hashlib
import time
from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from imsg_auth.store import Store
from imsg_auth.tokens import IssuedToken, Tokens
from imsg_auth.user_changes import UserChanges
from imsg_contract import tokens
from imsg_contract.errors import Refusal
from imsg_runtime.redis import Redis
from imsg_web.callers import Caller

MAX_SHOWN = 80
"""Characters of an unknown id that an answer repeats."""


class PageSession(BaseModel):
    """A session, as Redis keeps it."""

    model_config = ConfigDict(frozen=True)

    id: str
    """The nonce of its token."""
    username: str
    user_id: str
    epoch: int
    expiry: int
    """Unix time in seconds, of the token too."""
    digest: str
    address: str
    agent: str
    created_at: datetime

    @property
    def expires_at(self) -> datetime:
        """When it ends, unless it is ended before."""
        return datetime.fromtimestamp(self.expiry, UTC)


class PageSessions:
    """Opens, resumes, lists and ends sessions. Every method raises DatabaseUnavailable, RedisUnavailable."""

    def __init__(
        self,
        store: Store,
        changes: UserChanges,
        issuer: Tokens,
        redis: Redis,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._changes = changes
        self._issuer = issuer
        self._redis = redis
        self._now = now

    async def open(self, caller: Caller, token: str, digest: str, agent: str) -> str:
        """Store the session of a token, and return its id. A client with the secret of `digest` may resume it.

        Raises Refusal token_invalid.
        """
        parsed = tokens.parse(token)
        async with self._store.reading() as rows:
            user = await rows.find_user(caller.username)
        if parsed is None or user is None or user.id != caller.user_id:
            raise Refusal("token_invalid")
        session = PageSession(
            id=parsed.nonce,
            username=user.username,
            user_id=user.id,
            epoch=user.epoch,
            expiry=parsed.expiry,
            digest=digest,
            address=caller.address,
            agent=agent,
            created_at=datetime.fromtimestamp(self._now(), UTC),
        )
        lasts_s = max(1, parsed.expiry - int(self._now()))
        await self._redis.call("SET", _key(session.id), session.model_dump_json(), "EX", lasts_s)
        await self._redis.call("SET", _digest_key(digest), session.id, "EX", lasts_s)
        await self._redis.call("SADD", _ids_key(user.id), session.id)
        await self._redis.call("EXPIRE", _ids_key(user.id), self._issuer.lasts_s)
        return session.id

    async def resume(self, secret: str) -> IssuedToken:
        """Return the token of the session whose secret is shown. Raises Refusal token_invalid."""
        found = await self._redis.call("GET", _digest_key(hashlib.sha256(secret.encode()).hexdigest()))
        session = None if found is None else await self._read(found.decode())
        if session is None or not await self._lasts(session):
            raise Refusal("token_invalid")
        text = self._issuer.make(session.username, session.user_id, session.epoch, session.expiry, session.id)
        return IssuedToken(text, session.expiry - int(self._now()))

    async def list_own(self, caller: Caller) -> list[PageSession]:
        """List the caller's sessions, the newest first."""
        ids = await self._redis.call("SMEMBERS", _ids_key(caller.user_id))
        found = [await self._read(name.decode()) for name in ids]
        sessions = [session for session in found if session is not None and await self._lasts(session)]
        return sorted(sessions, key=lambda session: session.created_at, reverse=True)

    async def end(self, caller: Caller, session_id: str) -> None:
        """End a session of the caller's, or (for an administrator) of any user, with its token. Raises not_found."""
        session = await self._read(session_id)
        if session is None or not (caller.is_admin or session.user_id == caller.user_id):
            raise Refusal("not_found", what=session_id[:MAX_SHOWN])
        async with self._changes.open(session.username, user_id=session.user_id) as change:
            await change.rows.revoke(session.username, session.id, session.expiry, int(self._now()))
            await change.record(caller, "session_ended", {"address": session.address, "agent": session.agent})
        await self._redis.call("DEL", _key(session.id), _digest_key(session.digest))
        await self._redis.call("SREM", _ids_key(session.user_id), session.id)

    async def _read(self, session_id: str) -> PageSession | None:
        found = await self._redis.call("GET", _key(session_id))
        return None if found is None else PageSession.model_validate_json(found)

    async def _lasts(self, session: PageSession) -> bool:
        """Return whether a session's token holds: neither expired, nor revoked, nor ended by a new epoch."""
        now = int(self._now())
        async with self._store.reading() as rows:
            user = await rows.find_user(session.username)
            revoked = await rows.read_revoked(session.username, now)
        is_same = user is not None and (user.id, user.epoch) == (session.user_id, session.epoch)
        return is_same and session.expiry > now and session.id not in revoked


def _key(session_id: str) -> str:
    return f"imsg:session:{session_id}"


def _digest_key(digest: str) -> str:
    return f"imsg:session-of:{digest}"


def _ids_key(user_id: str) -> str:
    return f"imsg:sessions:{user_id}"
