"""How messages and requests are shown and counted."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from imsg_contract.errors import Refusal
from imsg_contract.results import Hop
from imsg_contract.wire import Category, Outcomes, Reference, Status
from imsg_history.attachments import AttachmentKey, Attachments
from imsg_history.database import Database
from imsg_history.queries import MessagesQuery, StatsQuery
from imsg_history.recipients import Recipients
from imsg_history.request_list import RequestList
from imsg_history.resending import Resends
from imsg_history.stats import Statistics, find_span
from imsg_testing.callers import user
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, outcome, receipt, request_id
from imsg_testing.history_store import ADMIN, OWNER, find, find_page, record


async def test_the_recipient_of_a_message_is_found_with_its_sender_and_category(database: Database) -> None:
    letter = {"subject": "s", "text": "t"}
    named = job(at=NOW, to=("a@corp.cn", "b@corp.cn"), content={**letter, "sender": "news"}, category="marketing")
    plain = job(at=NOW, content=letter)
    body = json.dumps({**letter, "sender": "big"}).encode()
    at = Reference(sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    long, gone = (job(at=NOW, content=None, content_at=at) for _ in range(2))
    await record(database, named, plain, long, gone)
    await Attachments(database).put(AttachmentKey(long.request, at.sha256), body, NOW + timedelta(days=1))

    matches = [await Recipients(database).find(f"{shown_job.request}-{n}") for shown_job, n in ((named, 1), (plain, 0))]
    assert matches == [
        {"method": "smtp", "address": "b@corp.cn", "category": "marketing", "sender": "news"},
        {"method": "smtp", "address": "zhang@example.com", "category": "notice", "sender": ""},
    ]
    senders = [(await Recipients(database).find(f"{shown_job.request}-0"))["sender"] for shown_job in (long, gone)]
    assert senders == ["big", None]
    for unknown in (f"{request_id(NOW)}-0", f"{named.request}-2", named.request, "x"):
        with pytest.raises(Refusal, match="not_found"):
            await Recipients(database).find(unknown)


@on_both_databases
async def test_an_id_names_a_request_or_one_message_with_its_timeline(database: Database) -> None:
    accepted_job = job(to=("a@example.com", "b@example.com"), at=NOW)
    await record(database, accepted_job, job(at=NOW))
    await record(database, outcome(accepted_job, Status.RETRYING, 1, attempt=1, code="451", detail="try later"))
    await record(database, outcome(accepted_job, Status.SENT, 1, attempt=2, provider_id="Q7", detail="250 OK"))
    assert [m["id"] for m in await find(database, id=accepted_job.request.upper())] == [
        f"{accepted_job.request}-0",
        f"{accepted_job.request}-1",
    ]
    (message,) = await find(database, id=f"{accepted_job.request}-1")
    assert [(line["attempt"], line["status"], line["code"], line["detail"]) for line in message["timeline"]] == [
        (1, "retrying", "451", "try later"),
        (2, "sent", None, "250 OK"),
    ]
    assert await find(database, id=f"{accepted_job.request}-2") == []
    assert await find(database, OWNER, id=f"{accepted_job.request}-1") != []
    assert await find(database, user("other"), id=f"{accepted_job.request}-1") == []


async def test_a_message_is_resent_with_its_own_reference(database: Database) -> None:
    named = job(to=("a@example.com", "b@example.com"), at=NOW, reference="invoices")
    own = (named.recipients[0].model_copy(update={"reference": "invoice-17"}), named.recipients[1])
    named = named.model_copy(update={"recipients": own})
    await record(database, named, outcome(named, Status.FAILED, 0), outcome(named, Status.FAILED, 1))
    draft = await Resends(database).draft(named.request, ADMIN, uncertain=False, again=False)
    assert (draft["reference"], [recipient["reference"] for recipient in draft["recipients"]]) == (
        "invoices",
        ["invoice-17", None],
    )


async def test_a_hop_is_a_line_before_its_attempt_and_leaves_the_status_alone(database: Database) -> None:
    accepted_job = job(at=NOW)
    hops = (Hop("aliyun", "isv.AMOUNT_NOT_ENOUGH", "no money", 0.4), Hop("tencent", "unreachable", "", 0.0))
    carried = outcome(accepted_job, Status.SENT, provider="twilio", provider_id="SM1", hops=hops)
    await record(database, accepted_job, carried)
    await record(database, carried)  # told twice
    (message,) = await find(database, id=f"{accepted_job.request}-0")
    assert (message["status"], message["provider"], message["attempts"]) == ("sent", "twilio", 1)
    assert [(line["provider"], line["status"], line["code"], line["detail"]) for line in message["timeline"]] == [
        ("aliyun", "retrying", "isv.AMOUNT_NOT_ENOUGH", "no money"),
        ("tencent", "retrying", "unreachable", ""),
        ("twilio", "sent", None, None),
    ]


async def test_content_kept_by_reference_shows_its_subject_and_for_its_id_the_whole(database: Database) -> None:
    content = {"subject": "长文", "text": "文" * 40_000}
    body = json.dumps(content, ensure_ascii=False).encode()
    reference = Reference(sha256=hashlib.sha256(body).hexdigest(), size=len(body))
    accepted_job = job(content=None, content_at=reference, at=NOW)
    await Attachments(database).put(
        AttachmentKey(accepted_job.request, reference.sha256), body, accepted_job.expires_at
    )
    await record(database, accepted_job)
    (listed,) = await find(database)
    assert (listed["subject"], listed["content"]) == ("长文", None)
    (whole,) = await find(database, id=f"{accepted_job.request}-0")
    assert whole["content"] == content


@on_both_databases
async def test_stats_count_by_day_of_the_zone_method_and_status(database: Database) -> None:
    late, early = datetime(2026, 11, 24, 15, 59, 59, tzinfo=UTC), datetime(2026, 11, 24, 16, 0, 0, tzinfo=UTC)
    jobs = [
        job(at=late),
        job(at=early),
        job(at=early, method="sms", content="x", username="李四", to=("+8613800138000",)),
    ]
    await record(database, *jobs, outcome(jobs[1], Status.SENT))
    counter = Statistics(database, ZoneInfo("Asia/Shanghai"))
    fields = {"since": "2026-11-24T00:00:00+08:00", "until": "2026-11-26T00:00:00+08:00"}
    everybody = await counter.count(find_span(StatsQuery.model_validate(fields), ADMIN, counter.zone, NOW))
    assert everybody == [
        {"start": "2026-11-23T16:00:00.000Z", "counts": {"smtp": {"queued": 1}}},
        {"start": "2026-11-24T16:00:00.000Z", "counts": {"smtp": {"sent": 1}, "sms": {"queued": 1}}},
    ]
    own = await counter.count(
        find_span(StatsQuery.model_validate(fields | {"bucket": "hour"}), user("李四"), counter.zone, NOW)
    )
    assert len(own) == 48
    assert [bucket for bucket in own if bucket["counts"]] == [
        {"start": "2026-11-24T16:00:00.000Z", "counts": {"sms": {"queued": 1}}}
    ]


@on_both_databases
async def test_failures_are_counted_by_their_cause_and_one_hides_no_other(database: Database) -> None:
    at = NOW - timedelta(hours=2)
    many = job(at=at, to=[f"{n}@example.com" for n in range(150)])
    rare, other, sms = job(at=at), job(at=at), job(at=at, method="sms", content="x", to=("+8613800138000",))
    failed = [outcome(many, Status.FAILED, n, code="550 5.1.1", provider="a") for n in range(150)]
    await record(database, many, rare, other, sms, Outcomes(outcomes=tuple(failed)))
    await record(database, outcome(rare, Status.FAILED, code="550 5.1.1", provider="b"))
    await record(database, outcome(other, Status.FAILED, code="circuit_open"), outcome(sms, Status.EXPIRED, code="x"))
    old = job(at=at - timedelta(hours=1))
    await record(database, old, outcome(old, Status.FAILED, code="old"))
    counter = Statistics(database, ZoneInfo("Asia/Shanghai"))
    fields = {"since": at.isoformat(), "until": NOW.isoformat(), "bucket": "day"}

    causes = await counter.count_failures(find_span(StatsQuery.model_validate(fields), ADMIN, counter.zone, NOW))

    assert [(cause["method"], cause["provider"], cause["code"], cause["count"]) for cause in causes] == [
        ("smtp", "a", "550 5.1.1", 150),
        ("smtp", "b", "550 5.1.1", 1),
        ("smtp", "mail.example.com", "circuit_open", 1),
    ]
    hours = find_span(StatsQuery.model_validate(fields | {"bucket": "hour"}), ADMIN, counter.zone, NOW)
    by_hour = await counter.count_failures(hours)
    assert [cause["counts"] for cause in by_hour] == [
        [cause["count"], *[0] * (len(hours.starts) - 2)] for cause in causes
    ]
    nobody = user("李四")
    assert await counter.count_failures(find_span(StatsQuery.model_validate(fields), nobody, counter.zone, NOW)) == []


async def test_what_a_request_is_for_is_shown_wherever_it_is_and_to_v1_nowhere(database: Database) -> None:
    code, notice = job(at=NOW, category=Category.CODE), job(at=NOW)
    await record(database, code, notice)
    for shown_job, category in ((code, "code"), (notice, "notice")):
        assert (await RequestList(database, lambda: NOW, asyncio.Event()).show(shown_job.request, OWNER))[
            "category"
        ] == category
        (shown,) = (await find_page(database, OWNER, id=shown_job.request)).rows
        assert shown["category"] == category
        (frozen,) = await find(database, id=shown_job.request)
        assert "category" not in frozen


@pytest.mark.parametrize("first", ["outcome", "receipt"])
async def test_what_the_sandbox_took_stays_marked_when_it_is_delivered(database: Database, first: str) -> None:
    played, real = job(to=("a@example.com", "b@example.com"), at=NOW), job(at=NOW)
    sent = outcome(played, Status.SENT, 1, simulated=True, provider_id="queued as 1")
    receipts = [receipt(sent, "b@example.com", request=played.request, n=1)]
    facts = [sent, *receipts] if first == "outcome" else [*receipts, sent]
    await record(database, played, real, outcome(real, Status.SENT))
    for fact in facts:
        await record(database, fact)
    finder = RequestList(database, lambda: NOW, asyncio.Event())
    assert (await finder.show(played.request, OWNER))["simulated"] is True
    assert (await finder.show(real.request, OWNER))["simulated"] is False
    shown = {(row["to"], row["status"]): row["simulated"] for row in (await find_page(database, OWNER)).rows}
    assert shown == {
        ("a@example.com", "queued"): False,
        ("b@example.com", "delivered"): True,
        ("zhang@example.com", "sent"): False,
    }
    (frozen, _) = await find(database, id=played.request)
    assert "simulated" not in frozen


async def test_a_request_is_waited_for_until_it_is_recorded_and_settled(database: Database) -> None:
    accepted_job = job(at=NOW)
    finder = RequestList(database, lambda: NOW, asyncio.Event())
    waiting = asyncio.create_task(finder.show(accepted_job.request, OWNER, 60))
    await record(database, accepted_job)
    await asyncio.wait([waiting], timeout=1.5)
    assert not waiting.done()
    assert (await finder.show(accepted_job.request, OWNER, 0.6))["state"] == "queued"

    await record(database, outcome(accepted_job, Status.SENT, 0))

    assert (await asyncio.wait_for(waiting, 60))["state"] == "settled"


async def test_a_request_is_not_waited_for_that_never_comes_or_once_history_stops(database: Database) -> None:
    old, queued, stopping = request_id(NOW - timedelta(hours=1)), job(at=NOW), asyncio.Event()
    await record(database, queued)
    finder = RequestList(database, lambda: NOW, stopping)
    with pytest.raises(Refusal, match="not_found"):
        await asyncio.wait_for(finder.show(old, OWNER, 60), 30)
    waiting = asyncio.create_task(finder.show(queued.request, OWNER, 60))
    stopping.set()
    assert (await asyncio.wait_for(waiting, 60))["state"] == "queued"


async def test_a_request_at_a_glance(database: Database) -> None:
    accepted_job = job(to=("a@example.com", "b@example.com"), at=NOW, reference="r")
    await record(database, accepted_job)
    finder = RequestList(database, lambda: NOW, asyncio.Event())
    shown = await finder.show(accepted_job.request, OWNER)
    assert (shown["id"], shown["reference"], shown["method"], shown["category"]) == (
        accepted_job.request,
        "r",
        "smtp",
        "notice",
    )
    assert (shown["state"], shown["created_at"]) == ("queued", "2026-11-25T08:00:00.000Z")
    page = await finder.find(MessagesQuery.model_validate({"id": accepted_job.request}), OWNER)
    assert page.rows == [
        {name: shown[name] for name in shown if name not in {"legs", "reached", "not_reached", "open"}}
    ]
    assert {status: count for status, count in shown["counts"].items() if count} == {"queued": 2}
    await record(database, outcome(accepted_job, Status.SENT, 0))
    assert (await finder.show(accepted_job.request.upper(), ADMIN))["state"] == "sending"
    await record(database, outcome(accepted_job, Status.FAILED, 1))
    shown = await finder.show(accepted_job.request, OWNER)
    assert (shown["state"], shown["counts"]["sent"], shown["counts"]["failed"]) == ("settled", 1, 1)
    for name, caller in (
        (accepted_job.request, user("other")),
        ("0" * 32, ADMIN),
        (f"{accepted_job.request}-0", ADMIN),
    ):
        with pytest.raises(Refusal) as refusal:
            await finder.show(name, caller)
        assert refusal.value.reason == "not_found"
