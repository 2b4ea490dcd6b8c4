"""A receipt finds its message, whichever arrives first."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, func, select
from sqlalchemy.event import listen, remove

from imsg_contract.wire import Outcomes, Status
from imsg_history.database import Database
from imsg_history.tables import receipts
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, receipt
from imsg_testing.history_store import find, find_all_ids, find_page, make_writer, read_statuses, record


@pytest.mark.parametrize("early", ["receipt", "outcome", "job"])
@on_both_databases
async def test_a_receipt_finds_its_message_early_or_late(database: Database, early: str) -> None:
    accepted_job = job(method="sms", to=("+8613800138000",), content="明天下雨", at=NOW)
    sent = outcome(accepted_job, Status.SENT, provider="aliyun", provider_id="900619746936498440")
    events = {"job": accepted_job, "outcome": sent, "receipt": receipt(sent, "+8613800138000")}
    for event in (events.pop(early), *reversed(events.values())):
        await record(database, event)
    assert await read_statuses(database, accepted_job) == ["delivered"]
    assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts))) == 0


@pytest.mark.parametrize("early", ["receipt", "outcome", "job"])
async def test_a_receipt_that_names_its_message_finds_it_early_or_late(database: Database, early: str) -> None:
    accepted_job = job(at=NOW)
    sent = outcome(accepted_job, Status.SENT, provider_id="Q1")
    named = {"request": accepted_job.request, "n": 0, "provider": "smtp", "provider_id": f"{accepted_job.request}-0"}
    bounced = receipt(sent, "", Status.FAILED, **named, code="550 5.1.1", detail="no such user")
    events = {"job": accepted_job, "outcome": sent, "receipt": bounced}
    for event in (events.pop(early), *reversed(events.values()), bounced):
        await record(database, event)
    (message,) = await find(database, id=f"{accepted_job.request}-0")
    assert (message["status"], message["error"]["code"], message["attempts"]) == ("failed", "550 5.1.1", 1)
    assert [line["status"] for line in message["timeline"]] == ["sent", "failed"]
    assert (message["provider"], message["provider_id"]) == (sent.provider, "Q1")
    assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts))) == 0


async def test_a_complaint_is_a_line_of_its_message_early_or_late_and_moves_nothing(database: Database) -> None:
    accepted_job = job(at=NOW)
    sent = outcome(accepted_job, Status.SENT, provider_id="Q1")
    complaint = receipt(
        sent, "", complaint_of=accepted_job.request, n=0, code="complaint", detail="Feedback-Type: abuse"
    )
    for event in (complaint, sent, accepted_job, complaint):
        await record(database, event)
    (message,) = (await find_page(database, id=f"{accepted_job.request}-0")).rows
    assert (message["status"], message["error"], message["provider_id"]) == ("sent", None, "Q1")
    assert [(line["status"], line["code"]) for line in message["timeline"]] == [
        ("sent", None),
        ("complaint", "complaint"),
    ]
    delivered = receipt(sent, "", request=accepted_job.request, n=0, at=complaint.at + timedelta(seconds=1))
    await record(database, delivered)
    (message,) = (await find_page(database, id=f"{accepted_job.request}-0")).rows
    assert (message["status"], [line["status"] for line in message["timeline"]]) == (
        "delivered",
        ["sent", "delivered", "complaint"],
    )
    (in_v1,) = await find(database, id=f"{accepted_job.request}-0")
    assert [line["status"] for line in in_v1["timeline"]] == ["sent", "delivered", "delivered"]
    assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts))) == 0


async def test_a_message_is_delivered_for_good_whatever_bounces_later(database: Database) -> None:
    accepted_job = job(at=NOW)
    sent = outcome(accepted_job, Status.SENT, provider_id="Q1")
    named: dict[str, Any] = {"request": accepted_job.request, "n": 0}
    await record(
        database, accepted_job, sent, receipt(sent, "", **named), receipt(sent, "", Status.FAILED, code="550", **named)
    )
    assert await read_statuses(database, accepted_job) == ["delivered"]


@on_both_databases
async def test_one_provider_id_for_many_numbers_reaches_each_by_its_address(database: Database) -> None:
    numbers = [f"+86138{n:08}" for n in range(1_000)]
    accepted_job = job(method="sms", to=numbers, content="明天下雨", at=NOW)
    sent = [outcome(accepted_job, Status.SENT, n, provider="aliyun", provider_id="9006") for n in range(1_000)]
    await record(database, accepted_job, Outcomes(outcomes=tuple(sent)))
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
    await record(database, *reports)
    assert [int(message.split("-")[1]) for message in await find_all_ids(database, status="failed")] == sorted(failed)
    assert len(await find_all_ids(database, status="delivered", limit="500")) == 997


async def test_a_receipt_of_an_earlier_attempt_counts_too(database: Database) -> None:
    accepted_job = job(at=NOW)
    first = outcome(accepted_job, Status.SENT, attempt=1, provider_id="A")
    await record(database, accepted_job, first, outcome(accepted_job, Status.SENT, attempt=2, provider_id="B"))
    await record(database, receipt(first, "zhang@example.com"))
    assert await read_statuses(database, accepted_job) == ["delivered"]


async def test_the_metric_holds_how_long_a_receipt_took(database: Database) -> None:
    accepted_job = job(method="sms", to=("+8613800138000",), content="明天下雨", at=NOW - timedelta(minutes=5))
    sent = outcome(accepted_job, Status.SENT, provider="aliyun", provider_id="9006")
    registry = CollectorRegistry()
    await make_writer(database, registry).write(
        [make_delivery(event) for event in (accepted_job, sent, receipt(sent, "+8613800138000"))]
    )
    assert registry.get_sample_value("imsg_receipt_lag_seconds_count", {"provider": "aliyun"}) == 1
    assert registry.get_sample_value("imsg_receipt_lag_seconds_sum", {"provider": "aliyun"}) == pytest.approx(299)


async def test_a_receipt_without_a_message_waits(database: Database) -> None:
    accepted_job = job(at=NOW)
    await record(
        database, accepted_job, receipt(outcome(accepted_job, Status.SENT, provider_id="X"), "zhang@example.com")
    )
    assert await read_statuses(database, accepted_job) == ["queued"]
    assert await database.read(lambda connection: connection.scalar(select(func.count()).select_from(receipts))) == 1


@on_both_databases
async def test_many_receipts_are_joined_by_the_statements_that_few_are(database: Database) -> None:
    """Each is kept, prepared, by driver and PostgreSQL: one for every number of receipts would fill them."""
    statements: set[str] = set()

    def record_statement(*given: object) -> None:
        statements.add(str(given[2]))

    def batch(count: int) -> list[Any]:
        sent = []
        for n in range(count):
            accepted_job = job(method="sms", to=("+8613800138000",), content="明天下雨", at=NOW)
            sent.append(
                (accepted_job, outcome(accepted_job, Status.SENT, provider="aliyun", provider_id=f"{count}-{n}"))
            )
        received = [receipt(result, "+8613800138000") for _, result in sent]
        return [
            *(sent_job for sent_job, _ in sent),
            Outcomes(outcomes=tuple(result for _, result in sent)),
            *received,
        ]

    listen(Engine, "before_cursor_execute", record_statement)
    await record(database, *batch(2))
    first = set(statements)
    for count in (3, 4, 5, 6):
        await record(database, *batch(count))
    remove(Engine, "before_cursor_execute", record_statement)

    assert len(await find_all_ids(database, status="delivered", limit="500")) == 20
    assert first
    if database.is_postgres:
        assert statements == first
