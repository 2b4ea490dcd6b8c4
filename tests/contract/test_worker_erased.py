"""A message accepted before its recipient was erased is not sent (ADR 19)."""

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr

from imsg_broker.port import Broker
from imsg_contract.wire import Recipient
from imsg_people.tombstones import Digests, Tombstone, Tombstones
from imsg_runtime.redis import Redis
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import (
    ERASURE_KEYS,
    SENT_UNSEEN,
    HistoryListener,
    ScriptedProvider,
    accept,
    address,
    job,
    worker_at,
)


async def place_tombstone(
    redis: Redis, address: str, at: datetime | None = None, key: SecretStr = ERASURE_KEYS[0]
) -> None:
    """Write the tombstone of an address, of this moment unless another is given."""
    digests = Digests((key,))
    stone = Tombstone(secrets.token_hex(16), digests.of(address), at or datetime.now(UTC))
    await Tombstones(redis, digests).write([stone])


async def test_what_was_accepted_before_its_recipient_was_erased_is_not_sent(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(120)
    await accept(broker, new)
    await place_tombstone(redis, address(77))
    async with worker_at(broker, redis_url, provider.port):
        await history.wait_settled(new.request, 120)
    assert (history.last(new.request, 77).status, history.last(new.request, 77).code) == ("failed", "erased")
    assert provider.count(new.request) == dict.fromkeys(set(range(120)) - {77}, 1)


async def test_the_erasure_of_a_mail_address_ignores_case(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(recipients=(Recipient(n=0, to="Zhang.San@Example.com", address="Zhang.San@example.com"),))
    await accept(broker, new)
    await place_tombstone(redis, "zhang.SAN@example.com")
    async with worker_at(broker, redis_url, provider.port):
        await history.wait_settled(new.request)
    assert history.last(new.request).code == "erased"
    assert not provider.asked


async def test_what_is_accepted_after_an_erasure_is_a_new_relation_and_goes(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    await place_tombstone(redis, address(0), datetime.now(UTC) - timedelta(seconds=1))
    new = job()
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)
        await history.wait_settled(new.request)
    assert history.statuses(new.request) == {0: ["sent"]}


async def test_a_message_that_waits_for_its_next_attempt_is_given_up_when_its_recipient_is_erased(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(2)
    provider.answer(1, {"result": "again"})
    provider.open.clear()
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)

        async def are_tried() -> bool:
            return provider.under_way == 2

        await eventually(are_tried)
        await place_tombstone(redis, address(1))
        provider.open.set()
        await history.wait_settled(new.request, 2)
    assert history.statuses(new.request)[0] == ["sent"]
    assert history.statuses(new.request)[1] == ["retrying", "failed"]
    assert history.last(new.request, 1).code == "erased"
    assert provider.asked == {0: 1, 1: 1}


async def test_what_the_provider_may_have_when_its_recipient_is_erased_is_uncertain_and_not_repeated(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job()
    provider.answer(0, SENT_UNSEEN)
    provider.open.clear()
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)

        async def is_tried() -> bool:
            return provider.under_way == 1

        await eventually(is_tried)
        await place_tombstone(redis, address(0))
        provider.open.set()
        await history.wait_settled(new.request)
    assert history.statuses(new.request) == {0: ["retrying", "uncertain"]}
    assert (history.last(new.request).status, history.last(new.request).code) == ("uncertain", "erased")
    assert provider.count(new.request) == {0: 1}


async def test_a_tombstone_of_an_older_key_still_applies(redis: Redis) -> None:
    new, old = SecretStr("the new key"), SecretStr("the old key")
    await place_tombstone(redis, "zhang@example.com", key=old)
    found = await Tombstones(redis, Digests((new, old))).find(
        {0: "Zhang@example.com", 1: "li@example.com"}, datetime.now(UTC) - timedelta(minutes=1)
    )
    assert found == {0}


async def test_the_later_of_two_tombstones_of_one_address_stands(redis: Redis) -> None:
    now = datetime.now(UTC)
    await place_tombstone(redis, "zhang@example.com", now)
    await place_tombstone(redis, "zhang@example.com", now - timedelta(days=1))
    tombstones = Tombstones(redis, Digests(ERASURE_KEYS))
    assert await tombstones.find({0: "zhang@example.com"}, now - timedelta(hours=1)) == {0}
    assert len(await tombstones.read()) == await tombstones.count() == 1


@pytest.mark.parametrize("keys", [(), ERASURE_KEYS])
async def test_without_a_tombstone_or_a_key_no_recipient_is_erased(redis: Redis, keys: tuple[SecretStr, ...]) -> None:
    assert await Tombstones(redis, Digests(keys)).find({0: "zhang@example.com"}, datetime.now(UTC)) == frozenset()
