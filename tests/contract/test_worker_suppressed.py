"""Suppressed recipients are looked up at the claim and settle as `suppressed`; the others are sent (ADR 39)."""

from imsg_broker.port import Broker
from imsg_contract.suppressions import Entry, Reason, write_entries
from imsg_contract.topology import SUPPRESSED_COMPLETE, suppressed_key
from imsg_contract.wire import Category
from imsg_runtime.redis import Redis
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import SENT_UNSEEN, HistoryListener, ScriptedProvider, accept, address, job, worker_at

KEY = suppressed_key("smtp")

FOR_ALL = Entry(Reason.HARD_BOUNCE)


async def suppress(redis: Redis, *addresses: str, entry: Entry = FOR_ALL) -> None:
    """Write the mirror as the catalog does, whole."""
    await redis.call("HSET", KEY, SUPPRESSED_COMPLETE, 1)
    for suppressed in addresses:
        await redis.call("HSET", KEY, suppressed, write_entries([entry]))


async def test_of_a_list_and_of_singles_the_suppressed_settle_and_the_others_go(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    await suppress(redis, address(77), address(0))
    many, single = job(120), job()
    async with worker_at(broker, redis_url, provider.port, looks_up_suppressions=True):
        await accept(broker, many)
        await accept(broker, single)
        await history.wait_settled(many.request, 120)
        await history.wait_settled(single.request)
    for request, n in ((many.request, 77), (many.request, 0), (single.request, 0)):
        last = history.last(request, n)
        assert (last.status, last.code, last.attempt) == ("failed", "suppressed", 0)
        assert "hard_bounce" in str(last.detail)
    assert provider.count(many.request) == dict.fromkeys(set(range(120)) - {0, 77}, 1)
    assert not provider.count(single.request)


async def test_one_who_unsubscribed_from_a_sender_gets_what_others_send(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    await suppress(redis, address(0), entry=Entry(Reason.UNSUBSCRIBE, "news", "marketing"))
    content = {"subject": "x", "text": "y"}
    of_news = job(content={**content, "sender": "news"}, category=Category.MARKETING)
    others = [job(content=content, category=Category.MARKETING), job(content={**content, "sender": "news"})]
    async with worker_at(broker, redis_url, provider.port, looks_up_suppressions=True):
        for new in (of_news, *others):
            await accept(broker, new)
            await history.wait_settled(new.request)
    assert history.last(of_news.request).code == "suppressed"
    assert [history.last(other.request).status for other in others] == ["sent", "sent"]


async def test_what_waits_for_its_next_attempt_is_given_up_and_what_the_provider_may_have_is_uncertain(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    await suppress(redis)
    new = job(2)
    provider.answer(0, {"result": "again"})
    provider.answer(1, SENT_UNSEEN)
    provider.open.clear()
    async with worker_at(broker, redis_url, provider.port, looks_up_suppressions=True):
        await accept(broker, new)

        async def are_tried() -> bool:
            return provider.under_way == 2

        await eventually(are_tried)
        await suppress(redis, address(0), address(1))
        provider.open.set()
        await history.wait_settled(new.request, 2)
    assert history.statuses(new.request) == {0: ["retrying", "failed"], 1: ["retrying", "uncertain"]}
    ends = [history.last(new.request, n) for n in range(2)]
    assert [(end.status, end.code) for end in ends] == [("failed", "suppressed"), ("uncertain", "suppressed")]
    assert provider.asked == {0: 1, 1: 1}


async def test_a_flushed_mirror_holds_marketing_until_it_is_back_and_nothing_else(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    notice, marketing = job(), job(category=Category.MARKETING)
    async with worker_at(broker, redis_url, provider.port, looks_up_suppressions=True):
        await accept(broker, marketing)
        await accept(broker, notice)
        await history.wait_settled(notice.request)

        async def waits() -> bool:
            return history.statuses(marketing.request).get(0, [])[:1] == ["retrying"]

        await eventually(waits)
        assert history.last(marketing.request).code == "suppressions_unknown"
        await suppress(redis)
        await history.wait_settled(marketing.request)
    assert history.last(notice.request).status == "sent"
    assert history.last(marketing.request).status == "sent"
