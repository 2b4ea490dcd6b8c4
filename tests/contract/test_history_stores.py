"""History's promises, held alike by SQLite and PostgreSQL."""

import asyncio
import hashlib
import json
import random
from collections import Counter as Counted
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from imsg_broker.port import Delivery
from imsg_contract.addresses import email
from imsg_contract.errors import Refusal
from imsg_contract.topology import DEAD
from imsg_contract.wire import Category, Change, Job, Outcomes, Reference, Status
from imsg_database.address import read_url
from imsg_database.engines import open_sync_engine
from imsg_database.migrate import migrate as store_migrate
from imsg_history.attachments import Attachments, Place
from imsg_history.database import TERMS, Database, connect
from imsg_history.dead_letters import DeadLetters
from imsg_history.filters import read_query
from imsg_history.migrate import migrate
from imsg_history.migrations import STEPS
from imsg_history.overview import Overviews
from imsg_history.query import MessageQuery
from imsg_history.request_list import RequestList
from imsg_history.resend import Resends
from imsg_history.statements import WINDOW
from imsg_history.stats import Counter, read_span
from imsg_history.tables import messages, metadata, receipts, requests
from imsg_history.writer import BatchWriter, Counts
from imsg_runtime.service_client import Caller
from imsg_testing.history import job, make_delivery, outcome, receipt, request_id
from imsg_testing.upgrades import older_steps

ADMIN = Caller("admin", is_admin=True)
OWNER = Caller("天存-system-1001", is_admin=False)
NOW = datetime(2026, 11, 25, 8, 0, 0, tzinfo=UTC)
RETENTION = timedelta(days=90)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open a migrated database."""
    await asyncio.to_thread(migrate, read_url(database_url), NOW)
    async with connect(read_url(database_url)) as opened:
        yield opened


def keeper(database: Database, registry: CollectorRegistry | None = None) -> BatchWriter:
    """Make what records into a database."""
    return BatchWriter(database, lambda: NOW, RETENTION, Counts(registry or CollectorRegistry()))


async def keep(database: Database, *batch: Any) -> None:  # noqa: ANN401  messages or deliveries
    """Keep one batch."""
    await keeper(database).keep([one if isinstance(one, Delivery) else make_delivery(one) for one in batch])


async def find(database: Database, caller: Caller = ADMIN, **filters: str) -> list[dict[str, Any]]:
    """Ask a query and return its messages."""
    return (await MessageQuery(database).find(read_query(filters, caller))).messages


async def all_pages(database: Database, caller: Caller = ADMIN, **filters: str) -> list[str]:
    """Follow a query's cursors to the end and return the ids."""
    finder, ids, cursor = MessageQuery(database), list[str](), "start"
    given = dict(filters)
    while cursor:
        page = await finder.find(read_query(given, caller))
        ids += [message["id"] for message in page.messages]
        cursor = page.next or ""
        given["cursor"] = cursor
    return ids


async def statuses(database: Database, of: Job) -> list[str]:
    """Return the statuses of a job's messages by their numbers."""
    return [message["status"] for message in await find(database, id=of.request, limit="500")]


# --- the tables


@pytest.mark.filterwarnings("ignore:.*expression-based index")  # SQLAlchemy reads those of no SQLite
async def test_the_migrations_make_the_tables_the_code_describes(database_url: str) -> None:
    migrate(read_url(database_url), NOW)
    with open_sync_engine(read_url(database_url), TERMS) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": _is_ours, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def _is_ours(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
    if kind == "table":
        return name in metadata.tables
    return kind != "index" or parents.get("table_name") in metadata.tables


# --- recording


async def test_a_new_request_shows_one_queued_message_a_recipient(database: Database) -> None:
    one = job(to=("a@example.com", "张三"), addresses=("a@example.com", "zhang@example.com"), at=NOW)
    await keep(database, one)
    newest = await find(database)
    assert [(message["id"], message["to"], message["status"]) for message in newest] == [
        (f"{one.request}-0", "a@example.com", "queued"),
        (f"{one.request}-1", "张三", "queued"),
    ]
    assert newest[0]["created_at"] == "2026-11-25T08:00:00.000Z"
    assert newest[0]["content"] == {"subject": "开会通知", "text": "下午两点半"}
    assert newest[0]["subject"] == "开会通知"


async def test_an_outcome_before_its_job_is_not_lost(database: Database) -> None:
    one = job(at=NOW)
    await keep(database, outcome(one, Status.SENT))
    assert await find(database) == []
    await keep(database, one)
    assert await statuses(database, one) == ["sent"]


async def test_a_status_only_climbs(database: Database) -> None:
    one = job(at=NOW)
    await keep(database, one)
    await keep(database, outcome(one, Status.SENT, attempt=2))
    await keep(database, outcome(one, Status.RETRYING, attempt=1, code="451", detail="greylisted"))
    (message,) = await find(database)
    assert (message["status"], message["attempts"], message["error"]) == ("sent", 2, None)


@pytest.mark.parametrize("early", ["receipt", "outcome", "job"])
async def test_a_receipt_finds_its_message_early_or_late(database: Database, early: str) -> None:
    one = job(method="sms", to=("+8613800138000",), content="明天下雨", at=NOW)
    sent = outcome(one, Status.SENT, provider="aliyun", provider_id="900619746936498440")
    events = {"job": one, "outcome": sent, "receipt": receipt(sent, "+8613800138000")}
    for event in (events.pop(early), *reversed(events.values())):
        await keep(database, event)
    assert await statuses(database, one) == ["delivered"]
    assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts))) == 0


async def test_one_provider_id_for_many_numbers_reaches_each_by_its_address(database: Database) -> None:
    numbers = [f"+86138{n:08}" for n in range(1_000)]
    one = job(method="sms", to=numbers, content="明天下雨", at=NOW)
    sent = [outcome(one, Status.SENT, n, provider="aliyun", provider_id="9006") for n in range(1_000)]
    await keep(database, one, Outcomes(outcomes=tuple(sent)))
    failed = {3, 500, 999}
    reports = [
        receipt(
            sent[n],
            numbers[n],
            Status.FAILED if n in failed else Status.DELIVERED,
            code="MK:0001" if n in failed else None,
        )
        for n in range(1_000)
    ]
    await keep(database, *reports)
    assert [int(message.split("-")[1]) for message in await all_pages(database, status="failed")] == sorted(failed)
    assert len(await all_pages(database, status="delivered", limit="500")) == 997


async def test_a_code_of_an_older_sender_is_shown_and_found_by_the_name_it_has_now(database: Database) -> None:
    old, new = job(at=NOW), job(at=NOW)
    await keep(database, old, outcome(old, Status.UNCERTAIN, code="not_said", detail="no answer"))
    await keep(database, new, outcome(new, Status.UNCERTAIN, code="status_unknown", detail="no answer"))
    for asked in ("status_unknown", "not_said"):
        page = await MessageQuery(database).find(read_query({"code": asked}, ADMIN, is_v2=True), is_v2=True)
        assert {message["id"].split("-")[0] for message in page.messages} == {old.request, new.request}
        assert [message["error"]["code"] for message in page.messages] == ["status_unknown"] * 2
    (message,) = await find(database, id=f"{old.request}-0")
    assert [line["code"] for line in message["timeline"] if line["code"]] == ["status_unknown"]


async def test_a_receipt_of_an_earlier_attempt_counts_too(database: Database) -> None:
    one = job(at=NOW)
    first = outcome(one, Status.SENT, attempt=1, provider_id="A")
    await keep(database, one, first, outcome(one, Status.SENT, attempt=2, provider_id="B"))
    await keep(database, receipt(first, "zhang@example.com"))
    assert await statuses(database, one) == ["delivered"]


async def test_it_is_told_how_long_a_receipt_took(database: Database) -> None:
    one = job(method="sms", to=("+8613800138000",), content="明天下雨", at=NOW - timedelta(minutes=5))
    sent = outcome(one, Status.SENT, provider="aliyun", provider_id="9006")
    registry = CollectorRegistry()
    await keeper(database, registry).keep(
        [make_delivery(event) for event in (one, sent, receipt(sent, "+8613800138000"))]
    )
    assert registry.get_sample_value("imsg_receipt_lag_seconds_count", {"provider": "aliyun"}) == 1
    assert registry.get_sample_value("imsg_receipt_lag_seconds_sum", {"provider": "aliyun"}) == pytest.approx(299)


async def test_a_receipt_nobody_was_sent_waits(database: Database) -> None:
    one = job(at=NOW)
    await keep(database, one, receipt(outcome(one, Status.SENT, provider_id="X"), "zhang@example.com"))
    assert await statuses(database, one) == ["queued"]
    assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts))) == 1


async def test_ten_thousand_recipients_are_recorded_and_listed(database: Database) -> None:
    one = job(to=[f"user{n}@example.com" for n in range(10_000)], at=NOW)
    await keep(database, one)
    parts = [
        Outcomes(outcomes=tuple(outcome(one, Status.SENT, n) for n in range(start, start + 50)))
        for start in range(0, 10_000, 50)
    ]
    await keep(database, *parts)
    ids = await all_pages(database, status="sent", limit="500")
    assert ids == [f"{one.request}-{n}" for n in range(10_000)]


async def test_what_postgresql_cannot_hold_is_replaced(database: Database) -> None:
    one = job(at=NOW)
    answer = outcome(one, Status.FAILED, code="5\x0050", detail="no\x00such user").model_dump(mode="json")
    body = json.dumps({"v": 1, "outcomes": [{**answer, "detail": "\ud800 and \x00"}]}).encode()
    await keep(database, one, make_delivery(body, "outcome"))
    (message,) = await find(database)
    assert message["error"] == {"code": "5\ufffd50", "detail": "\ufffd and \ufffd"}


async def test_one_bad_delivery_among_many_is_kept_as_dead_and_holds_up_none(database: Database) -> None:
    jobs = [job(at=NOW + timedelta(seconds=n)) for n in range(20)]
    beyond = job(at=NOW, segments=2**70)
    await keep(database, *jobs[:7], make_delivery(b"\xff{", "job.smtp.single"), beyond, *jobs[7:])
    assert len(await all_pages(database)) == 20
    reasons = [letter["reason"] for letter in (await DeadLetters(database).page(None, None)).dead]
    assert sorted(reasons) == ["not_recorded", "unreadable"]


async def test_a_dead_job_settles_only_what_is_not_settled(database: Database) -> None:
    one = job(to=("a@example.com", "b@example.com", "c@example.com"), at=NOW)
    await keep(database, one, outcome(one, Status.SENT, 0), outcome(one, Status.RETRYING, 1))
    await keep(database, make_delivery(one, DEAD, reason="broke the worker 3 times", queue="imsg.smtp.bulk"))
    assert await statuses(database, one) == ["sent", "failed", "failed"]
    (message,) = await find(database, id=f"{one.request}-2")
    assert message["error"] == {"code": "dead_letter", "detail": "broke the worker 3 times"}
    (letter,) = (await DeadLetters(database).page(None, None)).dead
    assert (letter["request"], letter["method"]) == (one.request, "smtp")
    shown = await DeadLetters(database).one(letter["id"])
    assert (shown["queue"], json.loads(shown["body"])["request"]) == ("imsg.smtp.bulk", one.request)


async def test_a_job_over_its_delivery_limit_is_dead(database: Database) -> None:
    one = job(at=NOW)
    await keep(
        database, make_delivery(one, "imsg.history", **{"x-death": "[...]", "x-first-death-queue": "imsg.smtp.single"})
    )
    assert await statuses(database, one) == ["failed"]
    (letter,) = (await DeadLetters(database).page(None, None)).dead
    assert letter["reason"] == "delivery_limit"
    assert (await DeadLetters(database).one(letter["id"]))["queue"] == "imsg.smtp.single"


async def test_what_a_channel_says_stands_over_a_dead_letter(database: Database) -> None:
    one = job(at=NOW)
    await keep(database, make_delivery(one, DEAD, reason="broke", queue="imsg.smtp.single"))
    await keep(database, outcome(one, Status.SENT))
    assert await statuses(database, one) == ["sent"]


async def test_events_of_requests_past_their_retention_are_counted_and_let_go(database: Database) -> None:
    old = job(at=NOW - RETENTION - timedelta(days=1))
    registry = CollectorRegistry()
    await keeper(database, registry).keep([make_delivery(old), make_delivery(outcome(old, Status.SENT))])
    assert await find(database) == []
    assert registry.get_sample_value("imsg_history_late_events_total") == 2


async def test_the_audit_keeps_every_change_once(database: Database) -> None:
    change = Change(actor="admin", action="modify", subject="张三", details={"per_day": 20, "note": "a\x00b"}, at=NOW)
    await keep(database, change, change)
    await keep(database, change, change.model_copy(update={"subject": "李四"}))
    rows = await database.read(lambda connection: connection.execute(text("SELECT subject, details FROM audit")))
    assert sorted(row.subject for row in rows) == ["张三", "李四"]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["outcome", "outcome", "outcome", "receipt", "dead"]),
        st.integers(0, 1),
        st.integers(0, 2),
        st.integers(1, 3),
        st.sampled_from(list(Status)),
        st.sampled_from([None, "A", "B"]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=14,
)


def _story(drawn: Sequence[tuple[str, int, int, int, Status, str | None, int]]) -> list[Delivery]:
    jobs = [
        job(request=request_id(NOW, tail=i), to=[f"{i}{n}@example.com" for n in range(3)], at=NOW) for i in range(2)
    ]
    story = [make_delivery(one) for one in jobs]
    for kind, which, n, attempt, status, provider_id, second in drawn:
        one = jobs[which]
        unique = provider_id and f"{provider_id}{which}{n}"
        said = outcome(one, status, n, attempt=attempt, provider_id=unique, detail=provider_id)
        said = said.model_copy(update={"at": NOW + timedelta(seconds=second)})
        match kind:
            case "outcome":
                story.append(make_delivery(said))
            case "receipt":
                settled = Status.FAILED if second else Status.DELIVERED
                story.append(
                    make_delivery(
                        receipt(
                            said.model_copy(update={"provider_id": unique or f"A{which}{n}"}),
                            f"{which}{n}@example.com",
                            settled,
                        )
                    )
                )
            case "dead":
                part = one.model_copy(update={"chunk": n, "recipients": one.recipients[n:], "attempt": attempt})
                story.append(make_delivery(part, DEAD, reason="broke", queue="imsg.smtp.bulk"))
    return story


@given(drawn=EVENTS, seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_events_in_any_order_and_number_end_in_the_same_rows(
    database_url: str, drawn: Sequence[tuple[str, int, int, int, Status, str | None, int]], seed: int
) -> None:
    """Recording is commutative and idempotent, across batches of any size."""
    story, chance = _story(drawn), random.Random(seed)  # noqa: S311  a test's own order
    shuffled = story + chance.choices(story, k=len(story))
    chance.shuffle(shuffled)
    asyncio.run(_ends_alike(database_url, story, shuffled, chance))


async def _ends_alike(
    database_url: str, story: list[Delivery], shuffled: list[Delivery], chance: random.Random
) -> None:
    await asyncio.to_thread(migrate, read_url(database_url), NOW)
    async with connect(read_url(database_url)) as database:
        rows = []
        for version in (story, shuffled):
            await database.write(_empty)
            recorder = keeper(database)
            rest = list(version)
            while rest:
                size = chance.randint(1, 5) if version is shuffled else 1
                batch, rest = rest[:size], rest[size:]
                await recorder.keep(batch)
            rows.append(await database.read(_dump))
    assert rows[0] == rows[1]


async def _empty(connection: AsyncConnection) -> None:
    for table in metadata.sorted_tables:
        await connection.execute(delete(table))


async def _dump(connection: AsyncConnection) -> dict[str, list[tuple[Any, ...]]]:
    dump = {}
    for table in metadata.sorted_tables:
        dump[table.name] = sorted((tuple(row) for row in await connection.execute(select(table))), key=repr)
    return dump


async def test_two_recorders_side_by_side_end_in_the_same_rows(database_url: str) -> None:
    """Two replicas take the same and neighbouring events at once, and neither loses or blocks the other for good."""
    await asyncio.to_thread(migrate, read_url(database_url), NOW)
    jobs = [job(to=[f"{i}x{n}@example.com" for n in range(10)], at=NOW + timedelta(milliseconds=i)) for i in range(40)]
    story = [make_delivery(one) for one in jobs]
    for one in jobs:
        for n in range(10):
            sent = outcome(one, Status.SENT, n, provider_id=f"{one.request}{n}")
            story += [make_delivery(sent), make_delivery(receipt(sent, one.recipients[n].address))]
    async with connect(read_url(database_url)) as first, connect(read_url(database_url)) as second:
        halves = [story[::2] + story[::3], story[1::2] + story[::5]]
        for i, half in enumerate(halves):
            random.Random(i).shuffle(half)  # noqa: S311
        await asyncio.gather(*(_record_all(one, half) for one, half in zip((first, second), halves, strict=True)))
        assert len(await all_pages(first, status="delivered", limit="500")) == 400
        waiting = await first.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts)))
        assert waiting == 0


async def _record_all(database: Database, story: Sequence[Delivery]) -> None:
    recorder = keeper(database)
    for start in range(0, len(story), 25):
        await recorder.keep(story[start : start + 25])


# --- finding


async def test_pages_are_whole_and_stable_while_messages_arrive(database: Database) -> None:
    jobs = [
        job(to=[f"{n}@example.com" for n in range(1 + 6 * (i % 3 == 0))], at=NOW + timedelta(seconds=i))
        for i in range(12)
    ]
    await keep(database, *jobs)
    expected = [f"{one.request}-{n}" for one in reversed(jobs) for n in range(len(one.recipients))]
    finder = MessageQuery(database)
    page = await finder.find(read_query({"limit": "5"}, ADMIN))
    seen = [message["id"] for message in page.messages]
    while page.next:
        await keep(database, job(at=NOW + timedelta(minutes=1)))
        page = await finder.find(read_query({"limit": "5", "cursor": page.next}, ADMIN))
        seen += [message["id"] for message in page.messages]
    assert seen == expected


async def _mixture(database: Database) -> list[dict[str, Any]]:
    """Keep messages of every kind and return how they show, newest first, as one list to filter by hand."""
    jobs, events = [], list[Any]()
    for i in range(60):
        method = ("smtp", "sms", "wechat")[i % 3]
        written = (f"u{i % 4}@example.com", f"1380013800{i % 4}", "7K3-M9Q-2XF")[i % 3]
        address = (written, f"+86{written}", written)[i % 3]
        jobs.append(
            job(
                at=NOW + timedelta(minutes=i),
                method=method,
                username=f"user{i % 5}",
                content="明天下雨" if method != "smtp" else {"subject": "s", "text": "t"},
                to=(written, f"name{i % 2}"),
                addresses=(address, f"other{i % 7}@example.com"),
                segments=1 if method == "sms" else None,
            )
        )
        status = list(Status)[i % len(Status)]
        if status is not Status.QUEUED:
            events.append(outcome(jobs[-1], status, i % 2))
    await keep(database, *jobs, *events)
    return await find(database, limit="500")


FILTERS = [
    {"method": "sms"},
    {"status": "failed"},
    {"method": "smtp", "status": "sent"},
    {"username": "user3"},
    {"username": "user1", "method": "wechat"},
    {"username": "user1", "status": "queued"},
    {"username": "user2", "method": "sms", "status": "queued"},
    {"to": "u1@example.com"},
    {"to": "name1"},
    {"to": "name1", "username": "user4", "status": "queued"},
    {"since": "2026-11-25T08:20:00Z"},
    {"until": "2026-11-25T08:20:00Z"},
    {"since": "2026-11-25T16:10:00+08:00", "until": "2026-11-25T16:40:00.000+08:00", "status": "queued"},
]


@pytest.mark.parametrize(
    "caller",
    [
        ADMIN,
        Caller("user1", is_admin=False),
        Caller("user1", is_admin=False, user_id="1" * 32, since=datetime(2026, 11, 25, tzinfo=UTC)),
    ],
)
async def test_every_filter_finds_what_a_filter_by_hand_finds(database: Database, caller: Caller) -> None:
    every = await _mixture(database)
    assert len(every) == 120
    for filters in FILTERS:
        if "username" in filters and not caller.is_admin and filters["username"] != caller.username:
            continue
        expected = [
            m["id"] for m in every if _fits(m, filters) and (caller.is_admin or m["username"] == caller.username)
        ]
        assert await all_pages(database, caller, limit="7", **filters) == expected, filters


def _fits(message: Mapping[str, Any], filters: Mapping[str, str]) -> bool:
    created = datetime.fromisoformat(message["created_at"])
    for name, value in filters.items():
        match name:
            case "since" if created < datetime.fromisoformat(value):
                return False
            case "until" if created >= datetime.fromisoformat(value):
                return False
            case "since" | "until":
                continue
            case _ if message[name] != value:
                return False
    return True


async def all_requests(database: Database, caller: Caller = ADMIN, **filters: str) -> list[dict[str, Any]]:
    """Follow a listing of requests to its end."""
    listing, rows, given = RequestList(database), list[dict[str, Any]](), dict(filters)
    while True:
        page = await listing.find(read_query(given, caller, is_v2=True))
        rows += page.requests
        if not page.next:
            return rows
        given["cursor"] = page.next


@pytest.mark.parametrize("caller", [ADMIN, Caller("user1", is_admin=False)])
async def test_requests_are_listed_once_each_by_every_filter(database: Database, caller: Caller) -> None:
    every = await _mixture(database)
    for filters in FILTERS:
        if "username" in filters and not caller.is_admin and filters["username"] != caller.username:
            continue
        fitting = [m for m in every if _fits(m, filters) and (caller.is_admin or m["username"] == caller.username)]
        expected = list(dict.fromkeys(m["id"].partition("-")[0] for m in fitting))
        rows = await all_requests(database, caller, limit="7", **filters)
        assert [row["id"] for row in rows] == expected, filters
        for row in rows:
            of = [m for m in every if m["id"].startswith(row["id"])]
            assert row["recipients"] == len(of)
            assert {name: n for name, n in row["counts"].items() if n} == Counted(m["status"] for m in of)


async def test_a_request_of_many_is_one_row_and_holds_up_none(database: Database) -> None:
    small = job(to=("first@example.com",), at=NOW)
    large = job(to=[f"{n}@example.com" for n in range(2_000)], at=NOW + timedelta(seconds=1))
    last = job(to=("last@example.com",), at=NOW + timedelta(seconds=2))
    await keep(database, small, large, last)
    rows = await all_requests(database, limit="1")
    assert [(row["id"], row["to"], row["recipients"]) for row in rows] == [
        (last.request, "last@example.com", 1),
        (large.request, "0@example.com", 2_000),
        (small.request, "first@example.com", 1),
    ]
    (named,) = await all_requests(database, id=f"{large.request}-7")
    assert (named["to"], named["recipients"]) == ("7@example.com", 2_000)


@pytest.mark.parametrize(
    ("part", "fits"),
    [
        ("0013", ["13800138000", "+8613900139000"]),
        ("138 0013", ["13800138000"]),
        ("+86 138-0013", ["13800138000"]),
        ("LI@", ["li@example.com"]),
        ("%", []),
        ("_", ["a_b@example.com"]),
        ("nobody", []),
    ],
)
async def test_a_part_of_a_recipient_finds_it(database: Database, part: str, fits: list[str]) -> None:
    mails = job(to=("li@example.com", "a_b@example.com"), at=NOW)
    numbers = ("13800138000", "+8613900139000")
    texts = job(
        to=numbers,
        addresses=("+8613800138000", "+8613900139000"),
        method="sms",
        content="明天下雨",
        segments=1,
        at=NOW + timedelta(seconds=1),
    )
    await keep(database, mails, texts)
    page = await MessageQuery(database).find(read_query({"part": part}, ADMIN, is_v2=True), is_v2=True)
    assert sorted(message["to"] for message in page.messages) == sorted(fits)
    of = [mails.request if "@" in one else texts.request for one in fits]
    assert {row["id"] for row in await all_requests(database, part=part)} == set(of)


async def test_a_part_finds_nobody_by_a_contact_that_was_not_written(database: Database) -> None:
    by_name = job(to=("zhang",), addresses=("zhang.san@example.com",), username=OWNER.username, at=NOW)
    await keep(database, by_name)
    for caller, part, is_found in ((ADMIN, "san@", True), (OWNER, "san@", False), (OWNER, "zhan", True)):
        assert bool(await all_requests(database, caller, part=part)) is is_found, (caller, part)


async def test_a_part_is_sought_among_so_many_and_the_cursor_leads_on(database: Database) -> None:
    old = job(to=("needle@example.com",), at=NOW)
    large = job(to=[f"{n}@example.com" for n in range(WINDOW)], at=NOW + timedelta(seconds=1))
    await keep(database, old)
    await keep(database, large)
    first = await RequestList(database).find(read_query({"part": "needle"}, ADMIN, is_v2=True))
    assert (first.requests, bool(first.next)) == ([], True)
    assert [row["id"] for row in await all_requests(database, part="needle")] == [old.request]
    finder, given = MessageQuery(database), {"part": "needle"}
    page = await finder.find(read_query(given, ADMIN, is_v2=True), is_v2=True)
    assert (page.messages, bool(page.next)) == ([], True)
    page = await finder.find(read_query({**given, "cursor": page.next or ""}, ADMIN, is_v2=True), is_v2=True)
    assert [message["to"] for message in page.messages] == ["needle@example.com"]


async def test_a_name_registered_again_sees_nothing_of_its_predecessor(database: Database) -> None:
    """Nor what says whose it is, whatever the clocks said, nor what is older than users' ids; nor sends it again."""
    registered = NOW + timedelta(minutes=30)
    first = Caller("张三", is_admin=False, user_id="1" * 32, since=NOW - timedelta(days=30))
    second = Caller("张三", is_admin=False, user_id="2" * 32, since=registered)
    his = job(username="张三", at=NOW, user_id="1" * 32)
    his_late = job(username="张三", at=registered + timedelta(seconds=2), user_id="1" * 32)  # a clock that is ahead
    his_of_before = job(username="张三", at=NOW)
    hers_early = job(username="张三", at=registered - timedelta(seconds=2), user_id="2" * 32)  # one that is behind
    hers = job(username="张三", at=registered + timedelta(minutes=1), user_id="2" * 32)
    hers_by_an_old_gateway = job(username="张三", at=registered + timedelta(minutes=2))
    every = [his, his_late, his_of_before, hers_early, hers, hers_by_an_old_gateway]
    await keep(database, *every, *(outcome(one, Status.FAILED) for one in every))
    seen = {m["id"].partition("-")[0] for m in await find(database, second)}
    assert seen == {hers_early.request, hers.request, hers_by_an_old_gateway.request}
    for filters in ({"to": "zhang@example.com"}, {"status": "failed", "method": "smtp"}, {"username": "张三"}):
        assert {m["id"].partition("-")[0] for m in await find(database, second, **filters)} == seen
    assert await find(database, second, id=his.request) == []
    assert {m["id"].partition("-")[0] for m in await find(database, first)} >= {his.request, his_late.request}
    assert len(await find(database, username="张三")) == len(every)
    counter, given = Counter(database, ZoneInfo("Asia/Shanghai")), {"since": "2026-11-24T00:00:00+08:00"}
    later = NOW + timedelta(days=1)
    counted = await counter.count(read_span(given, second, counter.zone, later))
    assert sum(bucket["counts"].get("smtp", {}).get("failed", 0) for bucket in counted) == len(seen)
    resends = Resends(database)
    for one in every:
        if one.request in seen:
            assert (await resends.draft(one.request, second, uncertain=False, again=False))["user_id"] == one.user_id
        else:
            again = partial(resends.draft, one.request, second, uncertain=False, again=False)
            assert await _refusal(again) == "not_found"


async def test_an_upgrade_keeps_what_was_there_and_its_users_see_it(database_url: str) -> None:
    before = replace(STEPS, folder=older_steps(STEPS.folder, "0001"), head="0001")
    await asyncio.to_thread(store_migrate, read_url(database_url), before)
    one = job(username="张三", at=NOW)
    async with connect(read_url(database_url)) as database:
        await database.write(lambda connection: _insert_as_before(connection, one.request))
        await asyncio.to_thread(migrate, read_url(database_url), NOW)
        for caller, count in (
            (ADMIN, 1),
            (Caller("张三", is_admin=False), 1),
            (Caller("张三", is_admin=False, user_id="1" * 32, since=NOW - timedelta(days=1)), 1),
            (Caller("张三", is_admin=False, user_id="2" * 32, since=NOW + timedelta(days=1)), 0),
        ):
            assert len(await find(database, caller)) == count, caller


async def _insert_as_before(connection: AsyncConnection, request: str) -> None:
    row = {"request": request, "username": "张三", "method": "smtp"}
    said = {"lane": "single", "attachments": "[]", "accepted_at": NOW, "expires_at": NOW}
    await connection.execute(insert(requests).values(row | said))
    standing = {"status": "sent", "rank": 30, "attempt": 1, "at": NOW, "mark": 0, "attempts": 1}
    to = {"n": 0, "written": "a@example.com", "address": "a@example.com"}
    await connection.execute(insert(messages).values(row | standing | to))


@pytest.mark.parametrize("to", ["13800138001", "+8613800138001"])
async def test_a_number_is_found_as_written_and_in_its_normal_form(database: Database, to: str) -> None:
    every = await _mixture(database)
    expected = [message["id"] for message in every if message["to"] == "13800138001"]
    assert expected
    assert await all_pages(database, to=to) == expected


async def test_an_address_is_found_whatever_its_case(database: Database) -> None:
    """As it was written, as it is asked for; names and other people are not."""
    spellings = ("Zhang.San@example.com", "zhang.san@example.com", "ZHANG.SAN@Example.COM", "zhang.san@example.net")
    jobs = [job(to=(one,), addresses=(str(email(one)),), at=NOW) for one in spellings]
    by_name = job(to=("张三",), addresses=("Zhang.San@example.com",), at=NOW)
    await keep(database, *jobs, by_name)
    expected = {f"{one.request}-0" for one in (*jobs[:3], by_name)}
    for asked in (*spellings[:3], "zhang.SAN@EXAMPLE.com"):
        listed = [message["id"] for message in await find(database, to=asked)]
        assert set(listed) == expected, asked
        assert len(listed) == len(expected)
        assert [m["id"] for m in await find(database, to=asked, id=jobs[0].request)] == [f"{jobs[0].request}-0"]
    assert {m["to"] for m in await find(database, to="zhang.san@example.com")} == {*spellings[:3], "张三"}


async def test_an_id_names_a_request_or_one_message_with_its_timeline(database: Database) -> None:
    one = job(to=("a@example.com", "b@example.com"), at=NOW)
    await keep(database, one, job(at=NOW))
    await keep(database, outcome(one, Status.RETRYING, 1, attempt=1, code="451", detail="try later"))
    await keep(database, outcome(one, Status.SENT, 1, attempt=2, provider_id="Q7", detail="250 OK"))
    assert [m["id"] for m in await find(database, id=one.request.upper())] == [f"{one.request}-0", f"{one.request}-1"]
    (message,) = await find(database, id=f"{one.request}-1")
    assert [(line["attempt"], line["status"], line["code"], line["detail"]) for line in message["timeline"]] == [
        (1, "retrying", "451", "try later"),
        (2, "sent", None, "250 OK"),
    ]
    assert await find(database, id=f"{one.request}-2") == []
    assert await find(database, OWNER, id=f"{one.request}-1") != []
    assert await find(database, Caller("other", is_admin=False), id=f"{one.request}-1") == []


async def test_content_kept_by_reference_shows_its_subject_and_for_its_id_the_whole(database: Database) -> None:
    content = {"subject": "长文", "text": "文" * 40_000}
    body = json.dumps(content, ensure_ascii=False).encode()
    reference = Reference(sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    one = job(content=None, content_at=reference, at=NOW)
    await Attachments(database).put(Place(one.request, reference.sha256), body, one.expires_at)
    await keep(database, one)
    (listed,) = await find(database)
    assert (listed["subject"], listed["content"]) == ("长文", None)
    (whole,) = await find(database, id=f"{one.request}-0")
    assert whole["content"] == content


async def test_stats_count_by_day_of_the_zone_method_and_status(database: Database) -> None:
    late, early = datetime(2026, 11, 24, 15, 59, 59, tzinfo=UTC), datetime(2026, 11, 24, 16, 0, 0, tzinfo=UTC)
    jobs = [
        job(at=late),
        job(at=early),
        job(at=early, method="sms", content="x", username="李四", to=("+8613800138000",)),
    ]
    await keep(database, *jobs, outcome(jobs[1], Status.SENT))
    counter = Counter(database, ZoneInfo("Asia/Shanghai"))
    given = {"since": "2026-11-24T00:00:00+08:00", "until": "2026-11-26T00:00:00+08:00"}
    everybody = await counter.count(read_span(given, ADMIN, counter.zone, NOW))
    assert everybody == [
        {"start": "2026-11-23T16:00:00.000Z", "counts": {"smtp": {"queued": 1}}},
        {"start": "2026-11-24T16:00:00.000Z", "counts": {"smtp": {"sent": 1}, "sms": {"queued": 1}}},
    ]
    own = await counter.count(read_span(given | {"bucket": "hour"}, Caller("李四", is_admin=False), counter.zone, NOW))
    assert len(own) == 48
    assert [bucket for bucket in own if bucket["counts"]] == [
        {"start": "2026-11-24T16:00:00.000Z", "counts": {"sms": {"queued": 1}}}
    ]


# --- sending again, attachments, dead letters


async def test_only_what_failed_or_expired_is_sent_again(database: Database) -> None:
    one = job(to=[f"{n}@example.com" for n in range(5)], at=NOW)
    ends = (Status.SENT, Status.FAILED, Status.EXPIRED, Status.UNCERTAIN, Status.RETRYING)
    await keep(database, one, *(outcome(one, status, n) for n, status in enumerate(ends)))
    resends = Resends(database)
    draft = await resends.draft(one.request, OWNER, uncertain=False, again=False)
    assert [recipient["n"] for recipient in draft["recipients"]] == [1, 2]
    assert draft["content"] == one.content
    draft = await resends.draft(one.request, ADMIN, uncertain=True, again=False)
    assert [recipient["n"] for recipient in draft["recipients"]] == [1, 2, 3]
    assert (
        await _refusal(lambda: resends.draft(f"{one.request}-0", OWNER, uncertain=False, again=False))
        == "nothing_to_resend"
    )
    stranger = Caller("other", is_admin=False)
    assert await _refusal(lambda: resends.draft(one.request, stranger, uncertain=False, again=False)) == "not_found"


async def test_what_was_sent_again_is_left_out_and_both_sides_show_it(database: Database) -> None:
    one = job(to=[f"{n}@example.com" for n in range(3)], at=NOW)
    await keep(database, one, *(outcome(one, Status.FAILED, n) for n in range(3)))
    second = job(to=("1@example.com",), at=NOW + timedelta(seconds=1), resend_of=f"{one.request}-1")
    await keep(database, second)
    resends = Resends(database)
    assert await _refusal(lambda: resends.draft(f"{one.request}-1", OWNER, uncertain=False, again=False)) == (
        "already_resent"
    )
    draft = await resends.draft(one.request, OWNER, uncertain=False, again=False)
    assert [recipient["n"] for recipient in draft["recipients"]] == [0, 2]
    third = job(to=("0@example.com", "2@example.com"), at=NOW + timedelta(seconds=2), resend_of=one.request)
    await keep(database, third)
    assert await _refusal(lambda: resends.draft(one.request, OWNER, uncertain=False, again=False)) == "already_resent"
    draft = await resends.draft(one.request, OWNER, uncertain=False, again=True)
    assert [recipient["n"] for recipient in draft["recipients"]] == [0, 1, 2]
    fourth = job(to=("1@example.com",), at=NOW + timedelta(seconds=3), resend_of=f"{one.request}-1")
    await keep(database, fourth)
    shown = (await MessageQuery(database).find(read_query({}, OWNER, is_v2=True), is_v2=True)).messages
    assert {message["id"]: message["resent_as"] for message in shown if message["resent_as"]} == {
        f"{one.request}-0": [f"{third.request}-0"],
        f"{one.request}-1": [f"{second.request}-0", f"{fourth.request}-0"],
        f"{one.request}-2": [f"{third.request}-1"],
    }
    assert {message["resend_of"] for message in shown} == {None, one.request, f"{one.request}-1"}


async def test_what_a_dead_letter_held_back_is_sent_again_once(database: Database) -> None:
    one = job(to=("a@example.com", "b@example.com"), at=NOW)
    await keep(database, one, make_delivery(one, DEAD, reason="broke", queue="imsg.smtp.bulk"))
    (letter,) = (await DeadLetters(database).page(None, None)).dead
    resends = Resends(database)
    assert len((await resends.draft_of_dead(letter["id"], ADMIN, again=False))["recipients"]) == 2
    await keep(database, job(to=("a@example.com", "b@example.com"), at=NOW, resend_of=one.request))
    for ask in (resends.draft_of_dead(letter["id"], ADMIN, again=False),):
        with pytest.raises(Refusal) as refusal:
            await ask
        assert refusal.value.reason == "already_resent"
    assert len((await resends.draft_of_dead(letter["id"], ADMIN, again=True))["recipients"]) == 2


async def test_a_request_is_shown_and_found_by_its_reference(database: Database) -> None:
    named = [job(to=("a@example.com", "b@example.com"), at=NOW, reference="订单-1"), job(at=NOW, reference="订单-1")]
    other = job(at=NOW, username="李四", reference="订单-1")
    await keep(database, *named, other, job(at=NOW), job(at=NOW, reference="订单-2"))
    await keep(database, outcome(named[0], Status.SENT, 0))

    async def ids(caller: Caller, **filters: str) -> list[str]:
        query = read_query({"reference": "订单-1", **filters}, caller, is_v2=True)
        found = (await MessageQuery(database).find(query, is_v2=True)).messages
        assert {message["reference"] for message in found} <= {"订单-1"}
        return [message["id"] for message in found]

    newest = sorted((named[0].request, named[1].request), reverse=True)
    own = [f"{request}-{n}" for request in newest for n in ((0, 1) if request == named[0].request else (0,))]
    assert await ids(OWNER) == own
    assert await ids(OWNER, status="sent") == [f"{named[0].request}-0"]
    assert await ids(OWNER, to="b@example.com") == [f"{named[0].request}-1"]
    assert await ids(OWNER, id=named[1].request) == [f"{named[1].request}-0"]
    assert set(await ids(ADMIN)) == {*own, f"{other.request}-0"}
    assert await ids(Caller("other", is_admin=False)) == []
    first = await MessageQuery(database).find(read_query({"reference": "订单-1", "limit": "2"}, OWNER, is_v2=True))
    assert await ids(OWNER, cursor=first.next or "") == own[2:]
    (frozen,) = await find(database, id=named[1].request, reference="订单-2")
    assert "reference" not in frozen
    assert "resent_as" not in frozen


async def test_what_a_request_is_for_is_shown_wherever_it_is_and_to_v1_nowhere(database: Database) -> None:
    """What was recorded by a history of before counts as a notice."""
    code, older = job(at=NOW, category=Category.CODE), job(at=NOW)
    await keep(database, code, older)
    forget = update(requests).where(requests.c.request == older.request).values(category=None)
    await database.write(lambda connection: connection.execute(forget))
    for one, category in ((code, "code"), (older, "notice")):
        assert (await Overviews(database).one(one.request, OWNER))["category"] == category
        query = read_query({"id": one.request}, OWNER, is_v2=True)
        (shown,) = (await MessageQuery(database).find(query, is_v2=True)).messages
        assert shown["category"] == category
        (frozen,) = await find(database, id=one.request)
        assert "category" not in frozen


async def test_a_request_at_a_glance(database: Database) -> None:
    one = job(to=("a@example.com", "b@example.com"), at=NOW, reference="r")
    await keep(database, one)
    overviews = Overviews(database)
    shown = await overviews.one(one.request, OWNER)
    assert (shown["id"], shown["reference"], shown["method"], shown["category"]) == (one.request, "r", "smtp", "notice")
    assert (shown["state"], shown["created_at"]) == ("queued", "2026-11-25T08:00:00.000Z")
    assert {status: count for status, count in shown["counts"].items() if count} == {"queued": 2}
    await keep(database, outcome(one, Status.SENT, 0))
    assert (await overviews.one(one.request.upper(), ADMIN))["state"] == "sending"
    await keep(database, outcome(one, Status.FAILED, 1))
    shown = await overviews.one(one.request, OWNER)
    assert (shown["state"], shown["counts"]["sent"], shown["counts"]["failed"]) == ("settled", 1, 1)
    for name, caller in (
        (one.request, Caller("other", is_admin=False)),
        ("0" * 32, ADMIN),
        (f"{one.request}-0", ADMIN),
    ):
        with pytest.raises(Refusal) as refusal:
            await overviews.one(name, caller)
        assert refusal.value.reason == "not_found"


async def test_a_dead_letter_is_sent_again_by_its_own_id(database: Database) -> None:
    one = job(to=("a@example.com", "b@example.com"), at=NOW)
    await keep(database, one, outcome(one, Status.SENT, 0))
    await keep(
        database,
        make_delivery(one, DEAD, reason="broke", queue="imsg.smtp.bulk"),
        make_delivery(b"{", DEAD, reason="x"),
    )
    letters = (await DeadLetters(database).page(None, None)).dead
    names = {letter["method"]: letter["id"] for letter in letters}
    draft = await Resends(database).draft(names["smtp"], ADMIN, uncertain=False, again=False)
    assert (draft["request"], [recipient["to"] for recipient in draft["recipients"]]) == (
        one.request,
        ["b@example.com"],
    )
    resends = Resends(database)
    assert await _refusal(lambda: resends.draft_of_dead(names[None], ADMIN, again=False)) == "nothing_to_resend"
    assert await _refusal(lambda: resends.draft_of_dead(names["smtp"], OWNER, again=False)) == "no_right"


async def test_dead_letters_page_newest_first(database: Database) -> None:
    for i in range(7):
        moment = NOW + timedelta(seconds=i)
        recorder = BatchWriter(database, lambda moment=moment: moment, RETENTION, Counts(CollectorRegistry()))  # type: ignore[misc]
        await recorder.keep([make_delivery(f"{i}".encode(), DEAD, reason="unreadable: what is this")])
    letters = DeadLetters(database)
    first = await letters.page("4", None)
    second = await letters.page("4", first.next)
    bodies = [(await letters.one(letter["id"]))["body"] for letter in (*first.dead, *second.dead)]
    assert (bodies, second.next) == (["6", "5", "4", "3", "2", "1", "0"], None)
    assert (first.dead[0]["reason"], first.dead[0]["detail"]) == ("unreadable", "what is this")


async def test_attachments_are_kept_byte_for_byte_and_checked(database: Database) -> None:
    body = bytes(range(256)) * 40_960
    place = Place(request_id(NOW), hashlib.sha256(body).hexdigest())
    kept = Attachments(database)
    assert await _refusal(lambda: kept.put(place, body[1:], NOW)) == "wrong_type"
    assert await _refusal(lambda: kept.get(place)) == "not_found"
    await kept.put(place, body, NOW)
    await kept.put(place, body, NOW + timedelta(hours=1))
    assert await kept.get(place) == body


async def _refusal(call: Callable[[], Awaitable[object]]) -> str:
    with pytest.raises(Refusal) as caught:
        await call()
    return caught.value.reason
