"""Calls of auth to the senders of a channel, through Redis: a sender knows the providers, auth does not."""

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr

from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import (
    ANSWERS,
    CALL_VALID_S,
    CALLS,
    PURPOSE,
    AccountState,
    Attention,
    ChannelProviders,
    ProviderAccount,
    ProviderCall,
    ProviderCheck,
)
from imsg_contract.topology import attention_key, kinds_key, provider_answers_key, provider_calls_key
from imsg_runtime.redis import Redis
from imsg_runtime.sealing import Sealer

VALIDATE_S, CHECK_S = 8.0, 25.0
"""How long a sender may take: it reads calls twice a second, and a check calls the provider."""

POLL_S = 0.1
"""How often auth looks for the answer."""


class SenderCalls:
    """Reads what senders publish about providers, and asks them. Every method raises RedisUnavailable."""

    def __init__(
        self, redis: Redis, keys: Mapping[str, Sequence[SecretStr]], *, now: Callable[[], float] = time.time
    ) -> None:
        """`keys` seal the calls to the senders of each channel."""
        self._redis = redis
        self._sealers = {method: Sealer(own, PURPOSE) for method, own in keys.items() if own}
        self._now = now

    @property
    def methods(self) -> Sequence[str]:
        """The channels whose senders can be called."""
        return tuple(self._sealers)

    async def find_channel(self, method: str) -> ChannelProviders:
        """Return what the senders of a channel publish about its providers."""
        text = await self._redis.call("GET", kinds_key(method))
        return ChannelProviders(kinds=()) if text is None else ChannelProviders.model_validate_json(text)

    async def read_attention(self, method: str) -> Mapping[str, Sequence[Attention]]:
        """Return what senders have found that a person has to attend to, by account."""
        read = await self._redis.call("HGETALL", attention_key(method))
        return {name.decode(): AccountState.model_validate_json(text).found for name, text in read.items()}

    async def call(
        self, method: str, what: str, name: str, accounts: Sequence[ProviderAccount], *, english: bool = False
    ) -> ProviderCheck:
        """Return the answer of one of the channel's senders. Raises Refusal sender_away."""
        fields = {"what": what, "name": name, "accounts": tuple(accounts), "english": english, "at": self._now()}
        call = ProviderCall.model_validate(fields)
        sealer, number = self._sealers[method], uuid.uuid4().hex
        key, answers = provider_calls_key(method), provider_answers_key(method)
        await self._redis.call("HSET", key, number, sealer.seal(call.model_dump_json(), f"{CALLS} {number}"))
        await self._redis.call("EXPIRE", key, CALL_VALID_S)
        try:
            async with asyncio.timeout(VALIDATE_S if what == "validate" else CHECK_S):
                while (sealed := await self._redis.call("HGET", answers, number)) is None:  # noqa: ASYNC110  Redis has no event
                    await asyncio.sleep(POLL_S)
        except TimeoutError as late:
            await self._redis.call("HDEL", key, number)
            raise Refusal("sender_away", method=method, retry_after_s=5) from late
        await self._redis.call("HDEL", answers, number)
        text = sealer.open(sealed.decode(), f"{ANSWERS} {number}")
        if text is None:
            raise Refusal("sender_away", method=method, retry_after_s=5)
        return ProviderCheck.model_validate_json(text)
