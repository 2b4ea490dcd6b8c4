"""PostgreSQL's monthly partitions: created and dropped under load, by several histories, with any clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Broker
from imsg_contract.topology import Topology
from imsg_contract.wire import Job, Status
from imsg_database.address import read_url
from imsg_database.unavailable import DatabaseUnavailable
from imsg_history import maintenance, stuck, writer
from imsg_history.database import Database, connect
from imsg_history.maintenance import Maintenance
from imsg_history.migrate import migrate
from imsg_history.partitions import Partition, create, month_after, month_of
from imsg_history.stuck import StuckJobs
from imsg_history.tables import PARTITIONED, messages
from imsg_history.writer import BatchWriter
from imsg_testing.brokers import open_ready
from imsg_testing.callers import user
from imsg_testing.history import NOW, job, make_delivery, outcome
from imsg_testing.history_store import find
from imsg_testing.waiting import eventually

ADMIN = user("admin", role="admin")
RETENTION = timedelta(days=90)
FOR_EVER = timedelta(days=36_500)


@pytest.fixture
async def database(migrated_postgres: str) -> AsyncIterator[Database]:
    """Open a database that was migrated now."""
    async with connect(read_url(migrated_postgres)) as database:
        yield database


@pytest.fixture
async def broker(valkey_url: str, topology: Topology) -> AsyncIterator[Broker]:
    """Open a broker."""
    async with open_ready(valkey_url, topology) as broker:
        yield broker


def sweeper(broker: Broker, database: Database, at: datetime, servers: datetime | None = None) -> Maintenance:
    """Make a maintenance whose clock, and the database's, are fixed."""

    async def servers_now() -> datetime:
        return servers or at

    registry = CollectorRegistry()
    searching = StuckJobs(broker, database, lambda: at, timedelta(minutes=15), stuck.StuckMetrics(registry))
    terms = maintenance.Schedule(timedelta(seconds=60), RETENTION)
    return Maintenance(searching, database, lambda: at, servers_now, terms, maintenance.MaintenanceMetrics(registry))


async def record_all(database: Database, *batch: Any, retention: timedelta = FOR_EVER) -> CollectorRegistry:  # noqa: ANN401
    """Record messages; return what was counted."""
    registry = CollectorRegistry()
    await BatchWriter(database, lambda: NOW, retention, writer.WriterMetrics(registry)).write(
        [make_delivery(event) for event in batch]
    )
    return registry


async def names(database: Database) -> list[str]:
    """List the partitions of messages that hold months."""
    found = await database.read(
        lambda connection: connection.execute(
            text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relname LIKE 'messages_2%'")
        )
    )
    return sorted(row.relname for row in found)


async def places(database: Database) -> list[str]:
    """Return the partition of each message, in the order of their ids."""
    place = text("tableoid::regclass::text AS name")
    found = await database.read(
        lambda connection: connection.execute(select(place).select_from(messages).order_by(messages.c.request))
    )
    return [row.name for row in found]


async def read_statuses(database: Database, of: Job) -> list[str]:
    """Return the statuses of a job's messages."""
    messages = await find(database, id=of.request, limit="500")
    return [message["status"] for message in messages]


async def count(database: Database) -> int:
    """Count the messages."""
    found = await database.read(lambda connection: connection.scalar(select(func.count()).select_from(messages)))
    return int(found or 0)


async def test_this_month_and_two_to_come_are_there_from_the_start(database: Database) -> None:
    assert await names(database) == ["messages_2026_11", "messages_2026_12", "messages_2027_01"]


async def test_the_sweep_makes_a_month_more_when_one_has_passed(database: Database, broker: Broker) -> None:
    await sweeper(broker, database, NOW + timedelta(days=10)).delete_old()
    assert (await names(database))[-1] == "messages_2027_02"
    new = job(at=NOW + timedelta(days=80))
    await record_all(database, new, outcome(new, Status.SENT))
    assert await places(database) == ["messages_2027_02"]


async def test_what_lies_in_the_default_one_moves_when_its_month_is_made(database: Database, broker: Broker) -> None:
    early = [job(at=datetime(2027, 2, day, tzinfo=UTC)) for day in (1, 27)]
    await record_all(database, *early, outcome(early[1], Status.SENT))
    assert await places(database) == ["messages_default"] * 2
    await sweeper(broker, database, datetime(2026, 12, 1, tzinfo=UTC)).delete_old()
    assert await places(database) == ["messages_2027_02"] * 2
    assert [await read_statuses(database, partition) for partition in early] == [["queued"], ["sent"]]


async def test_what_came_with_a_wrong_clock_gets_months_of_its_own_and_never_sticks(
    database: Database, broker: Broker
) -> None:
    times = [datetime(2026, 9, 30, 23, 59, tzinfo=UTC), datetime(2028, 2, 29, tzinfo=UTC), NOW]
    strayed = [job(at=at) for at in times]
    await record_all(database, *strayed)
    await sweeper(broker, database, NOW).delete_old()
    assert await places(database) == ["messages_2026_09", "messages_2026_11", "messages_2028_02"]
    await record_all(database, *(outcome(partition, Status.SENT) for partition in strayed))
    assert [await read_statuses(database, partition) for partition in strayed] == [["sent"]] * 3


async def test_what_is_dated_beyond_every_calendar_does_no_harm(database: Database, broker: Broker) -> None:
    last = job(request="f" * 32, at=NOW)
    await record_all(database, last, outcome(last, Status.SENT))
    await sweeper(broker, database, NOW).delete_old()
    assert await places(database) == ["messages_default"]
    assert await read_statuses(database, last) == ["sent"]


async def test_two_sweeps_and_a_start_at_once_make_each_month_once(
    database: Database, broker: Broker, migrated_postgres: str
) -> None:
    later = datetime(2027, 6, 1, tzinfo=UTC)
    await record_all(database, *(job(at=later + timedelta(hours=n)) for n in range(50)))
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(connect(read_url(migrated_postgres))) for _ in range(2)]
        ends = await asyncio.gather(
            asyncio.to_thread(migrate, read_url(migrated_postgres), later),
            *(sweeper(broker, other, later).delete_old() for other in others),
            return_exceptions=True,
        )
        # Of two that wait for one another PostgreSQL ends one; a start and the next sweep try again by themselves.
        assert all(end is None or isinstance(end, DatabaseUnavailable) for end in ends), ends
        for _ in range(2):  # the one that gave way has its turn
            await sweeper(broker, database, later).delete_old()
    assert [name for name in await names(database) if name >= "messages_2027_06"] == [
        "messages_2027_06",
        "messages_2027_07",
        "messages_2027_08",
    ]
    assert set(await places(database)) == {"messages_2027_06"}
    assert await count(database) == 50


async def test_replicas_whose_clocks_differ_neither_lack_a_month_nor_drop_one(
    database: Database, broker: Broker
) -> None:
    accepted_job = job(at=NOW)
    await record_all(database, accepted_job)
    for ours, servers in ((NOW + timedelta(days=400), NOW), (NOW - timedelta(days=400), NOW), (NOW, NOW)):
        await sweeper(broker, database, ours, servers).delete_old()
    assert {"messages_2026_11", "messages_2026_12", "messages_2027_01"} <= set(await names(database))
    assert await read_statuses(database, accepted_job) == ["queued"]


async def test_rows_on_their_way_into_the_default_one_are_recorded_while_their_month_is_made(
    database: Database, migrated_postgres: str
) -> None:
    """A row that waits there for a lock is refused by PostgreSQL when the month is attached: it must come again."""
    months = [datetime(2028, month, 1, tzinfo=UTC) for month in range(1, 13)]
    written: list[Job] = []
    done = asyncio.Event()

    async def record() -> None:
        recorder = BatchWriter(database, lambda: NOW, FOR_EVER, writer.WriterMetrics(CollectorRegistry()))
        while not done.is_set():
            new = [job(at=month + timedelta(minutes=len(written) % 1_000)) for month in months]
            await _patiently(recorder, [make_delivery(partition) for partition in new])
            written.extend(new)

    recording = [asyncio.create_task(record()) for _ in range(3)]
    async with connect(read_url(migrated_postgres)) as other:
        for month in months:
            for table in PARTITIONED:
                change = _prepare(Partition(table, month))
                await other.write(lambda connection, change=change: connection.run_sync(change))  # type: ignore[misc]
    done.set()
    await asyncio.gather(*recording)
    dead = await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM dead")))
    assert (await count(database), dead) == (len(written), 0)
    assert "messages_default" not in await places(database)


async def test_a_row_refused_by_the_default_one_since_its_month_was_made_is_not_called_bad(
    database: Database, migrated_postgres: str
) -> None:
    month = datetime(2028, 1, 1, tzinfo=UTC)
    accepted_job = job(at=month)
    low, high = Partition("messages", month).limits
    async with connect(read_url(migrated_postgres)) as other:

        async def attach(connection: AsyncConnection) -> asyncio.Task[None]:
            await connection.execute(text("CREATE TABLE strayed (LIKE messages INCLUDING ALL)"))
            await connection.execute(text("LOCK TABLE messages_default IN ACCESS EXCLUSIVE MODE"))
            recorder = BatchWriter(database, lambda: NOW, FOR_EVER, writer.WriterMetrics(CollectorRegistry()))
            recording = asyncio.create_task(_patiently(recorder, [make_delivery(accepted_job)]))
            waits = text("SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'messages_default'::regclass")

            async def is_waiting() -> bool:
                return await database.read(lambda reader: reader.scalar(waits)) is not None

            await eventually(is_waiting, 60)
            limits = f"FOR VALUES FROM ('{low}') TO ('{high}')"
            await connection.execute(text(f"ALTER TABLE messages ATTACH PARTITION strayed {limits}"))
            return recording

        await (await other.write(attach))
    assert await places(database) == ["strayed"]
    assert await database.read(lambda connection: connection.scalar(text("SELECT count(*) FROM dead"))) == 0


async def test_months_past_retention_are_dropped_whole_while_others_write_and_query(
    postgres_database: str, broker: Broker
) -> None:
    url = read_url(postgres_database)
    month = month_of(NOW - timedelta(days=400))
    for _ in range(14):
        await asyncio.to_thread(migrate, url, month)
        month = month_after(month)
    async with connect(url) as database, connect(url) as other:
        old = [job(at=NOW - timedelta(days=100 + 10 * n)) for n in range(30)]
        await record_all(database, *old)
        written: list[Job] = []
        done = asyncio.Event()

        async def work() -> None:
            recorder = BatchWriter(database, lambda: NOW, RETENTION, writer.WriterMetrics(CollectorRegistry()))
            while not done.is_set():
                new = [job(at=NOW) for _ in range(20)]
                await _patiently(recorder, [make_delivery(partition) for partition in new])
                written.extend(new)
                assert await read_statuses(database, new[0]) == ["queued"]

        working = [asyncio.create_task(work()) for _ in range(3)]
        swept = sweeper(broker, other, NOW)
        await swept.delete_old()
        done.set()
        await asyncio.gather(*working)
        assert [name for name in await names(database) if name < "messages_2026_08"] == []
        assert await count(database) == len(written)
        assert set(await places(database)) == {"messages_2026_11"}


async def test_events_of_a_dropped_month_are_counted_and_let_go(database: Database, broker: Broker) -> None:
    old = job(at=NOW - timedelta(days=200))
    sent = outcome(old, Status.SENT)
    await record_all(database, old)
    await sweeper(broker, database, NOW).delete_old()
    assert await count(database) == 0
    registry = await record_all(database, old, sent, retention=RETENTION)
    assert registry.get_sample_value("imsg_history_late_events_total") == 2
    assert await count(database) == 0


def _prepare(partition: Partition) -> Callable[[Connection], bool]:
    return lambda connection: create(connection, partition)


async def _patiently(recorder: BatchWriter, batch: list[Any]) -> None:
    """Record as the recorder does: what meets a lock or a month in the making comes again."""
    async with asyncio.timeout(60):
        while True:
            try:
                await recorder.write(batch)
            except DatabaseUnavailable:
                await asyncio.sleep(0.01)
                continue
            return
