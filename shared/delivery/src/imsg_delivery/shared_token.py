"""An access token that replicas share: one fetches it ahead of its end, the others read it, sealed, from Redis."""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass
from typing import Generic, TypeVar

from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script
from imsg_runtime.sealing import Sealer

MARGIN_S = 300.0
"""How long before its end a token is replaced; one that lives shortly, after half its life."""

LAST_USE_S = 5.0
"""How long before its end a token is no longer used."""

RETRY_S = 15.0
"""The pause after a failed fetch while the token in use is valid."""

LOCK_S = 20.0
"""How long other processes wait for a fetch: longer than the timeout of a call."""

POLL_S = 0.05

_DROP = Script.of("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
"""Deletes a key only if it still has the expected value: another process may have changed it."""

REDIS_ERRORS = (RedisUnavailable, RedisRefused)

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """An access token."""

    text: str
    ends_at: float
    """Unix seconds."""
    renew_at: float
    """When it is replaced; if that fails, it is used to its end."""

    @classmethod
    def of(cls, text: str, life_s: float, now: float) -> "Token":
        """Make a token that was fetched now."""
        return cls(text, now + life_s, now + life_s - min(MARGIN_S, life_s / 2))


Failure = TypeVar("Failure")


class SharedToken(Generic[Failure]):
    """The token of one account. Without Redis each process fetches its own."""

    def __init__(
        self,
        redis: Redis,
        sealer: Sealer,
        key: str,
        fetch: Callable[[], Awaitable[Token | Failure]],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`key` is the token's key in Redis; `fetch` returns a new token, or why there is none."""
        self._redis = redis
        self._sealer = sealer
        self._key, self._lock_key = key, f"{key}:lock"
        self._fetch = fetch
        self._now = now
        self._fetching = asyncio.Lock()
        self._fetches = 0
        self._last: Token | Failure | None = None
        """The result of this process' last fetch."""
        self._retry_at = 0.0
        self._problem = RecurringProblem(log, "token_not_shared", quiet_s=QUIET_S, level="info")

    async def get(self, stale: str | None = None) -> str | Failure:
        """Return a token other than `stale`, which the provider has just refused; or why there is none."""
        token = await self._read(stale)
        if token is not None and self._now() < max(token.renew_at, self._retry_at):
            return token.text
        fetches = self._fetches
        async with self._fetching:
            if self._fetches != fetches and self._last is not None and not self._is_stale(self._last, stale):
                renewed = self._last  # another task has fetched meanwhile: its result counts for this call too
            else:
                renewed = await self._renew(stale)
        if isinstance(renewed, Token):
            return renewed.text
        if token is None:
            return renewed
        self._retry_at = self._now() + RETRY_S
        return token.text

    async def _renew(self, stale: str | None) -> Token | Failure:
        """Fetch a token, or wait for another process that fetches it."""
        owner = secrets.token_hex(8)
        until = time.monotonic() + LOCK_S
        try:
            while not await self._redis.call("SET", self._lock_key, owner, "NX", "PX", int(LOCK_S * 1_000)):
                if time.monotonic() > until:
                    break
                await asyncio.sleep(POLL_S)
        except REDIS_ERRORS as error:
            self._problem.report(error)
        try:
            token = await self._read(stale)  # the process that held the lock before may have renewed it
            if token is not None and self._now() < token.renew_at:
                return token
            return await self._fetch_and_share()
        finally:
            await asyncio.shield(self._release(owner))

    async def _fetch_and_share(self) -> Token | Failure:
        self._last = fetched = await self._fetch()
        self._fetches += 1
        if isinstance(fetched, Token):
            sealed = self._sealer.seal(json.dumps(astuple(fetched)), self._key)
            with self._problem.catch(*REDIS_ERRORS):
                life_ms = max(1, int((fetched.ends_at - self._now()) * 1_000))
                await self._redis.call("SET", self._key, sealed, "PX", life_ms)
        return fetched

    async def _read(self, stale: str | None) -> Token | None:
        """Return the token in Redis, without Redis that of this process; None where it is stale or at its end."""
        try:
            sealed = await self._redis.call("GET", self._key)
            self._problem.clear()
        except REDIS_ERRORS as error:
            self._problem.report(error)
            token = self._last if isinstance(self._last, Token) else None
        else:
            text = None if sealed is None else self._sealer.open(sealed.decode(), self._key)
            token = None if text is None else Token(*json.loads(text))
        if token is None or self._is_stale(token, stale) or token.ends_at - self._now() < LAST_USE_S:
            return None
        return token

    @staticmethod
    def _is_stale(token: Token | Failure, stale: str | None) -> bool:
        return isinstance(token, Token) and token.text == stale

    async def _release(self, owner: str) -> None:
        with self._problem.catch(*REDIS_ERRORS):  # otherwise the lock expires
            await self._redis.run(_DROP, [self._lock_key], [owner])
