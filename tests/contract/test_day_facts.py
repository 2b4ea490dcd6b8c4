"""Day facts equal the rows of messages, and stay when the messages are gone."""

import asyncio
import secrets
from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_contract.topology import Lane
from imsg_contract.wire import Status
from imsg_database.address import read_url
from imsg_history.database import Database, connect
from imsg_history.eraser import Eraser
from imsg_history.latency_stats import LatencyStatistics, find_percentile
from imsg_history.ownership import Ownership
from imsg_history.queries import StatsQuery
from imsg_history.stats import Span, Statistics, find_span
from imsg_history.tables import day_facts, messages, requests
from imsg_history.user_stats import MEASURES, UserStatistics
from imsg_history.writer import BatchWriter, WriterMetrics
from imsg_people.tombstones import Digests, Tombstone
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, receipt
from imsg_testing.history_store import ADMIN, RETENTION, count_messages, read_day_facts, record
from imsg_testing.waiting import eventually

DIGESTS = Digests((SecretStr("a key of tombstones"),))
PHONE = "+8613912345678"
SPANS = [
    Span(None, bucket, (NOW, NOW + timedelta(hours=1)), NOW, NOW + timedelta(hours=1), ZoneInfo("UTC"))
    for bucket in ("hour", "day")
]
"""The same hour, of which sums are read from the messages and from day facts."""


async def test_a_late_receipt_moves_a_message_within_its_own_day(database: Database) -> None:
    accepted_job = job(
        at=NOW - timedelta(days=3),
        method="sms",
        to=(PHONE,),
        segments=2,
        content={"template": "SMS_1"},
        key="图书馆",
        department="研发部",
    )
    sent = outcome(accepted_job, Status.SENT, provider="aliyun", provider_id="b-1")
    await record(database, accepted_job, sent)
    late = receipt(sent, PHONE).model_copy(update={"at": accepted_job.accepted_at + timedelta(hours=1)})
    await record(database, late, late)

    facts = await read_day_facts(database)
    key = (
        "2026-11-22",
        accepted_job.user_id,
        accepted_job.username,
        "研发部",
        "图书馆",
        "sms",
        "aliyun",
        "SMS_1",
        "notice",
        "CN",
        "",
    )
    assert facts == {
        key: {
            "messages": 1, "segments": 2, "sent": 1, "delivered": 1, "sent_in_0": 1, "delivered_in_8": 1,
            "charged": 1, "charged_segments": 2, "estimated": 1,
        }
    }  # fmt: skip
    assert facts == await count_messages(database)


async def test_what_test_keys_send_is_in_no_statistic(database: Database) -> None:
    to = ("li@example.com", "wang@example.com")
    for sent in (job(at=NOW, to=to), job(at=NOW, to=to, lane=Lane.TEST)):
        await record(database, sent, outcome(sent, Status.SENT), outcome(sent, Status.FAILED, 1, code="550"))
    facts = (await read_day_facts(database)).values()
    assert sum(fact["messages"] for fact in facts) == 2
    zone, since, until = ZoneInfo("UTC"), NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    span = find_span(
        StatsQuery.model_validate({"since": since.isoformat(), "until": until.isoformat()}), ADMIN, zone, NOW
    )
    buckets = await Statistics(database, zone).count(span)
    assert [bucket["counts"] for bucket in buckets if bucket["counts"]] == [{"smtp": {"sent": 1, "failed": 1}}]
    assert [cause["count"] for cause in await Statistics(database, zone).count_failures(span)] == [1]
    by_hour = replace(span, bucket="hour")
    for entry in (span, by_hour):
        (found,) = await LatencyStatistics(database).find(entry)
        assert found["sent"]["count"] == 1
        (counted,) = await UserStatistics(database).find(entry)
        assert counted["messages"] == 2


@on_both_databases
async def test_facts_equal_the_rows_after_resends_and_an_erasure(database: Database) -> None:
    """Messages that an erasure settles as failed are counted so."""
    listed = job(at=NOW, to=("li@example.com", "wang@example.com", "zhang@example.com"))
    again = job(at=NOW + timedelta(seconds=1), to=("li@example.com",), resend_of=f"{listed.request}-0")
    refused = outcome(listed, Status.FAILED, 0, code="550")
    await record(database, listed, again, refused, outcome(listed, Status.SENT, 1), outcome(again, Status.RETRYING))

    stones = [
        Tombstone(secrets.token_hex(16), DIGESTS.of(address), NOW + timedelta(minutes=1))
        for address in ("zhang@example.com", "li@example.com")
    ]
    assert await Eraser(database, DIGESTS).erase(stones) == 3
    assert await Eraser(database, DIGESTS).erase(stones) == 0
    await record(database, outcome(again, Status.SENT, attempt=2))  # it was at its provider already

    facts = await read_day_facts(database)
    assert facts == await count_messages(database)
    assert {name: sum(fact[name] for fact in facts.values()) for name in ("messages", "sent", "failed")} == {
        "messages": 4,
        "sent": 2,
        "failed": 2,
    }


async def test_an_erasure_and_a_writer_of_one_request_never_wait_for_each_other(migrated_postgres: str) -> None:
    """A writer holds another message of the request, and then wants the facts."""
    async with connect(read_url(migrated_postgres)) as database:
        accepted_job = job(at=NOW, to=("li@example.com", "zhang@example.com"))
        await record(
            database, accepted_job, outcome(accepted_job, Status.FAILED, 1, detail="the box of li@example.com is full")
        )
        stone = Tombstone(secrets.token_hex(16), DIGESTS.of("li@example.com"), NOW + timedelta(minutes=1))

        async def is_waiting(connection: AsyncConnection) -> bool:
            waits = text("SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))")
            return await connection.scalar(waits) is not None

        async def write(connection: AsyncConnection) -> None:
            await connection.execute(select(messages).where(messages.c.n == 1).with_for_update())
            tasks.append(asyncio.create_task(Eraser(database, DIGESTS).erase([stone])))
            await eventually(lambda: is_waiting(connection), 60)
            await connection.execute(select(day_facts).with_for_update())

        tasks: list[asyncio.Task[int]] = []
        await database.write(write)
        assert await tasks[0] == 1
        assert await read_day_facts(database) == await count_messages(database)


@on_both_databases
async def test_an_outcome_is_counted_once_its_job_is_known(database: Database) -> None:
    accepted_job = job(at=NOW)
    early = outcome(accepted_job, Status.UNCERTAIN)
    await record(database, early)
    assert await read_day_facts(database) == {}
    await record(database, accepted_job, early)
    (fact,) = (await read_day_facts(database)).values()
    assert fact == {"messages": 1, "uncertain": 1, "charged": 1, "charged_segments": 1, "estimated": 1}


@on_both_databases
async def test_percentiles_of_hours_and_of_days_are_those_of_the_messages(database: Database) -> None:
    to = [f"{n}@example.com" for n in range(20)]
    accepted_job = job(at=NOW, to=to)
    seconds = [0.5] * 12 + [4] * 7 + [200_000]
    outcomes = [
        outcome(accepted_job, Status.SENT, n).model_copy(update={"at": NOW + timedelta(seconds=took)})
        for n, took in enumerate(seconds)
    ]
    await record(database, accepted_job, *outcomes)
    latencies = LatencyStatistics(database)
    wanted = [{"method": "smtp", "sent": {"count": 20, "p50_s": 1, "p95_s": 5}, "delivered": None}]
    for span in SPANS:
        assert await latencies.find(span) == wanted
        owner, stranger = Ownership(accepted_job.username, accepted_job.user_id), Ownership("li", accepted_job.user_id)
        assert await latencies.find(replace(span, ownership=owner)) == wanted
        assert await latencies.find(replace(span, ownership=stranger)) == []
    assert find_percentile([0] * 10 + [3], 0.5) is None


@on_both_databases
async def test_users_of_hours_and_of_days_are_those_of_the_messages(database: Database) -> None:
    library = job(at=NOW, username="图书馆", to=[f"{n}@example.com" for n in range(5)])
    statuses = (Status.SENT, Status.DELIVERED, Status.FAILED, Status.EXPIRED)
    await record(database, library, *(outcome(library, status, n) for n, status in enumerate(statuses)))
    texts = job(at=NOW, username="图书馆", method="sms", to=(PHONE,))
    sent = outcome(texts, Status.SENT, provider="aliyun", provider_id="b-1")
    other = job(at=NOW, to=("li@example.com", "wang@example.com"))
    await record(database, texts, sent, other, outcome(other, Status.UNCERTAIN, 1))
    await record(database, receipt(sent, PHONE, Status.FAILED, code="UNDELIV"))
    await record(database, job(at=NOW - timedelta(days=2), username="图书馆"))  # before the span

    def row(*values: object) -> dict[str, object]:
        return dict(zip(("username", "method", *MEASURES), values, strict=True))

    of_library = [row("图书馆", "smtp", 5, 2, 1, 2, 0), row("图书馆", "sms", 1, 0, 0, 1, 0)]
    of_other = row(other.username, "smtp", 2, 0, 0, 0, 1)
    users = UserStatistics(database)
    for span in SPANS:
        assert await users.find(span) == [of_library[0], of_other, of_library[1]]
        assert await users.find(replace(span, ownership=Ownership("图书馆", library.user_id))) == of_library


async def test_facts_stay_when_the_messages_are_gone(database: Database) -> None:
    accepted_job = job(at=NOW)
    await record(database, accepted_job, outcome(accepted_job, Status.SENT))
    before = await read_day_facts(database)
    for table in (messages, requests):
        await database.execute(delete(table))
    await record(database, outcome(accepted_job, Status.DELIVERED))  # without its request it has no user
    assert await read_day_facts(database) == before != {}


async def test_a_day_is_one_of_the_named_zone_and_never_changes(database: Database) -> None:
    """A changed zone moves no request that was recorded before."""
    late_evening = NOW.replace(hour=17)  # 01:00 of the next day in Shanghai
    accepted_job = job(at=late_evening)
    for zone, fact in (
        (ZoneInfo("Asia/Shanghai"), accepted_job),
        (ZoneInfo("UTC"), outcome(accepted_job, Status.SENT)),
    ):
        writer = BatchWriter(database, lambda: NOW, RETENTION, WriterMetrics(CollectorRegistry()), zone=zone)
        await writer.write([make_delivery(fact)])
    facts = await read_day_facts(database)
    assert [(key[0], fact["sent"]) for key, fact in facts.items()] == [("2026-11-26", 1)]
