"""The pool that all calls of providers go by."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from urllib.request import getproxies, proxy_bypass

from imsg_web.http_pool import BodyBound, HttpPool, Proxy

CONNECT_TIMEOUT_S = 3.0

ANSWER_TIMEOUT_S = 10.0
"""Aliyun asks for at least a second; a call for 1,000 numbers takes longer."""

IDLE_S = 3.0
"""Shorter than servers keep a connection. On one that is just being closed a call is lost, and its fate is unknown."""

ANSWER_BOUND = BodyBound(4 * 1024 * 1024)
"""A thousand results have some 200 KB."""

MAX_CONNECTIONS = 256
"""More than there are calls at once: `imsg_sms.channel.CONCURRENCY` times `imsg_sms.route.AT_ONCE` for lists."""


@asynccontextmanager
async def open_pool(answer_timeout_s: float = ANSWER_TIMEOUT_S) -> AsyncIterator[HttpPool]:
    """Open the pool. It makes no connection before the first call, and repeats no call: a provider may have it."""
    pool = HttpPool(
        ANSWER_BOUND,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        answer_timeout_s=answer_timeout_s,
        idle_s=IDLE_S,
        max_connections=MAX_CONNECTIONS,
        find_proxy=_find_proxy,
    )
    try:
        yield pool
    finally:
        pool.close()


@lru_cache(64)
def _find_proxy(scheme: str, host: str) -> Proxy | None:
    """Find the proxy that the environment names (`HTTPS_PROXY`, `NO_PROXY` and so on), as curl does. Raises NotSent."""
    proxies = getproxies()
    url = proxies.get(scheme, proxies.get("all"))
    return None if url is None or proxy_bypass(host) else Proxy.read(url)
