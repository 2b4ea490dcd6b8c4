"""Caps are counted at the claim, once a message; what is too many settles as `recipient_cap`, the others are sent."""

from imsg_broker.port import Broker
from imsg_contract.topology import CAPS
from imsg_contract.wire import Category, Job, Recipient
from imsg_limits.caps import CapRow, encode_caps
from imsg_runtime.redis import Redis
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import HistoryListener, ScriptedProvider, accept, job, worker_at

ROWS = (
    CapRow("one-user", "smtp", Category.NOTICE, "user", "hour", 2),
    CapRow("all-users", "smtp", Category.NOTICE, "all", "day", 3),
)


def to(*addresses: str, user: int = 0) -> Job:
    """Return a job of a user's to these addresses."""
    recipients = tuple(Recipient(n=n, to=address, address=address) for n, address in enumerate(addresses))
    return job(len(addresses), recipients=recipients, user_id=f"{user:032}")


async def test_what_is_too_many_for_one_address_settles_and_the_rest_of_the_list_goes(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    """Two per user, three of all users; retries count once, and a refused recipient uses nothing up."""
    await redis.call("SET", CAPS, encode_caps(ROWS))
    first = to("li@example.com")
    provider.answer(0, {"result": "again"})
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, first)
        await history.wait_settled(first.request)

        async def send(new: Job) -> list[tuple[str, str | None]]:
            await accept(broker, new)
            await history.wait_settled(new.request, len(new.recipients))
            ends = [history.last(new.request, n) for n in range(len(new.recipients))]
            return [(str(end.status), end.code) for end in ends]

        sent, capped = ("sent", None), ("failed", "recipient_cap")
        assert history.statuses(first.request)[0] == ["retrying", "sent"]
        assert await send(to("li@example.com")) == [sent]
        assert await send(to("li@example.com")) == [capped]
        many = to("wang@example.com", "LI@example.com", "zhao@example.com")
        assert await send(many) == [sent, capped, sent]
        end = history.last(many.request, 1)
        assert end.attempt == 0
        assert "the cap one-user, 2 in a hour" in str(end.detail)
        assert await send(to("li@example.com", user=1)) == [sent]
        assert await send(to("li@example.com", user=1)) == [capped]
        assert await send(to("li@example.com", user=2)) == [capped]
        assert provider.count(many.request) == {0: 1, 2: 1}
    keys = await redis.call("KEYS", "imsg:capped:*")
    assert len(keys) == 3
    assert not [key for key in keys if b"example" in key]


async def test_a_message_that_cannot_be_counted_waits_and_is_sent_once_it_can(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    """What stands under the address' name is of another type here, so that Redis refuses to read it."""
    await redis.call("SET", CAPS, encode_caps(ROWS))
    probe, new = to("li@example.com"), to("li@example.com")
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, probe)
        await history.wait_settled(probe.request)
        (key,) = await redis.call("KEYS", "imsg:capped:*")
        await redis.call("SET", key, "not a sorted set")
        await accept(broker, new)

        async def waits() -> bool:
            return history.statuses(new.request).get(0, [])[:1] == ["retrying"]

        await eventually(waits)
        assert (history.last(new.request).code, provider.count(new.request)) == ("caps_unknown", {})
        await redis.call("DEL", key)
        await history.wait_settled(new.request)
    assert history.last(new.request).status == "sent"
