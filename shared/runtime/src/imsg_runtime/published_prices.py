"""The prices that the catalog publishes in Redis."""

import asyncio

from imsg_contract.prices import PriceList, read_prices
from imsg_contract.topology import PRICES
from imsg_runtime.logs import logger
from imsg_runtime.redis import Redis

log = logger(__name__)

RETRY_S = 0.25
"""The catalog writes prices that are missing, since Redis was flushed, as often."""


class PricesUnavailable(Exception):  # noqa: N818  named like RedisUnavailable
    """The catalog has not published the prices."""


async def find_prices(redis: Redis) -> PriceList | None:
    """Read the prices; None while the catalog has not published them. Raises RedisUnavailable."""
    text = await redis.call("GET", PRICES)
    if text is None:
        return None
    try:
        return read_prices(text)
    except ValueError:  # of a newer catalog
        log.warning("prices_unreadable")
        return PriceList()


async def wait_for_prices(redis: Redis, within_s: float) -> PriceList:
    """Read the prices once the catalog has published them. Raises PricesUnavailable, RedisUnavailable."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while (prices := await find_prices(redis)) is None:
        if loop.time() >= end:
            raise PricesUnavailable("the catalog has not published the prices")
        await asyncio.sleep(RETRY_S)
    return prices
