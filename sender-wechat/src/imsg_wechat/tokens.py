"""The access token of an official account: one process fetches it, and shares it through Redis."""

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script
from imsg_wechat.codes import ErrorAnswer
from imsg_wechat.transport import CallFailure, Transport

MARGIN_S = 300
"""How long before its end a token is replaced: as long as WeChat's old and new tokens overlap."""

MIN_LIFE_S = 60
LOCK_S = 20.0
"""How long other processes wait for a fetch: longer than the timeout of a call."""

POLL_S = 0.05

_DROP = Script.of("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
"""Deletes a key only if it still has the expected value: another process may have renewed it."""

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """The log-in at the API, and its URL."""

    appid: str
    secret: SecretStr
    endpoint: str


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    life_s: int


class TokenSource(Protocol):
    """A source of tokens for the API's calls."""

    async def get(self, stale: str | None = None) -> str | ErrorAnswer | CallFailure:
        """Return a token other than `stale`, which WeChat has just refused; or why there is none."""


class OwnToken:
    """A token that only this process uses, to test the log-in.

    The shared token stays valid: stable_token returns the same one.
    """

    def __init__(self, credentials: Credentials, transport: Transport) -> None:
        self._credentials = credentials
        self._transport = transport
        self._token: str | None = None

    async def get(self, stale: str | None = None) -> str | ErrorAnswer | CallFailure:
        """Return the token; the first call fetches it, and a call with a `stale` one fetches another."""
        if self._token is None or self._token == stale:
            fetched = await _fetch(self._credentials, self._transport)
            if not isinstance(fetched, _Token):
                return fetched
            self._token = fetched.text
        return self._token


class Tokens:
    """The token of one account, shared through Redis.

    Without Redis each process fetches it: stable_token returns the same one to all of them.
    """

    def __init__(
        self, credentials: Credentials, redis: Redis, transport: Transport, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._credentials = credentials
        self._redis = redis
        self._transport = transport
        self._clock = clock
        self._key = f"imsg:wechat:token:{credentials.appid}"
        self._lock = f"imsg:wechat:token-lock:{credentials.appid}"
        self._fetch_lock = asyncio.Lock()
        self._own: tuple[str, float] | None = None
        """The last token of this process and its end, for times without Redis."""
        self._failure: ErrorAnswer | CallFailure | None = None
        self._failures = 0
        self._problem = RecurringProblem(log, "token_not_fetched", quiet_s=QUIET_S, appid=credentials.appid)
        self._redis_problem = RecurringProblem(log, "token_not_shared", quiet_s=QUIET_S, level="info")

    async def get(self, stale: str | None = None) -> str | ErrorAnswer | CallFailure:
        """Return a token other than `stale`, which WeChat has just refused; or why there is none.

        If WeChat returns the refused one again, so does this method: the next refusal is then final.
        """
        try:
            cached = await self._read_cached()
        except (RedisUnavailable, RedisRefused) as error:
            self._redis_problem.report(error)
            return await self._get_without_redis(stale)
        if cached is not None and cached != stale:
            return cached
        seen = self._failures
        async with self._fetch_lock:
            if self._failure is not None and self._failures != seen:
                return self._failure  # another task failed meanwhile: its failure counts for this call too
            try:
                return await self._renew(stale)
            except (RedisUnavailable, RedisRefused) as error:
                self._redis_problem.report(error)
        return await self._get_without_redis(stale)

    async def _renew(self, stale: str | None) -> str | ErrorAnswer | CallFailure:
        """Fetch a token, or wait for another process that fetches it. Raises RedisUnavailable, RedisRefused."""
        owner = secrets.token_hex(8)
        until = self._clock() + LOCK_S
        while True:
            cached = await self._read_cached()
            if cached is not None and cached != stale:
                return cached
            if await self._redis.call("SET", self._lock, owner, "NX", "PX", int(LOCK_S * 1000)):
                break
            if self._clock() > until:
                return await self._fetch_alone()
            await asyncio.sleep(POLL_S)
        try:
            cached = await self._read_cached()  # the process that held the lock before may have renewed it
            if cached is not None and cached != stale:
                return cached
            if stale is not None:
                await self._redis.run(_DROP, [self._key], [stale])
            fetched = await self._fetch()
            if isinstance(fetched, _Token):
                await self._redis.call("SET", self._key, fetched.text, "EX", fetched.life_s)
                return fetched.text
            return fetched
        finally:
            await asyncio.shield(self._release(owner))

    async def _release(self, owner: str) -> None:
        try:
            await self._redis.run(_DROP, [self._lock], [owner])
        except (RedisUnavailable, RedisRefused) as error:
            self._redis_problem.report(error)  # the lock expires

    async def _get_without_redis(self, stale: str | None) -> str | ErrorAnswer | CallFailure:
        seen = self._failures
        async with self._fetch_lock:
            if self._failure is not None and self._failures != seen:
                return self._failure
            if self._own is not None and self._own[0] != stale and self._clock() < self._own[1]:
                return self._own[0]
            return await self._fetch_alone()

    async def _fetch_alone(self) -> str | ErrorAnswer | CallFailure:
        fetched = await self._fetch()
        return fetched.text if isinstance(fetched, _Token) else fetched

    async def _read_cached(self) -> str | None:
        cached = await self._redis.call("GET", self._key)
        self._redis_problem.clear()
        return None if cached is None else str(cached.decode())

    async def _fetch(self) -> _Token | ErrorAnswer | CallFailure:
        fetched = await _fetch(self._credentials, self._transport)
        if isinstance(fetched, _Token):
            self._failure = None
            self._own = (fetched.text, self._clock() + fetched.life_s)
            self._problem.clear()
            log.info("token_fetched", appid=self._credentials.appid, good_for_s=fetched.life_s)
        else:
            self._failure = fetched
            self._failures += 1
            self._problem.report(fetched.code)
        return fetched


async def _fetch(credentials: Credentials, transport: Transport) -> _Token | ErrorAnswer | CallFailure:
    body = {
        "grant_type": "client_credential",
        "appid": credentials.appid,
        "secret": credentials.secret.get_secret_value(),
        "force_refresh": False,
    }
    answer = await transport.call("POST", f"{credentials.endpoint}/cgi-bin/stable_token", body=body)
    if isinstance(answer, ErrorAnswer | CallFailure):
        return answer if isinstance(answer, ErrorAnswer) else answer.before_sending
    try:
        text, expires_in = str(answer["access_token"]), int(answer["expires_in"])
    except (KeyError, ValueError, TypeError):
        return CallFailure("gibberish", "WeChat's answer has no access_token.", may_have_it=False)
    return _Token(text, max(MIN_LIFE_S, expires_in - MARGIN_S))
