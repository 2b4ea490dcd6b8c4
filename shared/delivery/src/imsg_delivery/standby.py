"""A sender without a provider: it is ready, consumes nothing, and reports why to gateways and on its channel."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from imsg_contract.errors import Refusal
from imsg_contract.topology import channel_key, no_provider_key
from imsg_runtime import redis
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import Common, is_given, load
from imsg_web.responses import refuse_with
from imsg_web.service import Service

log = logger(__name__)

REPORT_EVERY_S = 2.0
VALID_S = 10
"""How long a report is valid, so that it ends by itself once the sender is configured or gone."""


def is_idle(model: type[Common], group: str) -> bool:
    """Tell whether a sender shall idle: nothing of its group is set, and `IMSG_NO_PROVIDER` is idle.

    Raises StartError where a common setting is wrong.
    """
    return load(Common).no_provider == "idle" and not is_given(model, group)


def idle(method: str, remedy: str, settings: Common, make_api: Callable[[Common], ASGIApp] | None = None) -> Service:
    """Make a sender that idles. `remedy` names the settings that would give it a provider."""

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        async with redis.connect(settings.redis_url) as connection:
            log.warning("no_provider", method=method, remedy=remedy)
            service.watch(_report(connection, method, remedy), "standby")
            yield refuse_with(Refusal("not_found", what=method), "") if make_api is None else make_api(settings)

    return Service(method, settings, opening)


async def _report(connection: Redis, method: str, remedy: str) -> None:
    """Report to the gateways, which then refuse messages, and in the channel's state."""
    why = f"no provider is configured: {remedy}"
    problem = RecurringProblem(log, "standby_not_reported", what="no_provider", method=method)
    while True:
        try:
            await connection.call("SET", no_provider_key(method), remedy, "EX", VALID_S)
            await connection.call("HSET", channel_key(method), "state", "blocked", "why", why, "until", "")
        except (RedisUnavailable, RedisRefused) as away:
            problem.note(away)
        else:
            problem.clear()
        await asyncio.sleep(REPORT_EVERY_S)
