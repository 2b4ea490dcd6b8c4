"""What a message is likely to cost, before it is sent."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import date

from imsg_channels import METHODS
from imsg_channels.spec import ChannelSpec
from imsg_contract.prices import Cost, Costs, sum_costs
from imsg_gateway.countries import read_countries
from imsg_gateway.draft import Draft
from imsg_gateway.provider_reports import Provider
from imsg_gateway.shares import Share
from imsg_runtime.published_prices import PublishedPrices
from imsg_runtime.redis import RedisRefused, RedisUnavailable

POLL_S = 1.0
"""How often it is looked which provider of a channel is tried first."""


class CostEstimator:
    """Estimates costs by the provider that is tried first, and the prices of today."""

    def __init__(
        self,
        prices: PublishedPrices,
        providers: Callable[[str], Awaitable[Sequence[Provider]]],
        today: Callable[[], date],
    ) -> None:
        """Make an estimator; `providers` returns the providers of a channel."""
        self._prices = prices
        self._providers = providers
        self._today = today
        self._first: dict[str, str] = {}

    async def estimate(self, draft: Draft) -> Costs:
        """Return the sum of each currency; empty where no price is known, and for what a test key sends."""
        if draft.is_test or draft.method.name not in self._prices.current.methods:
            return []
        return sum_costs([cost for share in draft.shares for cost in await self._estimate(draft, share)])

    async def _estimate(self, draft: Draft, share: Share) -> list[Cost]:
        method, day = draft.method, self._today().isoformat()
        provider = draft.provider or share.provider or draft.account or self._first.get(method.name, "")
        numbers: defaultdict[str | None, list[str]] = defaultdict(list)
        for recipient, country in zip(share.recipients, await read_countries(share.recipients), strict=True):
            numbers[country].append(recipient.address)
        costs = []
        for country, of_country in numbers.items():
            price = self._prices.current.find(method.name, provider, country, day)
            if price is not None:
                units = _count_segments(method, share, of_country) if price.per == "segment" else len(of_country)
                costs.append(Cost(units * price.micros, price.currency, estimated=True))
        return costs

    async def watch(self) -> None:
        """Refresh the provider of each channel that is tried first, until cancelled."""
        while True:
            for method in METHODS:
                if method in self._prices.current.methods:
                    await self._find_first(method)
            await asyncio.sleep(POLL_S)

    async def _find_first(self, method: str) -> None:
        try:
            enabled = [provider for provider in await self._providers(method) if provider["enabled"]]
        except (RedisUnavailable, RedisRefused):
            return  # the estimate goes by what was read before
        first = max(enabled, key=lambda provider: provider["weight"] or 0, default=None)
        if first is not None:
            self._first[method] = first["name"]


def _count_segments(method: ChannelSpec, share: Share, numbers: Sequence[str]) -> int:
    """Count the segments; a message of a template whose words are not known is one at least."""
    if method.segments is None or share.text is None:
        return len(numbers)
    return method.segments(share.text, numbers).total
