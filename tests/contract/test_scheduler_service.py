"""Scheduler: what is kept until it is due goes to its channel once, under its own id."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr

from imsg_broker.port import Broker, Deliveries
from imsg_channels import METHODS
from imsg_contract.ids import new_id
from imsg_contract.topology import ERASED, LEG, PROGRESS, SCHEDULE, WINDOWS, Lane, Topology, next_due_key, user_key
from imsg_contract.wire import Category, Job, NextLeg, Outcome, Outcomes, Progress, Recipient, Status
from imsg_database.address import read_url
from imsg_database.migrate import migrate
from imsg_delivery.claims.store import BORN_KEY
from imsg_delivery.claims.store import KEY as CLAIMS
from imsg_limits.quota import Charged, Cost, Quota
from imsg_limits.windows import DAYS, Calendar, Window
from imsg_people.tombstones import Digests, Tombstone, Tombstones
from imsg_runtime.redis import Redis
from imsg_scheduler.cancels import Totals
from imsg_scheduler.main import Settings, app
from imsg_scheduler.migrations import MIGRATIONS
from imsg_scheduler.release import BATCH
from imsg_scheduler.store import to_ms, write_row
from imsg_scheduler.tables import ALL_MESSAGES, CANCELS, FALLBACK_LEGS, FALLBACKS, METADATA, SCHEDULED
from imsg_testing.brokers import arrivals, open_ready
from imsg_testing.callers import id_of, user
from imsg_testing.databases import on_both_databases, open_database
from imsg_testing.history import job, request_id
from imsg_testing.loop_turns import MAX_TURN_S, measured_turns
from imsg_testing.proxy import Proxy
from imsg_testing.quiet_zone import find_quiet_zone
from imsg_testing.quota import cache_user
from imsg_testing.servers import Valkey
from imsg_testing.waiting import eventually
from imsg_testing.worker_harness import ScriptedProvider, worker_at

KEY = SecretStr("a key between services, long enough")
ERASURE = SecretStr("an erasure key, long enough for all of this")
DIGESTS = Digests((ERASURE,))
USER = "zhang"
WITHIN_S = 60
TOPOLOGY = Topology(methods=METHODS)

LOOKS = (
    "imsg_people.erasing.POLL_S",
    "imsg_scheduler.cancel_settling.POLL_S",
    "imsg_scheduler.fallbacks.POLL_S",
    "imsg_scheduler.mirror.POLL_S",
    "imsg_scheduler.release.MEASURE_S",
    "imsg_scheduler.release.POLL_S",
)
"""After these it looks whether something is due, who was erased, and what a cancel has come to."""


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOOKS:
        monkeypatch.setattr(name, 0.05)
    monkeypatch.setattr("imsg_runtime.watermark.QUIET_MS", 100)


@asynccontextmanager
async def run_scheduler(
    database_url: str, redis_url: str, *, broker_url: str = "", ahead: Callable[[], timedelta] = timedelta
) -> AsyncIterator[httpx.AsyncClient]:
    """Run a scheduler, whose own clock may be ahead, until the context ends; yield a client of an operator."""
    service = app(
        Settings(
            broker_url=broker_url or redis_url,
            redis_url=redis_url,
            database_url=database_url,
            service_key=(KEY,),
            erasure_key=(ERASURE,),
        ),
        now=lambda: datetime.now(UTC) + ahead(),
    )
    async with service.running():

        async def is_ready() -> bool:
            return not service.unmet()

        await eventually(is_ready, WITHIN_S)
        headers = {"x-imsg-key": KEY.get_secret_value(), **user("an operator", role="operator").headers()}
        transport = httpx.ASGITransport(service)
        async with httpx.AsyncClient(transport=transport, base_url="http://scheduler", headers=headers) as client:
            yield client


@pytest.fixture
async def streams(redis_url: str, redis: Redis) -> AsyncIterator[Broker]:
    """Open the broker, with a user who may send in the cache."""
    fields: dict[str, str | int] = {"epoch": 0, "role": "user", "available": 1, "id": id_of(USER), "since": 0}
    await redis.call("HSET", user_key(USER), *(part for field in fields.items() for part in field))
    await redis.call("SET", WINDOWS, Calendar().model_dump_json())
    await redis.call("SET", BORN_KEY, 1)  # its data is old
    async with open_ready(redis_url, TOPOLOGY) as broker:
        yield broker


def scheduled(due_in_s: float, **given: Any) -> Job:  # noqa: ANN401  any field of a Job
    """Make a job that is due in so many seconds, and is tried for an hour then.

    It is due at a whole millisecond, as `read_send_at` has it: Redis' clock, which releases it, knows no less.
    """
    due_at = datetime.now(UTC) + timedelta(seconds=due_in_s)
    due_at = due_at.replace(microsecond=due_at.microsecond // 1_000 * 1_000)
    return job(username=USER, due_at=due_at, expires_at=due_at + timedelta(hours=1), **given)


async def publish(broker: Broker, jobs: Sequence[Job]) -> None:
    """Publish jobs as the gateway does."""
    for accepted in jobs:
        await broker.publish(accepted.encode(), TOPOLOGY.new(SCHEDULE))


def count_rows(database_url: str) -> int:
    """Count the jobs that wait."""
    with open_database(database_url) as engine, engine.connect() as connection:
        return len(connection.execute(SCHEDULED.select()).all())


async def wait_for_requests(database_url: str, *jobs: Job) -> None:
    """Wait until these jobs wait."""

    def read() -> set[str]:
        with open_database(database_url) as engine, engine.connect() as connection:
            return {row.request for row in connection.execute(SCHEDULED.select())}

    async def are_there() -> bool:
        return {job.request for job in jobs} <= await asyncio.to_thread(read)

    await eventually(are_there, WITHIN_S)


async def wait_for_rows(database_url: str, count: int) -> None:
    """Wait until so many jobs wait."""

    async def is_so() -> bool:
        return await asyncio.to_thread(count_rows, database_url) == count

    await eventually(is_so, WITHIN_S)


@on_both_databases
def test_the_migrations_make_the_tables_that_the_code_describes(database_url: str) -> None:
    migrate(read_url(database_url), MIGRATIONS)
    with open_database(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": MIGRATIONS.version_table})
        assert compare_metadata(context, METADATA) == []


@on_both_databases
async def test_what_is_due_goes_once_to_its_channel_and_to_history_and_its_life_begins_then(
    streams: Broker, database_url: str, redis_url: str, redis: Redis
) -> None:
    late, later = scheduled(-60), scheduled(3_600)
    async with (
        streams.consume(TOPOLOGY.queue("smtp", Lane.NORMAL), 10) as channel,
        streams.consume(TOPOLOGY.history, 10) as history,
        run_scheduler(database_url, redis_url),
    ):
        await publish(streams, [late, later])
        released = Job.model_validate_json((await arrivals(channel, 1, WITHIN_S))[0].body)
        recorded = [Job.model_validate_json(arrival.body) for arrival in await arrivals(history, 3, WITHIN_S)]
        await wait_for_rows(database_url, 1)

        async def is_next_due_known() -> bool:  # so that a scheduler that is away is seen to be late
            return int(await redis.call("GET", next_due_key("smtp")) or 0) == to_ms(later)

        await eventually(is_next_due_known, WITHIN_S)
    assert released.released_at is not None
    assert released.expires_at - released.released_at == timedelta(hours=1)
    expected = {"released_at": released.released_at, "expires_at": released.expires_at}
    assert released == late.model_copy(update=expected)
    assert [released_job.request for released_job in recorded if released_job.released_at] == [late.request]


async def test_how_late_it_is_is_not_shown_while_redis_is_away(database_url: str, redis_url: str) -> None:
    """Redis has the clock. The last value would tell of what may have changed."""
    with Valkey() as cache:
        async with run_scheduler(database_url, cache.url, broker_url=redis_url) as client:

            async def shows(value: str) -> bool:
                return f"\nimsg_scheduler_overdue_seconds {value}\n" in (await client.get("/metrics")).text

            await eventually(lambda: shows("0.0"))
            cache.stop()
            await eventually(lambda: shows("NaN"))
            cache.start()
            await eventually(lambda: shows("0.0"))


@on_both_databases
async def test_the_urgent_go_first_and_a_crowd_takes_the_lanes_below(
    streams: Broker, database_url: str, redis_url: str
) -> None:
    singles = [scheduled(-60) for _ in range(BATCH + 1)]
    code, listed = scheduled(-1, lane=Lane.PRIORITY), scheduled(-3_600, to=("a@example.com", "b@example.com"))
    jobs = [listed, *singles, code]
    await asyncio.to_thread(migrate, read_url(database_url), MIGRATIONS)
    with open_database(database_url) as engine, engine.begin() as connection:
        connection.execute(SCHEDULED.insert(), [write_row(job) for job in jobs])
    async with run_scheduler(database_url, redis_url):
        await wait_for_rows(database_url, 0)
    depths = {lane: await streams.depth(TOPOLOGY.queue("smtp", lane)) for lane in Lane}
    # The first batch is the code and all singles but two: a crowd. The second one is not full.
    assert depths == {**dict.fromkeys(Lane, 0), Lane.NORMAL: 3, Lane.BULK: len(jobs) - 3}


async def test_a_crash_between_publish_and_removal_repeats_an_id_and_delivers_once(
    streams: Broker, database_url: str, redis_url: str, provider: ScriptedProvider
) -> None:
    released_job = scheduled(-1)
    await asyncio.to_thread(migrate, read_url(database_url), MIGRATIONS)
    for _ in range(2):
        with open_database(database_url) as engine, engine.begin() as connection:
            connection.execute(SCHEDULED.insert(), [{**write_row(released_job), "releasing": 1}])
        async with run_scheduler(database_url, redis_url):
            await wait_for_rows(database_url, 0)
    queue = TOPOLOGY.queue("smtp", Lane.NORMAL)
    assert await streams.depth(queue) == 2

    async def is_consumed() -> bool:
        return await streams.depth(queue) == 0

    async with worker_at(streams, redis_url, provider.port):
        await eventually(is_consumed, WITHIN_S)
    assert provider.count(released_job.request) == {0: 1}


async def test_what_the_broker_delivers_again_after_it_was_sent_is_not_cancelled(
    streams: Broker, database_url: str, redis_url: str, redis: Redis, provider: ScriptedProvider
) -> None:
    due = scheduled(-1)
    async with run_scheduler(database_url, redis_url), worker_at(streams, redis_url, provider.port):
        await publish(streams, [due])

        async def is_sent() -> bool:
            return provider.count(due.request) == {0: 1}

        await eventually(is_sent, WITHIN_S)
        await wait_for_rows(database_url, 0)
    await redis.call("DEL", WINDOWS)  # nothing is released without them
    async with run_scheduler(database_url, redis_url) as client:
        await publish(streams, [due])
        await wait_for_rows(database_url, 1)
        totals = (await client.post(f"/api/requests/{due.request}/cancel")).json()
    assert {name: totals[name] for name in Totals._fields} == {"cancelled": 0, "too_late": 0, "settled": 1}


async def test_two_schedulers_release_every_job_once(postgres_database: str, streams: Broker, redis_url: str) -> None:
    jobs = [scheduled(-1) for _ in range(2 * BATCH)]
    await publish(streams, jobs)
    async with run_scheduler(postgres_database, redis_url), run_scheduler(postgres_database, redis_url):

        async def are_all_released() -> bool:
            depths = [await streams.depth(TOPOLOGY.queue("smtp", lane)) for lane in Lane]
            return sum(depths) >= len(jobs)

        await eventually(are_all_released, WITHIN_S)
        await wait_for_rows(postgres_database, 0)
    depths = [await streams.depth(TOPOLOGY.queue("smtp", lane)) for lane in Lane]
    assert sum(depths) == len(jobs)


def closed(now: datetime) -> Window:
    """Make a window that is closed now, and opens in two hours."""
    since = (now + timedelta(hours=2)).replace(second=0, microsecond=0)
    hours = {"from": since.time(), "to": (since + timedelta(hours=1)).time()}
    fixed = {"id": "night", "methods": ("smtp",), "categories": ("notice",), "zone": "UTC", "holidays": "none"}
    return Window.model_validate({**fixed, **hours, "days": DAYS})


async def put(redis: Redis, *windows: Window) -> None:
    """Publish windows as auth does."""
    await redis.call("SET", WINDOWS, Calendar(windows=windows).model_dump_json(by_alias=True))


async def test_what_is_due_while_its_window_is_closed_is_held_and_goes_when_that_changes(
    streams: Broker, database_url: str, redis_url: str, redis: Redis
) -> None:
    window = closed(datetime.now(UTC))
    await put(redis, window)
    due, code = scheduled(-60), scheduled(-60, category=Category.CODE)
    async with (
        streams.consume(TOPOLOGY.queue("smtp", Lane.NORMAL), 10) as channel,
        streams.consume(TOPOLOGY.history, 10) as history,
        run_scheduler(database_url, redis_url),
    ):
        await publish(streams, [due, code])
        told = [Job.model_validate_json(arrival.body) for arrival in await arrivals(history, 4, WITHIN_S)]
        (held,) = [outcome for outcome in told if outcome.held_until]
        assert (held.request, held.held_by, held.moves) == (due.request, "night", 1)
        assert held.held_until is not None
        assert (held.held_until.time(), held.expires_at) == (window.since, held.held_until + timedelta(hours=1))
        assert Job.model_validate_json((await arrivals(channel, 1, WITHIN_S))[0].body).request == code.request

        await put(redis, window.model_copy(update={"id": "other"}))
        again = Job.model_validate_json((await arrivals(history, 1, WITHIN_S))[0].body)
        assert (again.held_by, again.held_until, again.moves) == ("other", held.held_until, 2)

        await put(redis)
        released = Job.model_validate_json((await arrivals(channel, 1, WITHIN_S))[0].body)
        await wait_for_rows(database_url, 0)
    assert released.request == due.request
    assert released.released_at is not None
    assert released.expires_at - released.released_at == timedelta(hours=1)


async def test_what_a_gateway_holds_by_a_window_that_is_gone_is_sent_now(
    streams: Broker, database_url: str, redis_url: str, redis: Redis
) -> None:
    """It reads the windows every second, and accepts by those that it read last."""
    window = closed(datetime.now(UTC))
    await put(redis, window.model_copy(update={"methods": ("sms",)}))
    until = datetime.now(UTC) + timedelta(hours=2)
    held = job(username=USER, held_until=until, held_by=window.id, expires_at=until + timedelta(hours=1))
    async with (
        streams.consume(TOPOLOGY.queue("smtp", Lane.NORMAL), 10) as channel,
        run_scheduler(database_url, redis_url),
    ):
        await publish(streams, [scheduled(-60)])
        await arrivals(channel, 1, WITHIN_S)  # the windows have been looked at
        await publish(streams, [held])
        released = Job.model_validate_json((await arrivals(channel, 1, WITHIN_S))[0].body)
        await wait_for_rows(database_url, 0)
    assert released.request == held.request


async def test_an_erasure_takes_people_out_of_what_waits_and_out_of_what_is_on_its_way(
    streams: Broker, database_url: str, redis_url: str, redis: Redis
) -> None:
    alone = scheduled(3_600, to=("li@example.com",))
    shared = scheduled(3_600, to=("li@example.com", "wang@example.com"))
    under_way = scheduled(3_600, to=("li@example.com",))
    async with run_scheduler(database_url, redis_url):
        await publish(streams, [alone, shared])
        await wait_for_rows(database_url, 2)
        stone = Tombstone("an erasure", DIGESTS.of("li@example.com"), datetime.now(UTC))
        await Tombstones(redis, DIGESTS).write([stone])
        await publish(streams, [under_way])

        async def is_reported() -> bool:
            return int(await redis.call("HGET", ERASED, "scheduler") or 0) >= stone.at_ms

        await eventually(is_reported, WITHIN_S)
    with open_database(database_url) as engine, engine.connect() as connection:
        (row,) = connection.execute(SCHEDULED.select()).all()
    left = Job.model_validate_json(row.body)
    assert (left.request, [recipient.n for recipient in left.recipients]) == (shared.request, [1])
    assert b"li@example.com" not in row.body


def with_fallback(after_s: int) -> tuple[Job, Job]:
    """Make a job of three people, and its second leg, for which one of them has no address."""
    now = datetime.now(UTC)
    times: dict[str, Any] = {"username": USER, "at": now, "expires_at": now + timedelta(hours=1)}
    root = request_id(now)
    leg = job(request=new_id(now.timestamp()), to=("a", "b"), method="sms", leg=2, leg_of=root, until="sent", **times)
    further = (NextLeg(after_s=after_s, job=leg),)
    to = ("a@example.com", "b@example.com", "c@example.com")
    return job(request=root, to=to, leg=1, leg_of=root, until="sent", fallback=further, **times), leg


def pass_time(database_url: str, of: Job) -> None:
    """Let the time of a request's further legs have come."""
    with open_database(database_url) as engine, engine.begin() as connection:
        plan = Job.model_validate_json(
            connection.execute(FALLBACKS.select().where(FALLBACKS.c.request == of.request)).one().plan
        )
        further = tuple(leg.model_copy(update={"after_s": 0}) for leg in plan.fallback)
        values = {"plan": plan.model_copy(update={"fallback": further}).encode(), "due_ms": 0}
        connection.execute(FALLBACKS.update().where(FALLBACKS.c.request == of.request).values(values))


async def publish_outcome(broker: Broker, of: Job, n: int, status: Status) -> None:
    """Publish the outcome of a message, as history does."""
    outcome = Outcome(request=of.request, n=n, attempt=1, status=status, at=datetime.now(UTC))
    await broker.publish(Outcomes(outcomes=(outcome,)).encode(), TOPOLOGY.new(LEG))


async def wait_for_progress(history: Deliveries, reached: int, not_reached: int) -> None:
    """Wait until a published progress has these counts."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            (delivery,) = await arrivals(history, 1, WITHIN_S)
            if delivery.key != PROGRESS:
                continue
            told = Progress.model_validate_json(delivery.body)
            if (told.reached, told.not_reached) == (reached, not_reached):
                return


@on_both_databases
async def test_a_further_leg_begins_at_once_for_who_failed_and_by_the_time_for_the_others(
    streams: Broker, database_url: str, redis_url: str
) -> None:
    root, leg = with_fallback(after_s=3_600)
    async with (
        streams.consume(TOPOLOGY.queue("smtp", Lane.BULK), 10) as mails,
        streams.consume(TOPOLOGY.queue("sms", Lane.BULK), 10) as texts,
        streams.consume(TOPOLOGY.history, 50) as history,
        run_scheduler(database_url, redis_url),
    ):
        await publish(streams, [root])
        first = Job.model_validate_json((await arrivals(mails, 1, WITHIN_S))[0].body)
        assert (first.request, len(first.recipients), first.fallback) == (root.request, 3, ())
        await publish_outcome(streams, root, 0, Status.FAILED)
        await publish_outcome(streams, root, 2, Status.FAILED)  # who has no address of the second leg
        at_once = Job.model_validate_json((await arrivals(texts, 1, WITHIN_S))[0].body)
        assert (at_once.request, [recipient.n for recipient in at_once.recipients]) == (leg.request, [0])
        await asyncio.to_thread(pass_time, database_url, root)
        by_time = Job.model_validate_json((await arrivals(texts, 1, WITHIN_S))[0].body)
        assert [recipient.n for recipient in by_time.recipients] == [1]
        assert by_time.released_at is not None
        await publish_outcome(streams, root, 1, Status.SENT)  # late, and on its own leg
        await publish_outcome(streams, leg, 0, Status.SENT)
        await wait_for_progress(history, 2, 1)

        async def is_removed() -> bool:
            return await asyncio.to_thread(count_fallbacks, database_url) == 0

        await eventually(is_removed, WITHIN_S)


async def test_what_a_provider_has_in_hand_is_awaited_before_the_next_leg_while_others_go_on(
    streams: Broker, database_url: str, redis_url: str, redis: Redis
) -> None:
    root, leg = with_fallback(after_s=3_600)
    claims = f"{CLAIMS}{root.request}/0"
    async with (
        streams.consume(TOPOLOGY.queue("smtp", Lane.BULK), 10) as mails,
        streams.consume(TOPOLOGY.queue("sms", Lane.BULK), 10) as texts,
        run_scheduler(database_url, redis_url),
    ):
        await publish(streams, [root])
        await arrivals(mails, 1, WITHIN_S)
        await redis.call("HSET", claims, "1", f"c worker {2**50}")  # a worker is sending it
        await asyncio.to_thread(pass_time, database_url, root)
        other = Job.model_validate_json((await arrivals(texts, 1, WITHIN_S))[0].body)
        assert (other.request, [recipient.n for recipient in other.recipients]) == (leg.request, [0])
        ended = datetime.now(UTC)
        await redis.call("HSET", claims, "1", "c worker 1")  # its lease is over
        held_back = Job.model_validate_json((await arrivals(texts, 1, WITHIN_S))[0].body)
        assert [recipient.n for recipient in held_back.recipients] == [1]
        assert held_back.released_at is not None
        assert held_back.released_at > ended - timedelta(milliseconds=2)


async def test_ten_thousand_people_with_two_fallbacks_cost_a_row_and_a_byte_string(
    streams: Broker, database_url: str, redis_url: str
) -> None:
    root, leg = with_fallback(after_s=3_600)
    people = tuple(Recipient(n=n, to=f"{n}@x.cn", address=f"{n}@x.cn") for n in range(10_000))
    legs = [leg.model_copy(update={"request": new_id(n), "leg": n, "recipients": people}) for n in (2, 3)]
    further = tuple(NextLeg(after_s=3_600, job=leg) for leg in legs)
    async with run_scheduler(database_url, redis_url):
        await publish(streams, [root.model_copy(update={"recipients": people, "fallback": further})])

        async def is_kept() -> bool:
            return await asyncio.to_thread(count_fallbacks, database_url) == 1

        await eventually(is_kept, WITHIN_S)
    with open_database(database_url) as engine, engine.connect() as connection:
        (row,) = connection.execute(FALLBACKS.select()).all()
        legs_kept = connection.execute(FALLBACK_LEGS.select()).all()
    assert (len(legs_kept), len(row.people)) == (3, 100_000)  # no row of a person


def count_fallbacks(database_url: str) -> int:
    """Return the number of requests with people who may still be reached."""
    with open_database(database_url) as engine, engine.connect() as connection:
        return len(connection.execute(FALLBACKS.select()).all())


async def test_an_erasure_reaches_the_addresses_of_legs_that_have_not_begun(
    streams: Broker, database_url: str, redis_url: str, redis: Redis
) -> None:
    root, _ = with_fallback(after_s=3_600)
    async with run_scheduler(database_url, redis_url):
        await publish(streams, [root])

        async def is_kept() -> bool:
            return await asyncio.to_thread(count_fallbacks, database_url) == 1

        await eventually(is_kept, WITHIN_S)
        await Tombstones(redis, DIGESTS).write([Tombstone("an erasure", DIGESTS.of("b"), datetime.now(UTC))])

        async def is_erased() -> bool:
            def read() -> bytes:
                with open_database(database_url) as engine, engine.connect() as connection:
                    return bytes(connection.execute(FALLBACKS.select()).one().plan)

            plan = Job.model_validate_json(await asyncio.to_thread(read))
            return [recipient.address for recipient in plan.fallback[0].job.recipients] == ["a"]

        await eventually(is_erased, WITHIN_S)


@on_both_databases
async def test_what_is_cancelled_again_after_a_restart_is_given_back_once(
    streams: Broker, database_url: str, redis_url: str, redis: Redis
) -> None:
    """Also where the scheduler before died after it had given back, and had not noted that."""
    await cache_user(redis, USER, id=id_of(USER))
    quota = Quota(redis, ZoneInfo(find_quiet_zone()))
    charges = [await quota.charge(USER, "nonce", 1, id_of(USER), Cost(3)) for _ in range(2)]
    assert all(isinstance(charge, Charged) for charge in charges), charges

    async def read_used() -> tuple[int, int]:
        used = await quota.read_used(USER, id_of(USER))
        return used.hour, used.recipients

    wrong = scheduled(3_600, to=("a", "b", "c"), charge=charges[0].charge)  # type: ignore[union-attr]
    people = wrong.recipients
    for is_repeat in (False, True):
        async with run_scheduler(database_url, redis_url) as client:
            if not is_repeat:
                await publish(streams, [wrong])
                await wait_for_rows(database_url, 1)
            answers = [
                (await client.post(path)).json()["cancelled"]
                for path in (f"/api/messages/{wrong.request}-1/cancel", f"/api/requests/{wrong.request}/cancel")
            ]
            assert (answers, await read_used()) == ([1, 2], (1, 3))
        with open_database(database_url) as engine, engine.connect() as connection:
            for n, left in ((1, people[1:2]), (ALL_MESSAGES, (people[0], people[2]))):
                body = wrong.model_copy(update={"recipients": left}).encode()
                connection.execute(CANCELS.update().where(CANCELS.c.n == n).values(body=body))
            connection.commit()


async def test_a_cancel_of_the_longest_list_does_not_hold_the_loop(
    streams: Broker, database_url: str, redis_url: str
) -> None:
    long = scheduled(3_600, to=tuple(f"+1212555{n:04d}" for n in range(10_000)))
    async with run_scheduler(database_url, redis_url) as client:
        await publish(streams, [long])
        await wait_for_rows(database_url, 1)
        async with measured_turns() as turns:
            answers = [
                (await client.post(path)).json()["cancelled"]
                for path in (f"/api/messages/{long.request}-9999/cancel", f"/api/requests/{long.request}/cancel")
            ]
    assert answers == [1, 9_999]
    assert turns.longest_s <= MAX_TURN_S


@pytest.mark.usefixtures("service_bounds")
@on_both_databases
async def test_others_write_while_legs_are_published_and_a_cancel_finds_them_begun(
    streams: Broker, database_url: str, redis_url: str
) -> None:
    root, leg = with_fallback(after_s=3_600)
    parts = urlsplit(redis_url)
    assert parts.hostname is not None
    assert parts.port is not None
    async with (
        streams.consume(TOPOLOGY.queue("smtp", Lane.BULK), 10) as mails,
        streams.consume(TOPOLOGY.queue("sms", Lane.BULK), 10) as texts,
        Proxy(parts.hostname, parts.port).running() as proxy,
        run_scheduler(database_url, redis_url, broker_url=proxy.url(redis_url)) as client,
    ):
        await publish(streams, [root])
        await arrivals(mails, 1, WITHIN_S)
        proxy.deaf_from = leg.request.encode()  # what is published of it is not confirmed
        await asyncio.to_thread(pass_time, database_url, root)
        await arrivals(texts, 1, WITHIN_S)
        await asyncio.to_thread(write_at_once, database_url)
        await client.post(f"/api/requests/{root.request}/cancel")  # the cancel is kept, before history is asked in vain
        proxy.is_deaf = False
        proxy.cut()  # so that the publish ends
    with open_database(database_url) as engine, engine.connect() as connection:
        kept = {row.request: row.is_published for row in connection.execute(CANCELS.select())}
    assert kept.get(leg.request) == 1


def write_at_once(database_url: str) -> None:
    """Write a job. Raises where another writer keeps this one waiting for a third of what the publish waits."""
    with open_database(database_url) as engine, engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA busy_timeout = 20000")
            connection.commit()
        connection.execute(SCHEDULED.insert(), [write_row(scheduled(3_600))])
        connection.commit()


async def test_a_scheduler_whose_own_clock_jumps_releases_nothing_early_twice_or_late(
    streams: Broker, database_url: str, redis_url: str
) -> None:
    ahead = timedelta()
    async with (
        streams.consume(TOPOLOGY.queue("smtp", Lane.NORMAL), 10) as channel,
        run_scheduler(database_url, redis_url, ahead=lambda: ahead) as client,
    ):
        for hours in (1, -1):
            soon, moved, asked, later = (scheduled(due_in_s) for due_in_s in (1.5, 1_800, 1_800, 1_800))
            await publish(streams, [soon, moved, asked, later])
            await wait_for_requests(database_url, moved, asked, later)  # `soon` may have gone by then
            ahead = timedelta(hours=hours)
            due_at = datetime.now(UTC) + timedelta(seconds=1.5)
            answers = [
                await client.patch(f"/api/requests/{moved.request}", json={"send_at": due_at.isoformat()}),
                await client.post(f"/api/requests/{asked.request}/release"),
            ]
            assert [answer.status_code for answer in answers] == [200, 200], [answer.text for answer in answers]
            released = [Job.model_validate_json(arrival.body) for arrival in await arrivals(channel, 3, WITHIN_S)]
            assert {sent.request for sent in released} == {soon.request, moved.request, asked.request}
            assert all(sent.released_at >= sent.due_at for sent in released if sent.request != asked.request)  # type: ignore[operator]
            answer = await client.post(f"/api/requests/{later.request}/cancel")
            assert answer.json()["cancelled"] == 1
            await publish(streams, [last := scheduled(-1)])
            (job_,) = await arrivals(channel, 1, WITHIN_S)
            assert Job.model_validate_json(job_.body).request == last.request
            await wait_for_rows(database_url, 0)
