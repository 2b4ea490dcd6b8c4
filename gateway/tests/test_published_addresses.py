"""A channel that publishes its addresses has no others; until then any name may be one."""

import pytest

from imsg_contract.topology import FOLLOWERS_COMPLETE, addresses_key
from imsg_gateway.published_addresses import PER_CALL, PublishedAddresses
from imsg_testing.gateway import RunningGateway


@pytest.fixture
def published(gateway: RunningGateway) -> PublishedAddresses:
    """Read what senders publish in the gateway's Redis."""
    return PublishedAddresses(gateway.redis)


async def test_no_address_is_unknown_until_they_are_published(
    gateway: RunningGateway, published: PublishedAddresses
) -> None:
    await gateway.redis.call("DEL", addresses_key("wecom"))
    assert await published.find_unknown("wecom", ["ops", "nobody"]) == set()


async def test_an_unpublished_address_is_unknown(gateway: RunningGateway, published: PublishedAddresses) -> None:
    names = [f"robot-{number}" for number in range(PER_CALL + 1)]
    await gateway.redis.call("SADD", addresses_key("wecom"), FOLLOWERS_COMPLETE, *names)
    assert await published.find_unknown("wecom", [*names, "nobody"]) == {"nobody"}
    answer = await gateway.send(token=await gateway.user(), method="wecom", to=["robot-1", "nobody"], content="您好")
    assert (answer.json()["errorCode"], answer.json()["reason"]) == (10011, "recipients_invalid")
    assert "“nobody”（没有这个群机器人名称）" in answer.json()["detail"]
