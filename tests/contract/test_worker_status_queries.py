"""The worker asks the provider about unknown results instead of sending again."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from imsg_broker.port import Broker
from imsg_contract.results import Again, Refused, Result, Sent, Unknown
from imsg_contract.topology import CANCELS, CANCELS_COMPLETE, Lane
from imsg_contract.wire import Job, Recipient
from imsg_delivery.channel import Terms
from imsg_delivery.consumer import Worker
from imsg_people.tombstones import Digests, Tombstone, Tombstones
from imsg_runtime.redis import Redis
from imsg_runtime.redis import connect as connect_redis
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import (
    ERASURE_KEYS,
    SHORT,
    HistoryListener,
    accept,
    address,
    job,
    worker_of,
)

TERMS = Terms(
    chunk_size=1_000,
    call_size=100,
    concurrency={Lane.PRIORITY: 4, Lane.NORMAL: 4, Lane.BULK: 2},
    uncertain="stop",
    query_after_s=(1, 2, 4),
)

UNSEEN = Unknown("provider", "timeout", "no answer came")
LATER = Unknown("provider", "not_found", "not listed yet")
TAKEN = Sent("provider", "biz-1", "listed")
NEVER = Again("provider", "not_taken", "certainly not listed")


class Provider:
    """A provider with prepared answers: n → answers to its sends, and to its queries."""

    def __init__(self) -> None:
        self.sends: dict[int, list[Result]] = {}
        self.answers: dict[int, list[Result]] = {}
        self.sent: Counter[int] = Counter()
        self.asked: Counter[int] = Counter()
        self.calls: list[int] = []
        self.taken_by: list[str | None] = []
        """The providers that the querying copies named."""
        self.open = asyncio.Event()
        self.open.set()


class ProviderChannel:
    """Sends and asks by the provider's script."""

    method = "smtp"

    def __init__(self, provider: Provider, terms: Terms) -> None:
        self.terms = terms
        self._provider = provider

    async def prepare(self, job: Job) -> str:
        """Prepare nothing."""
        return job.name

    async def deliver(self, job: Job, prepared: str, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Answer the next send of each."""
        assert prepared == job.name
        self._provider.sent.update(recipient.n for recipient in recipients)
        await self._provider.open.wait()
        return {
            recipient.n: _next(self._provider.sends, recipient.n, Sent("provider", "biz-0")) for recipient in recipients
        }

    async def query_status(self, job: Job, prepared: str, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Answer the next question about each."""
        assert prepared == job.name
        self._provider.asked.update(recipient.n for recipient in recipients)
        self._provider.calls.append(len(recipients))
        self._provider.taken_by.append(job.taken_by)
        return {recipient.n: _next(self._provider.answers, recipient.n, TAKEN) for recipient in recipients}


def _next(told: dict[int, list[Result]], n: int, otherwise: Result) -> Result:
    return told[n].pop(0) if told.get(n) else otherwise


def working(
    broker: Broker, redis_url: str, provider: Provider, terms: Terms = TERMS
) -> AbstractAsyncContextManager[asyncio.Event]:
    """Run a worker over the provider."""
    return worker_of(ProviderChannel(provider, terms), broker, redis_url)


@pytest.fixture
def provider() -> Provider:
    """Open a provider that takes everything."""
    return Provider()


async def test_what_is_found_settles_and_is_sent_once(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    new = job(3)
    provider.sends = {0: [UNSEEN], 1: [UNSEEN]}
    provider.answers = {0: [LATER, TAKEN], 1: [Refused("provider", "550", "listed as failed")]}
    async with working(broker, redis_url, provider):
        await accept(broker, new)
        await history.wait_settled(new.request, 3)
    assert history.statuses(new.request) == {
        0: ["retrying", "retrying", "sent"],
        1: ["retrying", "failed"],
        2: ["sent"],
    }
    assert (history.last(new.request, 0).provider_id, history.last(new.request, 0).attempt) == ("biz-1", 1)
    assert provider.sent == {0: 1, 1: 1, 2: 1}
    assert provider.asked == {0: 2, 1: 1}
    assert provider.calls == [2, 1]
    assert provider.taken_by == ["provider", "provider"]


async def test_who_is_asked_is_who_may_have_taken_the_last_attempt(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    """Each recipient's own provider is queried, though one call had both; after a certain no, none is named."""
    new = job(2)
    elsewhere = replace(UNSEEN, provider="second")
    provider.sends = {0: [UNSEEN, elsewhere], 1: [elsewhere]}
    provider.answers = {0: [NEVER, TAKEN], 1: [TAKEN]}
    async with working(broker, redis_url, provider):
        await accept(broker, new)
        await history.wait_settled(new.request, 2)
    assert sorted(map(str, provider.taken_by)) == ["provider", "second", "second"]


async def test_what_was_certainly_not_taken_is_sent_again(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    new = job()
    provider.sends, provider.answers = {0: [UNSEEN]}, {0: [NEVER]}
    async with working(broker, redis_url, provider):
        await accept(broker, new)
        await history.wait_settled(new.request)
    assert history.statuses(new.request) == {0: ["retrying", "retrying", "sent"]}
    assert history.last(new.request).attempt == 2
    assert (provider.sent, provider.asked) == ({0: 2}, {0: 1})


async def test_each_unknown_attempt_is_asked_about_anew(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    new = job()
    provider.sends, provider.answers = {0: [UNSEEN, UNSEEN]}, {0: [NEVER, LATER, TAKEN]}
    async with working(broker, redis_url, provider):
        await accept(broker, new)
        await history.wait_settled(new.request)
    assert history.last(new.request).status == "sent"
    assert (provider.sent, provider.asked) == ({0: 2}, {0: 3})


async def test_what_stays_unknown_ends_uncertain_and_unrepeated(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    new = job()
    provider.sends, provider.answers = {0: [UNSEEN]}, {0: [LATER] * 9}
    async with working(broker, redis_url, provider):
        await accept(broker, new)
        await history.wait_settled(new.request)
    assert history.statuses(new.request) == {0: ["retrying"] * 3 + ["uncertain"]}
    assert (provider.sent, provider.asked) == ({0: 1}, {0: 3})


async def test_what_stays_unknown_is_repeated_where_that_is_the_rule(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    new = job()
    provider.sends, provider.answers = {0: [UNSEEN]}, {0: [LATER]}
    async with working(broker, redis_url, provider, replace(TERMS, uncertain="repeat", query_after_s=(1,))):
        await accept(broker, new)
        await history.wait_settled(new.request)
    assert history.last(new.request).status == "sent"
    assert (provider.sent, provider.asked) == ({0: 2}, {0: 1})


@pytest.mark.usefixtures("_life_ends_at_delay")
async def test_asking_goes_on_past_the_end_of_life(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    found, never = job(), job(first=1)
    provider.sends, provider.answers = {0: [UNSEEN], 1: [UNSEEN]}, {1: [NEVER]}
    async with working(broker, redis_url, provider):
        for new in (found, never):
            await accept(broker, new)
        await history.wait_settled(found.request)
        await history.wait_settled(never.request)
    assert history.last(found.request).status == "sent"
    assert history.last(never.request, 1).status == "expired"
    assert provider.sent == {0: 1, 1: 1}


async def test_an_expired_claim_is_asked_about_before_anything_is_sent_again(
    broker: Broker, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    new = job(2)
    provider.open.clear()

    async def at_work() -> bool:
        return provider.sent.total() == 2

    async with connect_redis(redis_url) as redis:
        await redis.call("HSET", CANCELS, CANCELS_COMPLETE, 1)  # as scheduler does
        stopping = asyncio.Event()
        dying = Worker(
            ProviderChannel(provider, TERMS),
            broker,
            redis,
            metrics=CollectorRegistry(),
            stopping=stopping,
            durations=SHORT,
        )
        running = asyncio.create_task(dying.run())
        await accept(broker, new)
        await eventually(at_work)
        running.cancel()
        await asyncio.wait({running})
    provider.open.set()
    provider.answers = {1: [NEVER]}
    async with working(broker, redis_url, provider):
        await history.wait_settled(new.request, 2)
    assert history.last(new.request, 0).status == "sent"
    assert history.last(new.request, 1).status == "sent"
    assert provider.sent == {0: 1, 1: 2}


async def test_an_erased_recipient_is_not_queried_and_the_others_of_the_chunk_are(
    broker: Broker, redis: Redis, redis_url: str, history: HistoryListener, provider: Provider
) -> None:
    new = job(2)
    provider.sends, provider.answers = {0: [UNSEEN], 1: [UNSEEN]}, {1: [TAKEN]}
    provider.open.clear()
    async with working(broker, redis_url, provider):
        await accept(broker, new)

        async def are_tried() -> bool:
            return provider.sent.total() == 2

        await eventually(are_tried)
        digests = Digests(ERASURE_KEYS)
        stone = Tombstone("0" * 32, digests.of(address(0)), datetime.now(UTC))
        await Tombstones(redis, digests).write([stone])
        provider.open.set()
        await history.wait_settled(new.request, 2)
    assert history.statuses(new.request) == {0: ["retrying", "uncertain"], 1: ["retrying", "sent"]}
    assert history.last(new.request, 0).code == "erased"
    assert provider.asked == {1: 1}
