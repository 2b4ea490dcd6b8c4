"""Prices in the catalog: replaced whole, and published to their readers."""

from typing import Any

from imsg_contract.topology import PRICES
from imsg_runtime.published_prices import PricesUnavailable, PublishedPrices
from imsg_runtime.redis import Redis
from imsg_testing.catalog import HEADERS, run_catalog
from imsg_testing.databases import on_both_databases
from imsg_testing.waiting import eventually

ALIYUN = {
    "method": "sms", "provider": "aliyun", "country": "CN", "per": "segment", "amount": "0.045", "currency": "CNY",
    "from": "2026-10-01",
}  # fmt: skip
TWILIO = {**ALIYUN, "provider": "twilio", "country": None, "amount": "0.0083", "currency": "USD"}
LATER = {**ALIYUN, "amount": "0.04", "from": "2026-11-01"}
PATH = "/api/prices"


@on_both_databases
async def test_what_is_replaced_is_listed_and_published(database_url: str, redis_url: str, redis: Redis) -> None:
    """A price holds from its day on, of its country alone where it names one; Redis gets it again when flushed."""
    async with run_catalog(database_url, redis_url, redis) as catalog:
        first = await catalog.client.get(PATH)
        assert first.json()["prices"] == []
        tag = {"if-match": first.headers["etag"]}
        put = await catalog.client.put(PATH, headers=tag, json={"prices": [LATER, TWILIO, ALIYUN]})
        assert put.json()["prices"] == [ALIYUN, {**LATER, "amount": "0.04"}, TWILIO]
        assert (await catalog.client.put(PATH, headers=tag, json={"prices": []})).json()["reason"] == "changed"
        assert (await catalog.client.put(PATH, json={"prices": []})).json()["reason"] == "if_match_required"

        await redis.call("DEL", PRICES)
        published = PublishedPrices(redis)

        async def is_published() -> bool:
            try:
                return bool(await published.fetch())
            except PricesUnavailable:
                return False

        await eventually(is_published, 60)
        prices = published.current
        found = [
            prices.find("sms", "aliyun", "CN", day) for day in ("2026-09-30", "2026-10-31", "2026-11-01", "2027-01-01")
        ]
        assert [price and price.micros for price in found] == [None, 45_000, 40_000, 40_000]
        assert prices.find("sms", "aliyun", "HK", "2026-11-01") is None
        anywhere = prices.find("sms", "twilio", "US", "2026-11-01")
        assert anywhere is not None
        assert (anywhere.micros, anywhere.currency) == (8_300, "USD")


WRONG: tuple[tuple[dict[str, Any], str], ...] = (
    ({"method": "fax"}, "prices.0.method"),
    ({"provider": "a b"}, "prices.0.provider"),
    ({"country": "cn"}, "prices.0.country"),
    ({"country": "XX"}, "prices.0.country"),
    ({"method": "smtp", "per": "message"}, "prices.0.country"),
    ({"method": "smtp", "country": None}, "prices.0.per"),
    ({"per": "mail"}, "prices.0.per"),
    ({"amount": 0.045}, "prices.0.amount"),
    ({"amount": "-1"}, "prices.0.amount"),
    ({"amount": "0.0000001"}, "prices.0.amount"),
    ({"amount": "١"}, "prices.0.amount"),
    ({"currency": "RMB"}, "prices.0.currency"),
    ({"currency": "yuan"}, "prices.0.currency"),
    ({"from": "2026-02-30"}, "prices.0.from"),
    ({"from": "1.10.2026"}, "prices.0.from"),
    ({"until": "2026-10-31"}, "until"),
)


async def test_a_wrong_price_is_refused_by_its_field_and_nothing_is_replaced(
    database_url: str, redis_url: str, redis: Redis
) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        every = {"if-match": "*"}
        await catalog.client.put(PATH, headers=every, json={"prices": [ALIYUN]})
        for change, field in WRONG:
            refused = await catalog.client.put(PATH, headers=every, json={"prices": [{**ALIYUN, **change}]})
            assert (refused.status_code, refused.json()["errorCode"]) == (400, 10017), change
            assert field in refused.json()["detail"], (change, refused.json()["detail"])
        twice = await catalog.client.put(PATH, headers=every, json={"prices": [ALIYUN, {**ALIYUN, "amount": "1"}]})
        assert "sms aliyun CN 2026-10-01" in twice.json()["detail"]
        assert (await catalog.client.get(PATH)).json()["prices"] == [ALIYUN]


async def test_prices_are_the_administrators(database_url: str, redis_url: str, redis: Redis) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        somebody = {**HEADERS, "x-imsg-role": "user", "if-match": "*"}
        assert (await catalog.client.get(PATH, headers=somebody)).json()["reason"] == "no_right"
        assert (await catalog.client.put(PATH, headers=somebody, json={"prices": []})).json()["reason"] == "no_right"
