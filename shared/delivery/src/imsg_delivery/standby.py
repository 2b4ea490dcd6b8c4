"""A sender without a provider: it is ready, consumes nothing, and reports why to gateways and on its channel."""

import asyncio
from contextlib import suppress

from imsg_contract.topology import channel_key, no_provider_key
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable
from imsg_runtime.settings import Common, SenderSettings, is_given, load

log = logger(__name__)

REPORT_EVERY_S = 2.0
VALID_S = 10
"""How long a report is valid: it expires once the sender is configured or gone."""


def is_idle(model: type[Common], group: str) -> bool:
    """Return whether a sender shall idle: nothing of its group is set, and `IMSG_NO_PROVIDER` is idle.

    With a provider key it idles too, until an administrator sets up an account. Raises StartError where a common
    setting is wrong.
    """
    common = load(SenderSettings)
    return (common.no_provider == "idle" or bool(common.provider_key)) and not is_given(model, group)


async def report_idle(connection: Redis, method: str, remedy: str) -> None:
    """Report to the gateways, which then refuse messages, and in the channel's state, until cancelled."""
    log.warning("no_provider", method=method, remedy=remedy)
    why = f"no provider is configured: {remedy}"
    problem = RecurringProblem(log, "standby_not_reported", what="no_provider", method=method)
    try:
        while True:
            with problem.catch(RedisUnavailable, RedisRefused):
                await connection.call("SET", no_provider_key(method), remedy, "EX", VALID_S)
                await connection.call("HSET", channel_key(method), "state", "blocked", "why", why, "until", "")
            await asyncio.sleep(REPORT_EVERY_S)
    finally:
        with suppress(RedisUnavailable, RedisRefused):
            await connection.call("DEL", no_provider_key(method))  # another set may have taken over
