"""The HTTP pool of all calls to providers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from imsg_delivery.provider_kinds import ProviderGroup, find_destinations
from imsg_runtime.masking import Secrets
from imsg_web.destinations import CheckedResolver, find_pool_proxy
from imsg_web.http_pool import BodyBound, HttpPool

CONNECT_TIMEOUT_S = 3.0

ANSWER_TIMEOUT_S = 10.0
"""Aliyun requires at least a second; a call for 1,000 numbers takes longer."""

IDLE_S = 3.0
"""Shorter than the idle time of servers: a call on a connection that the server closes has an unknown result."""

ANSWER_BOUND = BodyBound(4 * 1024 * 1024)
"""A response with 1,000 results has some 200 KB."""

MAX_CONNECTIONS = 640
"""More than the concurrent calls by `imsg_sms.channel.CONCURRENCY` and `imsg_sms.router.MAX_CONCURRENT_CALLS`: a call
that waits for a connection counts as a failure of its provider."""


@asynccontextmanager
async def open_pool(
    answer_timeout_s: float = ANSWER_TIMEOUT_S, *, settings: ProviderGroup | None = None
) -> AsyncIterator[HttpPool]:
    """Open the pool. It makes no connection before the first call, and never repeats a call, which may have arrived.

    `settings` say which addresses may be called. Their secrets are hidden in what the providers answer.
    """
    destinations = find_destinations(settings)
    pool = HttpPool(
        ANSWER_BOUND,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        answer_timeout_s=answer_timeout_s,
        idle_s=IDLE_S,
        max_connections=MAX_CONNECTIONS,
        resolve=CheckedResolver(destinations).resolve,
        find_proxy=find_pool_proxy(destinations),
        hide=Secrets(settings).hide,
    )
    try:
        yield pool
    finally:
        pool.close()
