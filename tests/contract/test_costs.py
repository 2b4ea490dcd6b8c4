"""What messages cost: October's bills of two providers, to the fen."""

import csv
import io
import json
import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from openpyxl import load_workbook
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, SecretStr

from imsg_contract.prices import Price, PriceList
from imsg_contract.wire import Job, Outcome, Status
from imsg_database.address import read_url
from imsg_history.database import Database, connect
from imsg_history.eraser import Eraser
from imsg_history.queries import MessagesQuery
from imsg_history.query import MessageQuery
from imsg_history.report_builder import ReportBuilder
from imsg_history.report_schemas import NewReport
from imsg_history.reports import Reports
from imsg_history.writer import BatchWriter, WriterMetrics
from imsg_people.tombstones import Digests, Tombstone
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, receipt
from imsg_testing.history_store import ADMIN, RETENTION, count_messages, read_day_facts

ZONE = ZoneInfo("Asia/Shanghai")
DIGESTS = Digests((SecretStr("a key of tombstones"),))
OCTOBER: dict[str, Any] = {"since": "2026-10-01T00:00:00+08:00", "until": "2026-11-01T00:00:00+08:00"}

ALIYUN = """\
手机号码,发送时间,发送状态,计费条数,费用(元)
13800000001,2026-10-01 00:00:05,成功,1,0.045
13800000002,2026-10-03 09:12:44,成功,3,0.135
13800000003,2026-10-15 23:59:58,成功,2,0.090
13800000004,2026-10-16 00:00:01,成功,2,0.080
13800000006,2026-10-20 18:30:00,失败,1,0.040
13800000005,2026-10-31 23:59:59,成功,1,0.040
"""
"""Details of a bill as the console of 阿里云 exports them: 0.43 in all. The price fell on 16 October."""

TWILIO = """\
From,To,Body,Status,SentDate,ApiVersion,NumSegments,ErrorCode,AccountSid,Sid,Direction,Price,PriceUnit
+15005550006,+12125550123,hi,delivered,2026-10-02 10:00:00 UTC,2010-04-01,1,,AC1,SM01,outbound-api,-0.00830,USD
+15005550006,+12125550124,hi,delivered,2026-10-09 11:30:00 UTC,2010-04-01,2,,AC1,SM02,outbound-api,-0.01660,USD
+15005550006,+14165550125,hi,undelivered,2026-10-31 15:59:59 UTC,2010-04-01,1,30003,AC1,SM03,outbound-api,-0.00750,USD
"""
"""Twilio's export of messages: 0.0324 in all; its prices are negative."""

PRICES = PriceList(
    (
        Price("sms", "aliyun", "CN", "segment", 45_000, "CNY", "2026-01-01"),
        Price("sms", "aliyun", "CN", "segment", 40_000, "CNY", "2026-10-16"),
        Price("sms", "aliyun", "CN", "segment", 99_000, "CNY", "2026-11-01"),
        Price("sms", "twilio", None, "segment", 10_000, "USD", "2026-01-01"),
    )
)


def read_bill() -> Iterator[tuple[Job, Outcome, BaseModel]]:
    """Read each line: the message, that the provider took it, and its receipt."""
    for line in csv.DictReader(io.StringIO(ALIYUN)):
        at = datetime.fromisoformat(line["发送时间"]).replace(tzinfo=ZONE)
        to = f"+86{line['手机号码']}"
        accepted_job = job(at=at, method="sms", to=[to], username="library", segments=1)  # we counted one of each
        sent = outcome(accepted_job, Status.SENT, provider="aliyun", provider_id=f"biz-{to}").model_copy(
            update={"at": at}
        )
        status = Status.DELIVERED if line["发送状态"] == "成功" else Status.FAILED
        yield accepted_job, sent, receipt(sent, to, status, segments=int(line["计费条数"]))
    for line in csv.DictReader(io.StringIO(TWILIO)):
        at = datetime.fromisoformat(line["SentDate"].replace(" UTC", "+00:00"))
        accepted_job = job(at=at, method="sms", to=[line["To"]], username="tax", segments=1)
        sent = outcome(accepted_job, Status.SENT, provider="twilio", provider_id=line["Sid"]).model_copy(
            update={"at": at}
        )
        status = Status.DELIVERED if line["Status"] == "delivered" else Status.FAILED
        yield (
            accepted_job,
            sent,
            receipt(sent, line["To"], status, price=line["Price"].lstrip("-"), currency=line["PriceUnit"]),
        )


async def record(database: Database, facts: Sequence[BaseModel], seed: int) -> None:
    """Record facts in any order, in batches of any length, each once or twice; match the receipts."""
    random = Random(seed)  # noqa: S311  the same order in each run
    shuffled = random.sample(facts, len(facts)) + random.sample(facts, len(facts) // 2)
    registry = CollectorRegistry()
    writer = BatchWriter(database, lambda: NOW, RETENTION, WriterMetrics(registry), DIGESTS, zone=ZONE)
    while shuffled:
        length = random.randint(1, 5)
        await writer.write([make_delivery(fact) for fact in shuffled[:length]])
        del shuffled[:length]


async def make_report(database: Database, **body: Any) -> bytes:  # noqa: ANN401  any JSON
    """Make a report; return its file."""
    store = Reports(database, ZONE, lambda: NOW, lambda: None)

    async def fetch_prices() -> PriceList:
        return PRICES

    name = await store.begin(NewReport.model_validate({**OCTOBER, **body}), ADMIN)
    assert await ReportBuilder(database, ZONE, lambda: NOW, fetch_prices).build_next()
    return (await store.read_part(name, 0, ADMIN)).body


async def read_costs(database: Database, *by: str) -> dict[tuple[str, ...], list[tuple[str, str, bool]]]:
    """Read the costs of October by dimensions."""
    rows = json.loads(await make_report(database, kind="usage", by=by))["rows"]
    return {
        tuple(row[name] for name in by): [(cost["amount"], cost["currency"], cost["estimated"]) for cost in row["cost"]]
        for row in rows
    }


@on_both_databases
async def test_octobers_bill_is_that_of_the_providers_to_the_fen(database: Database) -> None:
    """Whatever order facts come in, and after an erasure too; currencies are never added to one another."""
    lines = list(read_bill())
    november = job(at=datetime(2026, 10, 31, 16, tzinfo=ZoneInfo("UTC")), method="sms", to=["+8613800000009"])
    await record(database, [line for line, _, _ in lines] + [sent for _, sent, _ in lines] + [november], 1)
    await record(database, [outcome(november, Status.SENT, provider="aliyun")], 1)
    estimates = await read_costs(database, "provider")
    assert estimates == {("aliyun",): [("0.255", "CNY", True)], ("twilio",): [("0.03", "USD", True)]}

    await record(database, [given for _, _, given in lines], 2)
    assert await read_costs(database, "provider") == {
        ("aliyun",): [("0.43", "CNY", False)],
        ("twilio",): [("0.0324", "USD", False)],
    }
    total = await read_costs(database)
    assert total == {(): [("0.43", "CNY", False), ("0.0324", "USD", False)]}
    assert (await read_costs(database, "day"))["2026-10-16",] == [("0.08", "CNY", False)]

    stone = Tombstone(secrets.token_hex(16), DIGESTS.of("+8613800000002"), NOW)
    assert await Eraser(database, DIGESTS).erase([stone]) == 1
    assert await read_costs(database) == total
    facts = await read_day_facts(database)
    assert facts == await count_messages(database)


async def test_a_bill_is_the_same_in_every_order_of_its_facts(migrated_sqlite: str, migrated_postgres: str) -> None:
    for seed, url in enumerate((migrated_sqlite, migrated_postgres)):
        async with connect(read_url(url)) as database:
            await record(database, [fact for line in read_bill() for fact in line], 10 + seed)
            assert await read_costs(database) == {(): [("0.43", "CNY", False), ("0.0324", "USD", False)]}


async def test_a_sheet_has_a_column_of_numbers_for_each_currency(database: Database) -> None:
    await record(database, [fact for line in read_bill() for fact in line], 3)
    sheet = load_workbook(io.BytesIO(await make_report(database, kind="usage", by=["user"], format="xlsx"))).active
    assert sheet is not None
    heads, *rows = [list(row) for row in sheet.iter_rows(values_only=True)]
    shown = [dict(zip(heads, row, strict=True)) for row in rows]
    assert [(row["user"], row["cost_CNY"], row["cost_USD"], row["cost_estimated"]) for row in shown] == [
        ("library", 0.43, None, False),
        ("tax", None, 0.0324, False),
    ]
    text = (await make_report(database, kind="messages", format="csv")).decode("utf-8-sig")
    costs = {row["to"]: (row["cost"], row["currency"]) for row in csv.DictReader(io.StringIO(text))}
    assert costs["+8613800000002"] == ("0.135", "CNY")
    assert costs["+12125550124"] == ("0.0166", "USD")


async def test_segments_of_a_providers_answer_replace_the_count(database: Database) -> None:
    """Tencent names them as it takes a message; a number that cannot be is none."""
    to = [f"+861380000000{n}" for n in range(3)]
    accepted_job = job(at=datetime(2026, 10, 20, tzinfo=ZONE), method="sms", to=to, segments=1)
    named = (3, 0, None)
    outcomes = [
        outcome(accepted_job, Status.SENT, n, provider="tencent", provider_id=f"S{n}", segments=segments)
        for n, segments in enumerate(named)
    ]
    await record(database, [accepted_job, *outcomes], 5)
    prices = PriceList((Price("sms", "tencent", "CN", "segment", 50_000, "CNY", "2026-01-01"),))
    page = await MessageQuery(database).find(MessagesQuery.model_validate({"id": accepted_job.request}), ADMIN, prices)
    costs = [(message["cost"]["amount"], message["cost"]["estimated"]) for message in page.rows]
    assert costs == [("0.15", False), ("0.05", True), ("0.05", True)]
    assert await read_day_facts(database) == await count_messages(database)


async def test_a_message_shows_its_cost_and_none_where_no_provider_took_it(database: Database) -> None:
    """What may have been taken counts; figures that cannot be are none."""
    to = [f"+861380000000{n}" for n in range(6)]
    accepted_job = job(at=datetime(2026, 10, 20, tzinfo=ZONE), method="sms", to=to, segments=2)
    ends = (Status.SENT, Status.UNCERTAIN, Status.FAILED, Status.RETRYING, Status.SENT)
    outcomes = [
        outcome(accepted_job, status, n, provider="aliyun", provider_id=f"biz-{n}") for n, status in enumerate(ends)
    ]
    absurd = receipt(outcomes[4], to[4], segments=-3, price="NaN", currency="CNY")
    await record(database, [accepted_job, *outcomes, absurd], 4)
    query = MessagesQuery.model_validate({"id": accepted_job.request})
    page = await MessageQuery(database).find(query, ADMIN, PRICES)
    estimate = {"amount": "0.08", "currency": "CNY", "estimated": True}
    by_number = {message["id"].rpartition("-")[2]: message["cost"] for message in page.rows}
    assert by_number == {"0": estimate, "1": estimate, "2": None, "3": None, "4": estimate, "5": None}
