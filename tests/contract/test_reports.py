"""Reports of usage and of messages, from what is asked for to the file."""

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from openpyxl import load_workbook
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import delete, func, select, update

from imsg_contract.errors import Refusal
from imsg_contract.prices import PriceList
from imsg_contract.wire import Status
from imsg_history.database import Database
from imsg_history.eraser import Eraser
from imsg_history.report_builder import LEASE, MAX_TRIES, ReportBuilder
from imsg_history.report_schemas import NewReport, ReportsQuery
from imsg_history.reports import LIFETIME, MAX_UNFINISHED, Reports
from imsg_history.tables import day_facts, messages, report_parts, reports, requests
from imsg_history.writer import BatchWriter, WriterMetrics
from imsg_people.tombstones import Digests, Tombstone
from imsg_testing.callers import user
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome
from imsg_testing.history_store import ADMIN, OWNER, RETENTION
from imsg_web.callers import Caller

ZONE = ZoneInfo("Asia/Shanghai")
OCTOBER: dict[str, Any] = {"since": "2026-10-01T00:00:00+08:00", "until": "2026-11-01T00:00:00+08:00"}
NOVEMBER: dict[str, Any] = {"since": "2026-11-01T00:00:00+08:00", "until": "2026-12-01T00:00:00+08:00"}
LIBRARY = user("library")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now


class Desk:
    """Where reports are asked for, made and fetched."""

    def __init__(self, database: Database) -> None:
        self.clock = Clock()
        self.database = database
        self.prices = PriceList()
        self.store = Reports(database, ZONE, self.clock, lambda: None)
        self.builder = ReportBuilder(database, ZONE, self.clock, self.fetch_prices)

    async def fetch_prices(self) -> PriceList:
        """Return the prices that a test set."""
        return self.prices

    async def make(self, caller: Caller = ADMIN, **body: Any) -> bytes:  # noqa: ANN401  any JSON
        """Make a report, and return its file."""
        name = await self.store.begin(NewReport.model_validate(body), caller)
        assert await self.builder.build_next()
        return await self.fetch(name, caller)

    async def fetch(self, name: str, caller: Caller = ADMIN) -> bytes:
        """Fetch a file part by part."""
        first = await self.store.read_part(name, 0, caller)
        rest = [(await self.store.read_part(name, n, caller)).body for n in range(1, first.parts)]
        return b"".join((first.body, *rest))

    async def read_rows(self, caller: Caller = ADMIN, **body: Any) -> list[dict[str, Any]]:  # noqa: ANN401  any JSON
        """Make a report as JSON, and return its rows."""
        rows: list[dict[str, Any]] = json.loads(await self.make(caller, **body))["rows"]
        return rows


@pytest.fixture
def desk(database: Database) -> Desk:
    """Make what holds reports over a database of history."""
    return Desk(database)


async def record(database: Database, *batch: Any) -> None:  # noqa: ANN401  jobs and outcomes
    """Record one batch; its days are Shanghai's."""
    writer = BatchWriter(database, lambda: NOW, RETENTION, WriterMetrics(CollectorRegistry()), zone=ZONE)
    await writer.write(list(map(make_delivery, batch)))


async def send(database: Database, username: str, at: datetime, statuses: Sequence[Status], **given: Any) -> None:  # noqa: ANN401  fields of a job
    """Record a list whose recipients end with these statuses."""
    to = [f"+86139{n:08}" for n in range(len(statuses))]
    accepted_job = job(username=username, at=at, method="sms", to=to, segments=2, **given)
    await record(
        database,
        accepted_job,
        *(outcome(accepted_job, status, n, provider="aliyun") for n, status in enumerate(statuses)),
    )


@on_both_databases
async def test_usage_of_october_by_user_is_there_when_the_messages_are_gone(database: Database, desk: Desk) -> None:
    october = NOW.replace(month=10, day=31, hour=15, minute=59)  # 23:59 in Shanghai
    await send(database, "library", october, [Status.SENT, Status.FAILED, Status.DELIVERED, Status.UNCERTAIN])
    await send(database, "library", october + timedelta(minutes=1), [Status.SENT])  # in November
    await send(database, "tax", october - timedelta(days=9), [Status.SENT])
    for table in (messages, requests):
        await database.execute(delete(table))
    assert await desk.read_rows(kind="usage", by=["user", "month"], **OCTOBER) == [
        {
            "user": "library", "month": "2026-10", "messages": 4, "segments": 8, "sent": 2, "delivered": 1,
            "failed": 1, "uncertain": 1, "cost": [],
        },
        {
            "user": "tax", "month": "2026-10", "messages": 1, "segments": 2, "sent": 1, "delivered": 0, "failed": 0,
            "uncertain": 0, "cost": [],
        },
    ]  # fmt: skip
    (total,) = await desk.read_rows(kind="usage", filters={"user": "library"}, **OCTOBER)
    assert (total["messages"], total["segments"]) == (4, 8)


async def test_a_report_shows_no_messages_of_other_users(database: Database, desk: Desk) -> None:
    await send(database, "library", NOW, [Status.SENT] * 2)
    await send(database, "tax", NOW, [Status.SENT] * 3)
    (usage,) = await desk.read_rows(LIBRARY, kind="usage", by=["user"], **NOVEMBER)
    assert (usage["user"], usage["messages"]) == ("library", 2)
    listed = await desk.read_rows(LIBRARY, kind="messages", **NOVEMBER)
    assert {row["username"] for row in listed} == {"library"}
    with pytest.raises(Refusal, match="no_right"):
        await desk.store.begin(
            NewReport.model_validate({"kind": "usage", "filters": {"user": "tax"}, **NOVEMBER}), LIBRARY
        )

    name = await desk.store.begin(NewReport.model_validate({"kind": "usage", **NOVEMBER}), LIBRARY)
    await desk.builder.build_next()
    for refused in (desk.store.show(name, OWNER), desk.fetch(name, ADMIN)):
        with pytest.raises(Refusal, match="not_found"):
            await refused


@on_both_databases
async def test_every_message_of_a_long_list_is_in_each_format(database: Database, desk: Desk) -> None:
    statuses = [Status.SENT] * 700 + [Status.FAILED] * 30
    await send(database, "library", NOW, statuses, reference="=1+1")
    chosen: dict[str, Any] = {"kind": "messages", "filters": {"method": "sms", "status": "sent"}, **NOVEMBER}
    rows = await desk.read_rows(**chosen)
    assert len({row["id"] for row in rows}) == 700
    assert {row["to"][:6] for row in rows} == {"+86139"}

    text = (await desk.make(**chosen, format="csv")).decode("utf-8-sig")
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["id"] for row in table] == [row["id"] for row in rows]
    assert {row["reference"] for row in table} == {"'=1+1"}

    sheet = load_workbook(io.BytesIO(await desk.make(**chosen, format="xlsx"))).worksheets[0]
    head, *cells = sheet.iter_rows(values_only=True)
    columns = [str(name) for name in head]
    assert [dict(zip(columns, row, strict=True)) for row in cells] == rows


@on_both_databases
async def test_a_report_may_reach_to_the_end_of_all_time(database: Database, desk: Desk) -> None:
    await send(database, "library", NOW, [Status.SENT])
    until = "9999-12-31T23:59:59Z"
    (total,) = await desk.read_rows(kind="usage", since=OCTOBER["since"], until=until)
    (message,) = await desk.read_rows(kind="messages", since=OCTOBER["since"], until=until)
    assert (total["messages"], message["status"]) == (1, "sent")


async def test_a_report_shows_its_progress_and_ends_after_a_day(database: Database, desk: Desk) -> None:
    await send(database, "library", NOW, [Status.SENT])
    name = await desk.store.begin(NewReport.model_validate({"kind": "usage", "by": ["user"], **NOVEMBER}), ADMIN)
    waiting = await desk.store.show(name, ADMIN)
    assert (waiting["state"], waiting["progress"], waiting["url"]) == ("waiting", 0, None)
    await desk.builder.build_next()
    assert not await desk.builder.build_next()
    (done,) = (await desk.store.find(ReportsQuery(), ADMIN)).rows
    assert (done["state"], done["progress"], done["rows"]) == ("done", 100, 1)
    assert (done["url"], done["timezone"]) == (f"/api/v2/reports/{name}/file", "Asia/Shanghai")
    desk.clock.now += LIFETIME
    with pytest.raises(Refusal, match="not_found"):
        await desk.store.show(name, ADMIN)


@on_both_databases
async def test_a_report_whose_process_was_killed_is_made_by_another(database: Database, desk: Desk) -> None:
    await send(database, "library", NOW, [Status.SENT])
    name = await desk.store.begin(NewReport.model_validate({"kind": "usage", **NOVEMBER}), ADMIN)
    await database.execute(update(reports).values(state="running", tries=1, leased_until=NOW + LEASE))
    assert not await desk.builder.build_next()
    desk.clock.now += LEASE + timedelta(seconds=1)
    assert await desk.builder.build_next()
    assert (await desk.store.show(name, ADMIN))["state"] == "done"
    await database.execute(update(reports).values(state="running", tries=MAX_TRIES, leased_until=NOW))
    assert await desk.builder.build_next()
    assert (await desk.store.show(name, ADMIN))["state"] == "failed"


async def test_an_erasure_leaves_no_list_of_messages(database: Database, desk: Desk) -> None:
    await send(database, "library", NOW, [Status.SENT])
    listed = await desk.store.begin(NewReport.model_validate({"kind": "messages", **NOVEMBER}), ADMIN)
    counted = await desk.store.begin(NewReport.model_validate({"kind": "usage", **NOVEMBER}), ADMIN)
    assert await desk.builder.build_next()
    assert await desk.builder.build_next()
    digests = Digests((SecretStr("a key of tombstones"),))
    await Eraser(database, digests).erase([Tombstone("0" * 32, digests.of("+8613900000000"), NOW)])
    with pytest.raises(Refusal, match="not_found"):
        await desk.fetch(listed)
    assert await desk.fetch(counted)
    assert await database.scalar(select(func.count()).select_from(report_parts)) == 1


async def test_a_user_can_not_fill_the_queue_of_reports(desk: Desk) -> None:
    report = NewReport.model_validate({"kind": "usage", **NOVEMBER})
    for _ in range(MAX_UNFINISHED):
        await desk.store.begin(report, LIBRARY)
    with pytest.raises(Refusal, match="too_many_reports"):
        await desk.store.begin(report, LIBRARY)
    await desk.store.begin(report, ADMIN)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"until": OCTOBER["since"]}, "until"),
        ({"since": "2026-10-01"}, "since"),
        ({"by": ["user", "user"]}, "by"),
        ({"kind": "messages", "by": ["user"]}, "by"),
        ({"filters": {"status": "sent"}}, "filters.status"),
        ({"kind": "messages", "filters": {"template": "x"}}, "filters.template"),
        ({"kind": "messages", "filters": {"status": "gone"}}, "status"),
    ],
)
def test_what_a_report_can_not_be_of_is_refused_by_its_field(given: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal, match="wrong_type") as refused:
        NewReport.model_validate({"kind": "usage", **OCTOBER, **given})
    assert refused.value.values["field"] == field


@on_both_databases
async def test_a_year_of_usage_is_summed_up_from_the_facts_of_its_days(database: Database, desk: Desk) -> None:
    """Twenty users with twelve facts a day, by channel, provider, template and more: a million messages."""
    blank = dict.fromkeys((column.name for column in day_facts.columns), "")
    zeros = {column.name: 0 for column in day_facts.columns if column.name not in blank or not column.primary_key}
    rows = [
        {**blank, **zeros, "day": str((NOW - timedelta(days=day)).date()), "username": f"user{n}", "user_id": f"{n}",
         "method": ("sms", "smtp", "wechat")[fact % 3], "provider": f"p{fact % 6}", "template": f"t{fact}",
         "messages": 12, "charged": 12}
        for day in range(365) for n in range(20) for fact in range(12)
    ]  # fmt: skip
    await database.write(lambda connection: connection.execute(day_facts.insert(), rows))
    year: dict[str, Any] = {"since": "2025-11-26T00:00:00+08:00", "until": "2026-11-26T00:00:00+08:00"}
    found = await desk.read_rows(kind="usage", by=["user", "month"], **year)
    assert sum(row["messages"] for row in found) == 365 * 20 * 12 * 12
