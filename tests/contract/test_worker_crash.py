"""A worker that is killed, or loses its broker or its claims: nothing lost, few duplicates."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from imsg_broker.port import Broker
from imsg_contract.topology import Lane, Topology
from imsg_contract.wire import Job
from imsg_delivery.channel import Terms
from imsg_delivery.claims.store import BREAKS
from imsg_runtime.redis import Redis
from imsg_testing.brokers import open_ready
from imsg_testing.processes import Process, descendants
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import TERMS, HistoryListener, ScriptedProvider, accept, job, worker_at

pytestmark = pytest.mark.long

IN_FLIGHT = TERMS.concurrency[Lane.BULK]

Start = Callable[..., Process]


@pytest.fixture(params=["rabbit_url", pytest.param("valkey_url", marks=pytest.mark.release)])
def broker_url(request: pytest.FixtureRequest) -> str:
    """Run on both brokers: what a killed worker held comes back from each in its own way."""
    return str(request.getfixturevalue(request.param))


@pytest.fixture
async def start(
    broker: Broker, broker_url: str, redis_url: str, provider: ScriptedProvider, tmp_path: Path
) -> AsyncIterator[Start]:
    """Start workers as processes of their own; they end with the test."""
    started: list[Process] = []
    arguments = [broker_url, redis_url, str(provider.port), broker.topology.prefix]

    def start(terms: Terms = TERMS) -> Process:
        command = [sys.executable, "-m", "imsg_testing.worker_harness", *arguments, json.dumps(asdict(terms))]
        process = Process(command, log=tmp_path / f"{len(started)}.log")
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.close()


async def test_a_kill_in_the_middle_of_a_bulk_costs_no_more_than_what_was_in_flight(
    broker: Broker, history: HistoryListener, provider: ScriptedProvider, start: Start
) -> None:
    new = job(500)
    provider.latency_s = 0.01
    kills = 0
    worker = start()
    await accept(broker, new)
    for threshold in (60, 200, 350):

        async def far_enough(threshold: int = threshold) -> bool:
            return len(provider.taken) >= threshold

        await eventually(far_enough, 60)
        worker.kill()
        kills += 1
        worker = start()
    await history.wait_settled(new.request, 500, within_s=60)
    taken = provider.count(new.request)
    assert set(taken) == set(range(500))
    assert sum(taken.values()) - 500 <= kills * IN_FLIGHT
    for n, statuses in history.statuses(new.request).items():
        assert statuses[-1] == "sent", n
        assert set(statuses) <= {"retrying", "sent"}, n
    assert not history.dead
    ends = {
        n: {outcome.provider_id for outcome in heard if outcome.status == "sent"}
        for (_, n), heard in history.outcomes.items()
    }
    assert all(len(end) == 1 for end in ends.values())


async def test_a_kill_in_the_middle_of_many_singles_costs_no_more_than_what_was_in_flight(
    broker: Broker, history: HistoryListener, provider: ScriptedProvider, start: Start
) -> None:
    """They are carried in groups, and claimed only where there is a call for them."""
    singles = [job() for _ in range(80)]
    provider.latency_s = 0.02
    worker = start()
    for queued_job in singles:
        await accept(broker, queued_job)

    async def far_enough() -> bool:
        return len(provider.taken) >= 30

    await eventually(far_enough, 60)
    worker.kill()
    start()
    for single in singles:
        await history.wait_settled(single.request, within_s=60)
    assert {taken.request for taken in provider.taken} == {queued_job.request for queued_job in singles}
    assert len(provider.taken) - 80 <= TERMS.concurrency[Lane.NORMAL]
    assert not history.dead


async def test_two_workers_killed_at_once_lose_nothing(
    broker: Broker, history: HistoryListener, provider: ScriptedProvider, start: Start
) -> None:
    new, singles = job(200), [job() for _ in range(30)]
    provider.latency_s = 0.01
    workers = [start(), start()]
    for queued_job in (new, *singles):
        await accept(broker, queued_job)

    async def far_enough() -> bool:
        return len(provider.taken) >= 60

    await eventually(far_enough, 60)
    for worker in workers:
        worker.kill()
    start()
    await history.wait_settled(new.request, 200, within_s=60)
    for single in singles:
        await history.wait_settled(single.request, within_s=60)
    assert len(provider.taken) - 230 <= 2 * TERMS.concurrency[Lane.PRIORITY]
    assert not history.dead


async def test_a_poison_job_is_buried_alone_after_it_killed_three_workers(
    broker: Broker, redis: Redis, history: HistoryListener, provider: ScriptedProvider, start: Start
) -> None:
    poison = job(content={"subject": "die", "text": ""})
    neighbours = [job() for _ in range(25)]
    for queued_job in (*neighbours[:12], poison, *neighbours[12:]):
        await accept(broker, queued_job)
    worker, claims = start(), list[set[tuple[str, bytes]]]()

    async def is_dead_lettered() -> bool:
        nonlocal worker
        if not worker.runs:
            claims.append(await find_claimed(redis, neighbours))
            worker = start()
        return bool(history.dead)

    await eventually(is_dead_lettered, 120)
    for neighbour in neighbours:
        await history.wait_settled(neighbour.request)
    assert len(claims) == 3, "it killed three workers"
    assert [Job.model_validate_json(body).request for _, body in history.dead] == [poison.request]
    assert {history.last(neighbour.request).status for neighbour in neighbours} == {"sent"}
    # Only the first death can repeat neighbours, those in flight beside it; from then on the poison is taken alone.
    first, *later = claims
    taken = {neighbour.request: provider.count(neighbour.request)[0] for neighbour in neighbours}
    assert {request for request, times in taken.items() if times > 1} <= {request for request, _ in first}
    assert set(taken.values()) <= {1, 2}
    assert len(first) < TERMS.concurrency[Lane.NORMAL]
    assert all(claim <= first for claim in later), "nobody was in flight beside it again"


async def find_claimed(redis: Redis, jobs: Sequence[Job]) -> set[tuple[str, bytes]]:
    """Find who is claimed and has no result yet, with the claim: what the dead worker may have been sending."""
    entries = {job.request: await redis.call("HGET", f"imsg:ledger:{job.request}/0", "0") for job in jobs}
    return {(request, entry) for request, entry in entries.items() if entry is not None and entry.startswith(b"c ")}


async def test_a_job_that_spins_is_dead_lettered_after_the_third_time_and_affects_no_other(
    broker: Broker, history: HistoryListener, start: Start
) -> None:
    """The worker is ended by the parent that watches it, and started anew by it too."""
    poison = job(content={"subject": "spin", "text": ""})
    neighbours = [job() for _ in range(25)]
    for queued_job in (*neighbours[:12], poison, *neighbours[12:]):
        await accept(broker, queued_job)
    worker = start()

    async def is_dead_lettered() -> bool:
        assert worker.runs, worker.last_lines()
        return bool(history.dead)

    await eventually(is_dead_lettered, 120)
    for neighbour in neighbours:
        await history.wait_settled(neighbour.request)
    assert [Job.model_validate_json(body).request for _, body in history.dead] == [poison.request]
    assert history.dead[0][0] == "broke the worker 3 times"
    assert {history.last(neighbour.request).status for neighbour in neighbours} == {"sent"}
    said = worker.last_lines(10_000)
    assert said.count("of processor time without a sign of life") == 3
    assert said.count('worker_harness.py", line') >= 3, "where it stood"


OTHERS_TAKE_OVER_S = 6.0
"""Past the leases of a claim (1 s) and of a consumer of streams (5 s)."""


@pytest.mark.timeout(400)
@pytest.mark.long
@pytest.mark.parametrize("whom", ["the worker alone", "all of it"])
async def test_who_is_stopped_again_and_again_over_a_message_costs_it_nothing(
    broker: Broker, history: HistoryListener, provider: ScriptedProvider, start: Start, whom: str
) -> None:
    """A stopped worker is killed by its parent and replaced; stopped with its parent it resumes, and shuts down."""
    single, part = job(), job(3)
    provider.open.clear()
    worker = start()
    for queued_job in (single, part):
        await accept(broker, queued_job)
    seen = 0
    for _ in range(BREAKS + 1):
        await eventually(partial(_is_asked, provider, seen), 60)
        if whom == "the worker alone":
            (pid,) = descendants(worker.pid)
            os.kill(pid, signal.SIGSTOP)
            await eventually(partial(_is_replaced, worker, pid), 60)
            seen = provider.asked.total()  # by then the dead one's last calls have arrived, and its successor loads
        else:
            worker.pause()
            seen = await _count_asked(provider)
            other = start()
            await asyncio.sleep(OTHERS_TAKE_OVER_S)
            worker.end(within_s=60)
            assert worker.exit_code == 0, worker.last_lines(60)
            worker = other
    provider.open.set()
    await history.wait_settled(single.request, within_s=60)
    await history.wait_settled(part.request, 3, within_s=60)
    assert not history.dead
    assert {heard[-1].status for heard in history.outcomes.values()} == {"sent"}


async def _is_replaced(worker: Process, pid: int) -> bool:
    return descendants(worker.pid) not in ([pid], [])


async def _count_asked(provider: ScriptedProvider) -> int:
    """Return the number of calls of a stopped worker, including those on their way, once it no longer grows."""
    count = -1
    while (now := provider.asked.total()) != count:
        count = now
        await asyncio.sleep(0.2)
    return count


async def _is_asked(provider: ScriptedProvider, before: int) -> bool:
    return provider.asked.total() > before


async def test_a_recipient_that_kills_its_worker_does_not_take_the_list_with_it(
    broker: Broker, history: HistoryListener, provider: ScriptedProvider, start: Start
) -> None:
    new = job(30)
    provider.always(11, {"result": "die"})
    await accept(broker, new)
    worker, deaths = start(), 0

    async def is_dead_lettered() -> bool:
        nonlocal worker, deaths
        if not worker.runs:
            deaths += 1
            worker = start()
        return bool(history.dead)

    await eventually(is_dead_lettered, 90)
    await history.wait_settled(new.request, 29)
    assert deaths <= 6
    assert {n for n, statuses in history.statuses(new.request).items() if statuses[-1] == "sent"} == set(range(30)) - {
        11
    }
    ((_, body),) = history.dead
    assert [recipient.n for recipient in Job.model_validate_json(body).recipients] == [11]


async def test_a_worker_that_loses_its_broker_begins_no_further_recipient(  # noqa: PLR0917  fixtures
    broker: Broker, broker_url: str, redis: Redis, redis_url: str, history: HistoryListener, provider: ScriptedProvider
) -> None:
    new = job(20)
    provider.open.clear()
    async with worker_at(broker, redis_url, provider.port):
        await accept(broker, new)

        async def in_flight() -> bool:
            return provider.under_way == IN_FLIGHT

        await eventually(in_flight)
        await cut(broker_url, redis)
        asked = set(provider.asked)
        provider.open.set()
        await history.wait_settled(new.request, 20, within_s=60)
    assert len(asked) == IN_FLIGHT
    assert provider.count(new.request) == dict.fromkeys(range(20), 1)
    assert {statuses[-1] for statuses in history.statuses(new.request).values()} == {"sent"}


async def test_without_its_ledger_a_worker_sends_nothing_and_goes_on_when_it_is_back(
    broker: Broker, history: HistoryListener, provider: ScriptedProvider
) -> None:
    with Valkey() as ledger:
        first, meanwhile = job(60), job()
        provider.latency_s = 0.02
        async with worker_at(broker, ledger.url, provider.port):
            await accept(broker, first)

            async def some() -> bool:
                return len(provider.taken) >= 10

            await eventually(some)
            ledger.kill()
            await accept(broker, meanwhile)

            async def still() -> bool:
                return provider.under_way == 0

            await eventually(still)
            asked = provider.asked.total()
            assert asked <= 60
            with pytest.raises(TimeoutError):
                await history.wait_settled(meanwhile.request, within_s=3)
            assert provider.asked.total() == asked
            ledger.start()
            await history.wait_settled(first.request, 60)
            await history.wait_settled(meanwhile.request)
    assert provider.count(first.request) == dict.fromkeys(range(60), 1)
    assert provider.count(meanwhile.request) == {0: 1}


async def test_broker_and_ledger_on_one_server_may_go_and_come_together(topology: Topology) -> None:
    """As in embedded mode, where one Valkey is both."""
    provider, history = ScriptedProvider(), HistoryListener()
    provider.latency_s = 0.01
    new, single = job(100), job()
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(Valkey())
        await stack.enter_async_context(provider.running())
        broker = await stack.enter_async_context(open_ready(valkey.url, topology))
        await stack.enter_async_context(history.listening(broker))
        await stack.enter_async_context(worker_at(broker, valkey.url, provider.port))
        await accept(broker, new)

        async def some() -> bool:
            return len(provider.taken) >= 20

        await eventually(some)
        valkey.restart()
        await accept(broker, single)
        await history.wait_settled(new.request, 100, within_s=60)
        await history.wait_settled(single.request)
    assert provider.count(new.request) == dict.fromkeys(range(100), 1)


async def test_a_flushed_ledger_leaves_redelivered_parts_to_the_rule_of_the_unknown(
    broker: Broker, redis: Redis, history: HistoryListener, provider: ScriptedProvider, start: Start
) -> None:
    new = job(8)
    provider.open.clear()
    worker = start(replace(TERMS, uncertain="stop"))
    await accept(broker, new)

    async def in_flight() -> bool:
        return provider.under_way == IN_FLIGHT

    await eventually(in_flight, 60)
    worker.kill()
    provider.open.set()
    await redis.call("FLUSHDB")
    start(replace(TERMS, uncertain="stop"))
    await history.wait_settled(new.request, 8)
    assert history.statuses(new.request) == {n: ["uncertain"] for n in range(8)}
    assert history.last(new.request).code == "ledger_lost"
    assert provider.asked == dict.fromkeys(range(IN_FLIGHT), 1)


async def cut(broker_url: str, redis: Redis) -> None:
    """Cut every connection to the broker from the broker's side."""
    split = urlsplit(broker_url)
    if split.scheme == "redis":
        await redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        return
    port = parse_qs(split.query)["management_port"][0]
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}/api", auth=("guest", "guest"), timeout=60
    ) as client:

        async def all_cut() -> bool:
            names = [
                connection["name"] for connection in (await client.get("/connections")).json() if "name" in connection
            ]
            for name in names:
                await client.delete(f"/connections/{name}")
            return bool(names)

        await eventually(all_cut, 60)
