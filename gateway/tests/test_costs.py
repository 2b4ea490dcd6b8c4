"""Estimates: each recipient at the price of their country, of the provider that is tried first."""

import asyncio
from collections.abc import Sequence
from datetime import date

from imsg_channels import BY_NAME
from imsg_contract.prices import Price, write_prices
from imsg_contract.topology import PRICES
from imsg_contract.wire import Recipient
from imsg_gateway.costs import CostEstimator
from imsg_gateway.draft import Draft
from imsg_gateway.provider_reports import Provider
from imsg_gateway.shares import Share
from imsg_runtime.published_prices import PublishedPrices
from imsg_runtime.redis import Redis, connect
from imsg_testing.waiting import eventually

CHINA, HONG_KONG = "+8613800000001", "+85291234567"


async def find_providers(method: str) -> Sequence[Provider]:
    """Return two servers, of which the second one is off."""
    return [
        {"name": f"{method}-main", "enabled": True, "weight": 1},
        {"name": f"{method}-spare", "enabled": False, "weight": 9},
    ]


def make_draft(method: str, *shares: tuple[str | None, str | None, tuple[str, ...]]) -> Draft:
    """Make a draft of shares: provider, text, addresses."""
    made = [
        Share(provider, [Recipient(n=n, to=to, address=to) for n, to in enumerate(addresses)], text)
        for provider, text, addresses in shares
    ]
    return Draft(BY_NAME[method], None, (), "", shares=made)


async def test_an_estimate_is_by_country_segments_provider_and_day(store_url: str) -> None:
    async with connect(store_url) as redis:
        await check_estimates(redis)


async def check_estimates(redis: Redis) -> None:
    """Check them by prices in Redis."""
    prices = (
        Price("sms", "aliyun", "CN", "segment", 45_000, "CNY", "2026-01-01"),
        Price("sms", "aliyun", "CN", "segment", 40_000, "CNY", "2026-10-02"),
        Price("sms", "aliyun", None, "segment", 300_000, "CNY", "2026-01-01"),
        Price("sms", "twilio", None, "message", 8_300, "USD", "2026-01-01"),
        Price("smtp", "smtp-main", None, "message", 400, "CNY", "2026-01-01"),
    )
    await redis.call("SET", PRICES, write_prices(prices))
    published = PublishedPrices(redis)
    await published.fetch()
    costs = CostEstimator(published, find_providers, lambda: date(2026, 10, 1))

    async def estimate(draft: Draft) -> list[tuple[str, str]]:
        shown = await costs.estimate(draft)
        assert all(cost["estimated"] for cost in shown)
        return [(cost["amount"], cost["currency"]) for cost in shown]

    long = "长" * 71  # two segments in China as elsewhere
    two_currencies = make_draft("sms", ("aliyun", long, (CHINA, CHINA, HONG_KONG)), ("twilio", long, ("+12125550123",)))
    assert await estimate(two_currencies) == [("0.78", "CNY"), ("0.0083", "USD")]
    english = make_draft("sms", ("aliyun", "x" * 140, (CHINA, HONG_KONG)))  # three segments in China, one elsewhere
    assert await estimate(english) == [("0.435", "CNY")]
    assert await estimate(make_draft("sms", ("aliyun", None, (CHINA,)))) == [("0.045", "CNY")]
    assert await estimate(make_draft("sms", ("nobody", long, (CHINA,)))) == []
    assert await estimate(make_draft("wechat", (None, None, ("7K3-M9Q-2XF",)))) == []
    mails = make_draft("smtp", (None, None, ("a@example.com", "b@example.com")))

    async def is_known() -> bool:
        return await estimate(mails) == [("0.0008", "CNY")]

    watching = asyncio.create_task(costs.watch())
    await eventually(is_known, 60)
    watching.cancel()
