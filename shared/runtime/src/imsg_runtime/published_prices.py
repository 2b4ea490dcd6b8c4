"""The prices that the catalog publishes in Redis."""

import asyncio

from imsg_contract.prices import PriceList, read_prices
from imsg_contract.topology import PRICES
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable

log = logger(__name__)

READ_S = 1.0
"""How often the prices are read: what is shown goes by those of a second ago."""


class PricesUnavailable(Exception):  # noqa: N818  named like RedisUnavailable
    """The catalog has not published prices that this process can read."""


class PublishedPrices:
    """Reads the prices."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._text: bytes | None = None
        self.current = PriceList()
        """The prices that were read last; none before the first time."""

    async def fetch(self) -> PriceList:
        """Read the prices. Raises PricesUnavailable."""
        try:
            text = await self._redis.call("GET", PRICES)
            if text is None:
                raise PricesUnavailable("the catalog has not published the prices")
            if text != self._text:
                self.current, self._text = read_prices(text), text
        except (RedisUnavailable, RedisRefused, ValueError) as error:  # ValueError: of a newer catalog
            raise PricesUnavailable(str(error)) from error
        return self.current

    async def watch(self) -> None:
        """Read the prices every second, until cancelled."""
        problem = RecurringProblem(log, "prices_unavailable", level="info")  # the catalog warns
        while True:
            with problem.catch(PricesUnavailable):
                await self.fetch()
            await asyncio.sleep(READ_S)
