"""A sender of which no provider is configured: up and ready, takes nothing, and says why wherever somebody asks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from imsg_contract.errors import Refusal
from imsg_contract.topology import channel_key, no_provider_key
from imsg_runtime import redis
from imsg_runtime.logs import Recurring, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import Common, is_given, load
from imsg_web.responses import refuse_with
from imsg_web.service import Service

log = logger(__name__)

TELL_EVERY_S = 2.0
TOLD_FOR_S = 10
"""How long what was told is believed: a sender that is configured anew, or gone, needs nobody to take it back."""


def is_idle(model: type[Common], group: str) -> bool:
    """Tell whether a sender shall idle: nothing of its group is set, and `IMSG_NO_PROVIDER` is idle.

    Raises StartError where a common setting is wrong.
    """
    return load(Common).no_provider == "idle" and not is_given(model, group)


def idle(method: str, remedy: str, settings: Common) -> Service:
    """Make a sender that idles. `remedy` names the settings that would give it a provider."""

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with redis.connect(settings.redis_url) as connection:
            log.warning("no_provider", method=method, remedy=remedy)
            service.watch(_tell(connection, method, remedy), "told")
            yield refuse_with(Refusal("not_found", what=method), "")

    return Service(method, settings, opening)


async def _tell(connection: Redis, method: str, remedy: str) -> None:
    """Tell the gateways, which refuse what nobody would send, and whoever looks at the channel."""
    why = f"no provider is configured: {remedy}"
    trouble = Recurring(log, "not_told", what="no_provider", method=method)
    while True:
        try:
            await connection.call("SET", no_provider_key(method), remedy, "EX", TOLD_FOR_S)
            await connection.call("HSET", channel_key(method), "state", "blocked", "why", why, "until", "")
        except (RedisUnavailable, RedisRefused) as away:
            trouble.note(away)
        else:
            trouble.clear()
        await asyncio.sleep(TELL_EVERY_S)
