"""The HTTP pool of all calls to providers."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from urllib.request import getproxies, proxy_bypass

from pydantic import BaseModel

from imsg_runtime.masking import Secrets
from imsg_web.http_pool import BodyBound, HttpPool, Proxy

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
    answer_timeout_s: float = ANSWER_TIMEOUT_S, *, settings: BaseModel | None = None
) -> AsyncIterator[HttpPool]:
    """Open the pool. It makes no connection before the first call, and never repeats a call, which may have arrived.

    The secrets of `settings` are hidden in what the providers answer.
    """
    pool = HttpPool(
        ANSWER_BOUND,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        answer_timeout_s=answer_timeout_s,
        idle_s=IDLE_S,
        max_connections=MAX_CONNECTIONS,
        find_proxy=partial(_find_proxy, getproxies()),
        hide=Secrets(settings).hide,
    )
    try:
        yield pool
    finally:
        pool.close()


def _find_proxy(proxies: Mapping[str, str], scheme: str, host: str) -> Proxy | None:
    """Return the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY` …, as in curl). Raises NotSent."""
    url = proxies.get(scheme, proxies.get("all"))
    return None if url is None or proxy_bypass(host) else Proxy.read(url)
