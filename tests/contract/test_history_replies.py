"""Inbound SMS are matched with the message they answer, and shown to its owner."""

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from sqlalchemy import select

from imsg_broker.port import PublishUnknown
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Category, Event, EventKind, Inbound, Job, Status
from imsg_history.content_retention import ContentRetention
from imsg_history.database import Database
from imsg_history.eraser import Eraser
from imsg_history.queries import RepliesQuery
from imsg_history.replies import Replies
from imsg_history.reply_matching import PublishSuppression, ReplyMatcher
from imsg_history.tables import replies
from imsg_history.writer import BatchWriter, WriterMetrics
from imsg_people.tombstones import Digests, Tombstone
from imsg_testing.callers import user
from imsg_testing.databases import on_both_databases
from imsg_testing.history import NOW, job, make_delivery, outcome, request_id
from imsg_web.callers import Caller

ADMIN = user("admin", role="admin")
ZHANG, LI = "+8613800138000", "+8613800138001"
USER, OTHER = request_id(NOW - timedelta(days=9)), request_id(NOW - timedelta(days=8))
OWNER = Caller("天存-system-1001", role="user", user_id=USER, since=NOW - timedelta(days=9))
STRANGER = Caller("wang", role="user", user_id=OTHER, since=NOW - timedelta(days=8))
DIGESTS = Digests((SecretStr("a key of erasures that nobody guesses"),))


async def _ignore(suppression: Suppression) -> None:
    del suppression


async def record(database: Database, *batch: Any, publish: PublishSuppression = _ignore) -> None:  # noqa: ANN401  messages
    """Store one batch; `publish` is called with the suppressions."""
    matcher = ReplyMatcher(database, publish)
    writer = BatchWriter(
        database, lambda: NOW, timedelta(days=90), WriterMetrics(CollectorRegistry()), DIGESTS, reply_matcher=matcher
    )
    await writer.write([make_delivery(event) for event in batch])


async def find(database: Database, caller: Caller = ADMIN, **asked: str) -> list[dict[str, Any]]:
    """Return the rows of a page."""
    return (
        await Replies(database).find(
            RepliesQuery.model_validate({name.rstrip("_"): value for name, value in asked.items()}), caller
        )
    ).rows


def sms(before: timedelta, address: str = ZHANG, user: Caller = OWNER, **fields: Any) -> Job:  # noqa: ANN401
    """Make a job that was accepted so long ago."""
    given: dict[str, Any] = {"to": (address,), "addresses": (address,), "method": "sms", "content": "明天下雨"}
    given |= {"username": user.username, "user_id": user.user_id, "reference": "brolly"}
    return job(at=NOW - before, **(given | fields))


def wrote(text: str = "收到", name: str = "1", address: str = ZHANG, **fields: Any) -> Inbound:  # noqa: ANN401
    """Return an inbound message of a minute ago."""
    given = {"method": "sms", "provider": "aliyun", "id": name, "address": address, "text": text}
    return Inbound(**(given | {"at": NOW - timedelta(minutes=1)} | fields))


async def test_a_reply_answers_the_last_message_and_its_sender_sees_it(database: Database) -> None:
    older, newest = sms(timedelta(hours=3)), sms(timedelta(minutes=5))
    strangers = sms(timedelta(minutes=3), LI, STRANGER)
    batch = [outcome(sent_job, Status.SENT, provider="aliyun") for sent_job in (older, newest, strangers)]
    await record(database, older, newest, strangers, *batch)
    await record(database, wrote(signature="天存", to="10690"), wrote("退订", "2", LI, opt_out=True))
    (mine,) = await find(database, OWNER)
    assert {name: mine[name] for name in mine if name != "id"} == {
        "method": "sms",
        "from": ZHANG,
        "to": "10690",
        "text": "收到",
        "opt_out": False,
        "signature": "天存",
        "provider": "aliyun",
        "message": f"{newest.request}-0",
        "username": OWNER.username,
        "reference": "brolly",
        "at": "2026-11-25T07:59:00.000Z",
    }
    assert [reply["opt_out"] for reply in await find(database, STRANGER)] == [True]
    assert len(await find(database)) == 2
    again = Caller("wang", role="user", user_id=request_id(NOW), since=NOW)
    assert await find(database, again) == []


async def test_a_push_that_comes_again_is_one_reply_and_the_provider_decides_between_messages(
    database: Database,
) -> None:
    by_tencent, by_aliyun = sms(timedelta(minutes=9)), sms(timedelta(minutes=5))
    waiting, after = sms(timedelta(minutes=2)), sms(timedelta(seconds=0))
    await record(database, by_tencent, by_aliyun, waiting, after, outcome(by_tencent, Status.SENT, provider="tencent"))
    await record(database, outcome(by_aliyun, Status.SENT, provider="aliyun"))
    for _ in range(2):
        await record(database, wrote(provider="tencent"), wrote())
    results = {reply["provider"]: reply["message"] for reply in await find(database)}
    assert results == {"tencent": f"{by_tencent.request}-0", "aliyun": f"{by_aliyun.request}-0"}


@on_both_databases
async def test_a_message_that_is_recorded_after_its_reply_is_found_later(database: Database) -> None:
    late = sms(timedelta(minutes=5))
    await record(database, wrote())
    assert [reply["message"] for reply in await find(database)] == [None]
    assert await find(database, OWNER) == []
    await record(database, late)
    assert await ReplyMatcher(database, _ignore).match(NOW) == 1
    assert [reply["message"] for reply in await find(database, OWNER)] == [f"{late.request}-0"]


async def test_the_sender_of_a_message_is_notified_of_its_reply_where_subscribed(database: Database) -> None:
    """Under one id, and before the reply is recorded; without a subscription there is no event."""
    told: list[Event] = []

    async def publish(event: Event) -> None:
        told.append(event)

    mine = sms(timedelta(minutes=5), events=int(EventKind.MESSAGE))
    await record(database, mine, sms(timedelta(minutes=4), LI))
    writer = BatchWriter(database, lambda: NOW, timedelta(days=90), WriterMetrics(CollectorRegistry()), DIGESTS)
    await writer.write([make_delivery(wrote("知道了")), make_delivery(wrote("好", "2", LI))])
    assert await ReplyMatcher(database, _ignore, publish).match(NOW) == 2

    assert [(event.type, event.data["text"], event.data["id"]) for event in told] == [
        ("message.reply", "知道了", f"{mine.request}-0")
    ]
    assert told[0].user_id == OWNER.user_id


@pytest.mark.parametrize(
    ("category", "is_told"), [(Category.NOTICE, True), (Category.MARKETING, False), (Category.CODE, False)]
)
async def test_who_opts_out_of_a_notice_gets_none_of_that_signature(
    database: Database,
    category: Category,
    is_told: bool,  # noqa: FBT001  a row of the table
) -> None:
    """Its sender has suppressed marketing already; codes are never suppressed. A failed publish is repeated."""
    told: list[Suppression] = []

    async def publish(suppression: Suppression) -> None:
        told.append(suppression)

    async def refuse(suppression: Suppression) -> None:
        raise PublishUnknown(suppression.method)

    await record(database, answered := sms(timedelta(minutes=5), category=category))
    await record(database, wrote("TD", signature="天存", opt_out=True), wrote("收到", "2"), publish=refuse)
    assert await ReplyMatcher(database, publish).match(NOW) == is_told
    assert [
        (suppression.address, suppression.reason, suppression.sender, suppression.category, suppression.request)
        for suppression in told
    ] == ([(ZHANG, Reason.OPT_OUT, "天存", Category.NOTICE, answered.request)] if is_told else [])
    assert [reply["message"] for reply in await find(database)] == [f"{answered.request}-0"] * 2


@on_both_databases
async def test_pages_and_filters_find_what_matches(database: Database) -> None:
    sent_job = sms(timedelta(minutes=5))
    await record(database, sent_job, *(wrote(str(n), str(n), at=NOW - timedelta(seconds=n // 2)) for n in range(9)))
    await record(database, wrote("别人", "x", LI))
    seen: list[str] = []
    cursor = ""
    while True:
        body = {"limit": "2", "total": "1", "from": "13800138000", **({"cursor": cursor} if cursor else {})}
        page = await Replies(database).find(RepliesQuery.model_validate(body), ADMIN)
        assert page.total == 9
        seen += [reply["text"] for reply in page.rows]
        cursor = page.next or ""
        if not cursor:
            break
    assert sorted(seen) == [str(n) for n in range(9)]
    assert len(await find(database, id=f"{sent_job.request}-0")) == 9
    assert await find(database, id=f"{sent_job.request}-1") == []
    assert len(await find(database, since="2026-11-25T07:59:58Z", until="2026-11-25T08:00:00Z")) == 4
    assert len(await find(database, username=OWNER.username)) == 9
    assert await find(database, method="smtp") == []


async def test_who_was_written_to_by_name_answers_by_that_name(database: Database) -> None:
    """The contact is the user's own and the administrators': a number does not find the answer to a name."""
    named = sms(timedelta(minutes=5), to=("li.wei",))
    await record(database, named, wrote())
    assert [reply["from"] for reply in await find(database, OWNER)] == ["li.wei"]
    assert len(await find(database, OWNER, from_="li.wei")) == 1
    assert await find(database, OWNER, from_=ZHANG) == []
    guess = await Replies(database).find(RepliesQuery.model_validate({"from": ZHANG, "total": "1"}), OWNER)
    assert guess.total is None
    assert len(await find(database, from_=ZHANG)) == 1


async def test_replies_are_erased_with_their_author_and_their_words_with_contents(database: Database) -> None:
    await record(database, sms(timedelta(days=50)), wrote("old", "0", at=NOW - timedelta(days=40)), wrote("new"))
    await ContentRetention(database, 30).erase(NOW, timedelta(days=90))
    assert [reply["text"] for reply in await find(database)] == ["new", None]
    stone = Tombstone("0" * 32, DIGESTS.of(ZHANG), NOW - timedelta(days=1))
    await Eraser(database, DIGESTS).erase([stone])
    assert [reply["text"] for reply in await find(database)] == ["new"]

    async def addresses(connection: Any) -> list[str]:  # noqa: ANN401
        return list(await connection.scalars(select(replies.c.address)))

    assert await database.read(addresses) == [ZHANG]
