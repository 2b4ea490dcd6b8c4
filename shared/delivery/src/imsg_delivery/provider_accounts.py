"""Reads the accounts that administrators set up, from their copy in Redis, and answers what auth asks about them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from pydantic import SecretStr, ValidationError

from imsg_contract.provider_accounts import (
    ANSWERS,
    CALL_VALID_S,
    CALLS,
    MIRROR,
    PURPOSE,
    ChannelProviders,
    ProviderCall,
    ProviderCheck,
    ProviderMirror,
)
from imsg_contract.topology import accounts_key, kinds_key, provider_answers_key, provider_calls_key
from imsg_delivery.tasks import wait_for_first
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.sealing import Sealer

log = logger(__name__)

POLL_S = 0.5
"""How often the version in Redis is read: a change is in force within 2 s."""

PUBLISH_S = 10.0

CHECK_S = 20.0
"""How long a check at a provider may take."""

RETRY_S = 3.0
"""When accounts that could not be applied are tried again: a port may have been taken, or a database away."""

Apply = Callable[[ProviderMirror], Awaitable[bool]]
"""Applies all accounts and senders; returns whether that worked."""
Answer = Callable[[ProviderCall], Awaitable[ProviderCheck]]


class ProviderAccounts:
    """A channel's accounts of auth, as a sender sees them."""

    def __init__(self, redis: Redis, method: str, keys: Sequence[SecretStr]) -> None:
        self._redis = redis
        self._method = method
        self._sealer = Sealer(keys, PURPOSE)
        self._version: bytes | None = None
        self._calls = set[asyncio.Task[None]]()
        self._has_news = asyncio.Event()
        self._unanswered = RecurringProblem(log, "provider_call_not_answered", level="info", method=method)

    async def read(self) -> ProviderMirror | None:
        """Return all accounts and senders where they have changed since the last call; None where they have not.

        After Redis was flushed nothing has changed. Raises RedisUnavailable, RedisRefused.
        """
        version = await self._redis.call("HGET", accounts_key(self._method), "version")
        if version is None or version == self._version:
            return None
        sealed = await self._redis.call("HGET", accounts_key(self._method), "sealed")
        text = None if sealed is None else self._sealer.open(sealed.decode(), f"{MIRROR} {self._method}")
        self._version = version
        if text is None:
            log.error("provider_accounts_unreadable", method=self._method, remedy="give auth and the sender one key")
            return None
        return ProviderMirror.model_validate_json(text)

    async def watch(self, apply: Apply, answer: Answer) -> None:
        """Apply changes and answer auth, for ever."""
        problem = RecurringProblem(log, "provider_accounts_not_read", level="info", method=self._method)
        while True:
            with problem.catch(RedisUnavailable, RedisRefused):
                changed = await self.read()
                if changed is not None and not await apply(changed):
                    self._version = None
                    await asyncio.sleep(RETRY_S)
                elif changed is not None:
                    self.announce()
                await self._answer_calls(answer)
            await asyncio.sleep(POLL_S)

    def announce(self) -> None:
        """Wake `publish` to write at once."""
        self._has_news.set()

    async def publish(self, describe: Callable[[], ChannelProviders]) -> None:
        """Publish the kinds of accounts, and those of the settings, for ever: Redis may be flushed."""
        problem = RecurringProblem(log, "provider_kinds_not_published", level="info", method=self._method)
        while True:
            with problem.catch(RedisUnavailable, RedisRefused):
                await self._redis.call("SET", kinds_key(self._method), describe().model_dump_json())
            await wait_for_first(asyncio.sleep(PUBLISH_S), self._has_news.wait())
            self._has_news.clear()

    async def _answer_calls(self, answer: Answer) -> None:
        key = provider_calls_key(self._method)
        for call in await self._redis.call("HKEYS", key):
            sealed = await self._redis.call("HGET", key, call)
            if sealed is None or not await self._redis.call("HDEL", key, call):
                continue  # another sender has taken it
            text = self._sealer.open(sealed.decode(), f"{CALLS} {call.decode()}")
            provider_call = None if text is None else _read_call(text)
            if provider_call is not None and provider_call.at > time.time() - CALL_VALID_S:
                task = asyncio.create_task(self._answer(call.decode(), provider_call, answer))
                self._calls.add(task)
                task.add_done_callback(self._calls.discard)

    async def _answer(self, call: str, provider_call: ProviderCall, answer: Answer) -> None:
        check = await answer(provider_call)
        sealed = self._sealer.seal(check.model_dump_json(), f"{ANSWERS} {call}")
        key = provider_answers_key(self._method)
        try:
            await self._redis.call("HSET", key, call, sealed)
            await self._redis.call("EXPIRE", key, CALL_VALID_S)
        except (RedisUnavailable, RedisRefused) as error:
            self._unanswered.report(error)


def _read_call(text: str) -> ProviderCall | None:
    """Return a call; None for one that a later version of auth has made, and that is not known here."""
    try:
        return ProviderCall.model_validate_json(text)
    except ValidationError:
        log.info("provider_call_unknown")
        return None
