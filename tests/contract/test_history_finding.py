"""Messages and requests are found by filter, by owner and in pages."""

import asyncio
from collections import Counter as Counted
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from imsg_contract.addresses import email
from imsg_contract.prices import PriceList
from imsg_contract.wire import Status
from imsg_history.database import Database
from imsg_history.queries import WINDOW, MessagesQuery, StatsQuery, V1MessagesQuery
from imsg_history.query import MessageQuery
from imsg_history.request_list import RequestList
from imsg_history.resending import Resends
from imsg_history.stats import Statistics, find_span
from imsg_testing.callers import user
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, outcome
from imsg_testing.history_store import ADMIN, OWNER, catch_refusal, find, find_all_ids, find_page, record
from imsg_web.callers import Caller
from imsg_web.schemas import MAX_TOTAL


@on_both_databases
async def test_pages_are_whole_and_stable_while_messages_arrive(database: Database) -> None:
    jobs = [
        job(to=[f"{n}@example.com" for n in range(1 + 6 * (i % 3 == 0))], at=NOW + timedelta(seconds=i))
        for i in range(12)
    ]
    await record(database, *jobs)
    expected = [f"{job.request}-{n}" for job in reversed(jobs) for n in range(len(job.recipients))]
    finder = MessageQuery(database)
    page = await finder.find_v1(V1MessagesQuery.model_validate({"limit": "5"}), ADMIN)
    seen = [message["id"] for message in page.rows]
    while page.next:
        await record(database, job(at=NOW + timedelta(minutes=1)))
        page = await finder.find_v1(V1MessagesQuery.model_validate({"limit": "5", "cursor": page.next}), ADMIN)
        seen += [message["id"] for message in page.rows]
    assert seen == expected


async def _mixture(database: Database) -> list[dict[str, Any]]:
    """Store messages of every kind, and return them newest first, as one list to filter by hand."""
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
    await record(database, *jobs, *events)
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
        user("user1"),
        user("user1", since=datetime(2026, 11, 25, tzinfo=UTC)),
    ],
)
@on_both_databases
async def test_every_filter_finds_what_a_filter_by_hand_finds(database: Database, caller: Caller) -> None:
    every = await _mixture(database)
    assert len(every) == 120
    for filters in FILTERS:
        if "username" in filters and not caller.is_admin and filters["username"] != caller.username:
            continue
        expected = [
            m["id"] for m in every if _fits(m, filters) and (caller.is_admin or m["username"] == caller.username)
        ]
        assert await find_all_ids(database, caller, limit="7", **filters) == expected, filters
        is_guess = "to" in filters and not caller.is_admin
        total = (await find_page(database, caller, limit="7", total="1", **filters)).total
        assert total == (None if is_guess else len(expected)), filters


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


async def find_all_requests(database: Database, caller: Caller = ADMIN, **filters: str) -> list[dict[str, Any]]:
    """Follow a listing of requests to its end."""
    listing, rows, given = RequestList(database, lambda: NOW, asyncio.Event()), list[dict[str, Any]](), dict(filters)
    while True:
        page = await listing.find(MessagesQuery.model_validate(given), caller)
        rows += page.rows
        if not page.next:
            return rows
        given["cursor"] = page.next


@pytest.mark.parametrize("caller", [ADMIN, user("user1")])
@on_both_databases
async def test_requests_are_listed_once_each_by_every_filter(database: Database, caller: Caller) -> None:
    await _mixture(database)
    every = (await find_page(database, limit="500")).rows
    for filters in FILTERS:
        if "username" in filters and not caller.is_admin and filters["username"] != caller.username:
            continue
        fitting = [m for m in every if _fits(m, filters) and (caller.is_admin or m["username"] == caller.username)]
        expected = list(dict.fromkeys(m["id"].partition("-")[0] for m in fitting))
        rows = await find_all_requests(database, caller, limit="7", **filters)
        assert [row["id"] for row in rows] == expected, filters
        asked = MessagesQuery.model_validate({**filters, "limit": "1", "total": "1"})
        total = (await RequestList(database, lambda: NOW, asyncio.Event()).find(asked, caller)).total
        assert total == (None if "to" in filters and not caller.is_admin else len(expected)), filters
        for row in rows:
            of = [m for m in every if m["id"].startswith(row["id"])]
            assert row["recipients"] == len(of)
            assert {name: n for name, n in row["counts"].items() if n} == Counted(m["status"] for m in of)


async def test_a_request_of_many_is_one_row_and_holds_up_none(database: Database) -> None:
    small = job(to=("first@example.com",), at=NOW)
    large = job(to=[f"{n}@example.com" for n in range(2_000)], at=NOW + timedelta(seconds=1))
    last = job(to=("last@example.com",), at=NOW + timedelta(seconds=2))
    await record(database, small, large, last)
    rows = await find_all_requests(database, limit="1")
    assert [(row["id"], row["to"], row["recipients"]) for row in rows] == [
        (last.request, "last@example.com", 1),
        (large.request, "0@example.com", 2_000),
        (small.request, "first@example.com", 1),
    ]
    (named,) = await find_all_requests(database, id=f"{large.request}-7")
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
@on_both_databases
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
    await record(database, mails, texts)
    page = await find_page(database, ADMIN, part=part)
    assert sorted(message["to"] for message in page.rows) == sorted(fits)
    of = [mails.request if "@" in fit else texts.request for fit in fits]
    assert {row["id"] for row in await find_all_requests(database, part=part)} == set(of)


async def test_a_part_of_a_hidden_contact_finds_no_message(database: Database) -> None:
    by_name = job(to=("zhang",), addresses=("zhang.san@example.com",), username=OWNER.username, at=NOW)
    await record(database, by_name)
    for caller, part, is_found in ((ADMIN, "san@", True), (OWNER, "san@", False), (OWNER, "zhan", True)):
        assert bool(await find_all_requests(database, caller, part=part)) is is_found, (caller, part)


@on_both_databases
async def test_a_part_is_sought_among_so_many_and_the_cursor_leads_on(database: Database) -> None:
    old = job(to=("needle@example.com",), at=NOW)
    large = job(to=[f"{n}@example.com" for n in range(WINDOW)], at=NOW + timedelta(seconds=1))
    await record(database, old)
    await record(database, large)
    first = await RequestList(database, lambda: NOW, asyncio.Event()).find(
        MessagesQuery.model_validate({"part": "needle"}), ADMIN
    )
    assert (first.rows, bool(first.next)) == ([], True)
    assert [row["id"] for row in await find_all_requests(database, part="needle")] == [old.request]
    page = await find_page(database, part="needle")
    assert (page.rows, bool(page.next)) == ([], True)
    page = await find_page(database, part="needle", cursor=page.next or "")
    assert [message["to"] for message in page.rows] == ["needle@example.com"]
    assert (await find_page(database, part="needle", total="1")).total is None
    assert (await find_page(database, limit="1", total="1")).total == MAX_TOTAL + 1


async def test_a_name_registered_again_sees_nothing_of_its_predecessor(database: Database) -> None:
    """Whatever the clocks of gateways said; nor sends it again."""
    registered = NOW + timedelta(minutes=30)
    first = Caller("张三", role="user", user_id="1" * 32, since=NOW - timedelta(days=30))
    second = Caller("张三", role="user", user_id="2" * 32, since=registered)
    his = job(username="张三", at=NOW, user_id="1" * 32)
    his_late = job(username="张三", at=registered + timedelta(seconds=2), user_id="1" * 32)  # a clock that is ahead
    hers_early = job(username="张三", at=registered - timedelta(seconds=2), user_id="2" * 32)  # one that is behind
    hers = job(username="张三", at=registered + timedelta(minutes=1), user_id="2" * 32)
    every = [his, his_late, hers_early, hers]
    await record(database, *every, *(outcome(found_job, Status.FAILED) for found_job in every))
    seen = {m["id"].partition("-")[0] for m in await find(database, second)}
    assert seen == {hers_early.request, hers.request}
    for filters in ({"to": "zhang@example.com"}, {"status": "failed", "method": "smtp"}, {"username": "张三"}):
        assert {m["id"].partition("-")[0] for m in await find(database, second, **filters)} == seen
    assert await find(database, second, id=his.request) == []
    assert {m["id"].partition("-")[0] for m in await find(database, first)} >= {his.request, his_late.request}
    assert len(await find(database, username="张三")) == len(every)
    counter, given = Statistics(database, ZoneInfo("Asia/Shanghai")), {"since": "2026-11-24T00:00:00+08:00"}
    later = NOW + timedelta(days=1)
    counted = await counter.count(find_span(StatsQuery.model_validate(given), second, counter.zone, later))
    assert sum(bucket["counts"].get("smtp", {}).get("failed", 0) for bucket in counted) == len(seen)
    resends = Resends(database)
    for found_job in every:
        if found_job.request in seen:
            assert (await resends.draft(found_job.request, second, uncertain=False, again=False))[
                "user_id"
            ] == found_job.user_id
        else:
            again = partial(resends.draft, found_job.request, second, uncertain=False, again=False)
            assert await catch_refusal(again) == "not_found"


@pytest.mark.parametrize("to", ["13800138001", "+8613800138001"])
@on_both_databases
async def test_a_number_is_found_as_written_and_in_its_normal_form(database: Database, to: str) -> None:
    every = await _mixture(database)
    expected = [message["id"] for message in every if message["to"] == "13800138001"]
    assert expected
    assert await find_all_ids(database, to=to) == expected


@on_both_databases
async def test_an_address_is_found_whatever_its_case(database: Database) -> None:
    """In the case of the send and of the query; usernames and other addresses are not found."""
    spellings = ("Zhang.San@example.com", "zhang.san@example.com", "ZHANG.SAN@Example.COM", "zhang.san@example.net")
    jobs = [job(to=(spelling,), addresses=(str(email(spelling)),), at=NOW) for spelling in spellings]
    by_name = job(to=("张三",), addresses=("Zhang.San@example.com",), at=NOW)
    await record(database, *jobs, by_name)
    expected = {f"{job.request}-0" for job in (*jobs[:3], by_name)}
    for asked in (*spellings[:3], "zhang.SAN@EXAMPLE.com"):
        listed = [message["id"] for message in await find(database, to=asked)]
        assert set(listed) == expected, asked
        assert len(listed) == len(expected)
        assert [m["id"] for m in await find(database, to=asked, id=jobs[0].request)] == [f"{jobs[0].request}-0"]
    assert {m["to"] for m in await find(database, to="zhang.san@example.com")} == {*spellings[:3], "张三"}


async def test_a_request_is_shown_and_found_by_its_reference(database: Database) -> None:
    named = [job(to=("a@example.com", "b@example.com"), at=NOW, reference="订单-1"), job(at=NOW, reference="订单-1")]
    other = job(at=NOW, username="李四", reference="订单-1")
    await record(database, *named, other, job(at=NOW), job(at=NOW, reference="订单-2"))
    await record(database, outcome(named[0], Status.SENT, 0))

    async def ids(caller: Caller, **filters: str) -> list[str]:
        found = (await find_page(database, caller, reference="订单-1", **filters)).rows
        assert {message["reference"] for message in found} <= {"订单-1"}
        return [message["id"] for message in found]

    newest = sorted((named[0].request, named[1].request), reverse=True)
    own = [f"{request}-{n}" for request in newest for n in ((0, 1) if request == named[0].request else (0,))]
    assert await ids(OWNER) == own
    assert await ids(OWNER, status="sent") == [f"{named[0].request}-0"]
    assert await ids(OWNER, to="b@example.com") == [f"{named[0].request}-1"]
    assert await ids(OWNER, id=named[1].request) == [f"{named[1].request}-0"]
    assert set(await ids(ADMIN)) == {*own, f"{other.request}-0"}
    assert await ids(user("other")) == []
    first = await MessageQuery(database).find(
        MessagesQuery.model_validate({"reference": "订单-1", "limit": "2"}), OWNER, PriceList()
    )
    assert await ids(OWNER, cursor=first.next or "") == own[2:]
    (frozen,) = await find(database, id=named[1].request, reference="订单-2")
    assert not {"reference", "key"} & frozen.keys()
    assert "resent_as" not in frozen


@on_both_databases
async def test_messages_and_requests_are_found_by_the_key_that_sent_them(database: Database) -> None:
    mine = [job(to=("a@example.com", "b@example.com"), at=NOW, key="图书馆"), job(at=NOW, key="图书馆")]
    other = job(at=NOW, username="李四", key="图书馆")
    await record(database, *mine, other, job(at=NOW), job(at=NOW, key="library"))
    await record(database, outcome(mine[0], Status.SENT, 0))

    async def ids(caller: Caller, **filters: str) -> list[str]:
        found = (await find_page(database, caller, key="图书馆", **filters)).rows
        assert {message["key"] for message in found} <= {"图书馆"}
        return [message["id"] for message in found]

    newest = sorted((mine[0].request, mine[1].request), reverse=True)
    own = [f"{request}-{n}" for request in newest for n in ((0, 1) if request == mine[0].request else (0,))]
    assert await ids(OWNER) == own
    assert await ids(OWNER, status="sent") == [f"{mine[0].request}-0"]
    assert await ids(OWNER, to="b@example.com") == [f"{mine[0].request}-1"]
    assert await ids(OWNER, part="b@exam") == [f"{mine[0].request}-1"]
    assert await ids(OWNER, id=mine[1].request) == [f"{mine[1].request}-0"]
    assert set(await ids(ADMIN)) == {*own, f"{other.request}-0"}
    query = MessagesQuery.model_validate({"key": "图书馆", "limit": "2"})
    first = await MessageQuery(database).find(query, OWNER, PriceList())
    assert await ids(OWNER, cursor=first.next or "") == own[2:]
    listing = RequestList(database, lambda: NOW, asyncio.Event())
    listed = await listing.find(MessagesQuery.model_validate({"key": "图书馆"}), OWNER)
    assert [(request["id"], request["key"]) for request in listed.rows] == [(name, "图书馆") for name in newest]
