"""Requests, outcomes, attachments and changes are recorded."""

import hashlib
import json
from datetime import timedelta

from prometheus_client import CollectorRegistry
from sqlalchemy import text

from imsg_contract.wire import Change, Outcomes, Status
from imsg_history.attachments import AttachmentKey, Attachments
from imsg_history.database import Database
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, request_id
from imsg_testing.history_store import RETENTION, catch_refusal, find, find_all_ids, make_writer, read_statuses, record


@on_both_databases
async def test_a_new_request_shows_one_queued_message_a_recipient(database: Database) -> None:
    accepted_job = job(to=("a@example.com", "张三"), addresses=("a@example.com", "zhang@example.com"), at=NOW)
    await record(database, accepted_job)
    newest = await find(database)
    assert [(message["id"], message["to"], message["status"]) for message in newest] == [
        (f"{accepted_job.request}-0", "a@example.com", "queued"),
        (f"{accepted_job.request}-1", "张三", "queued"),
    ]
    assert newest[0]["created_at"] == "2026-11-25T08:00:00.000Z"
    assert newest[0]["content"] == {"subject": "开会通知", "text": "下午两点半"}
    assert newest[0]["subject"] == "开会通知"


@on_both_databases
async def test_an_outcome_before_its_job_is_not_lost(database: Database) -> None:
    accepted_job = job(at=NOW)
    await record(database, outcome(accepted_job, Status.SENT))
    assert await find(database) == []
    await record(database, accepted_job)
    assert await read_statuses(database, accepted_job) == ["sent"]


@on_both_databases
async def test_a_status_only_climbs(database: Database) -> None:
    accepted_job = job(at=NOW)
    await record(database, accepted_job)
    await record(database, outcome(accepted_job, Status.SENT, attempt=2))
    await record(database, outcome(accepted_job, Status.RETRYING, attempt=1, code="451", detail="greylisted"))
    (message,) = await find(database)
    assert (message["status"], message["attempts"], message["error"]) == ("sent", 2, None)


async def test_ten_thousand_recipients_are_recorded_and_listed(database: Database) -> None:
    accepted_job = job(to=[f"user{n}@example.com" for n in range(10_000)], at=NOW)
    await record(database, accepted_job)
    parts = [
        Outcomes(outcomes=tuple(outcome(accepted_job, Status.SENT, n) for n in range(start, start + 50)))
        for start in range(0, 10_000, 50)
    ]
    await record(database, *parts)
    ids = await find_all_ids(database, status="sent", limit="500")
    assert ids == [f"{accepted_job.request}-{n}" for n in range(10_000)]


@on_both_databases
async def test_what_postgresql_cannot_hold_is_replaced(database: Database) -> None:
    accepted_job = job(at=NOW)
    answer = outcome(accepted_job, Status.FAILED, code="5\x0050", detail="no\x00such user").model_dump(mode="json")
    body = json.dumps({"v": 1, "outcomes": [{**answer, "detail": "\ud800 and \x00"}]}).encode()
    await record(database, accepted_job, make_delivery(body, "outcome"))
    (message,) = await find(database)
    assert message["error"] == {"code": "5\ufffd50", "detail": "\ufffd and \ufffd"}


@on_both_databases
async def test_events_of_requests_past_their_retention_are_counted_and_let_go(database: Database) -> None:
    old = job(at=NOW - RETENTION - timedelta(days=1))
    registry = CollectorRegistry()
    await make_writer(database, registry).write([make_delivery(old), make_delivery(outcome(old, Status.SENT))])
    assert await find(database) == []
    assert registry.get_sample_value("imsg_history_late_events_total") == 2


@on_both_databases
async def test_the_audit_keeps_every_change_once(database: Database) -> None:
    change = Change(actor="admin", action="modify", target="张三", after={"per_day": 20, "note": "a\x00b"}, at=NOW)
    await record(database, change, change)
    await record(database, change, change.model_copy(update={"target": "李四"}))
    rows = await database.read(lambda connection: connection.execute(text("SELECT target FROM audit")))
    assert sorted(row.target for row in rows) == ["张三", "李四"]


@on_both_databases
async def test_attachments_are_kept_byte_for_byte_and_checked(database: Database) -> None:
    body = bytes(range(256)) * 40_960
    place = AttachmentKey(request_id(NOW), hashlib.sha256(body).hexdigest())
    kept = Attachments(database)
    assert await catch_refusal(lambda: kept.put(place, body[1:], NOW)) == "wrong_type"
    assert await catch_refusal(lambda: kept.get(place)) == "not_found"
    await kept.put(place, body, NOW)
    await kept.put(place, body, NOW + timedelta(hours=1))
    assert await kept.get(place) == body
