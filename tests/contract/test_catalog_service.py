"""The catalog: one list, a mirror that is never stale, nothing lost."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from imsg_catalog.migrations import MIGRATIONS
from imsg_catalog.tables import METADATA, SUPPRESSIONS
from imsg_channels import METHODS
from imsg_contract.suppressions import Reason, Suppression, erased_field
from imsg_contract.topology import ERASED, SUPPRESSED_COMPLETE, Topology, suppressed_key
from imsg_contract.unsubscribing import PATH, Subscription, derive_keys, write_token
from imsg_contract.wire import Category, Change
from imsg_database.address import read_url
from imsg_database.migrate import migrate
from imsg_people.lookups import RecipientLookups
from imsg_people.suppressions import SuppressionMirror, SuppressionQuery
from imsg_people.tombstones import Digests, Tombstone, Tombstones
from imsg_runtime.redis import Redis
from imsg_testing.brokers import arrivals, open_ready
from imsg_testing.catalog import ERASURE, Catalog, run_catalog
from imsg_testing.databases import on_both_databases, open_database
from imsg_testing.history import job
from imsg_testing.waiting import eventually

DIGESTS = Digests((ERASURE,))
WITHIN_S = 60.0


@pytest.fixture
async def catalog(database_url: str, redis_url: str, redis: Redis) -> AsyncIterator[Catalog]:
    """Run one."""
    async with run_catalog(database_url, redis_url, redis) as running:
        yield running


@on_both_databases
async def test_what_is_added_stands_once_is_found_and_taken_away(catalog: Catalog) -> None:
    added = await catalog.add(method="smtp", to="Zhang.San@Example.com", reason="hard_bounce", note="已离职")
    again = await catalog.add(method="smtp", to="zhang.san@example.com", reason="hard_bounce")
    several = await catalog.add(method="sms", to=["13711112222", "x", "+8613711112222", "13711113333"])

    assert (added["added"], added["known"], again["added"], again["known"]) == (1, 0, 0, 1)
    assert (several["added"], several["known"], several["problems_total"]) == (2, 1, 1)
    assert (
        several["problems"] == [{"to": "x", "detail": "it is no phone number"}] or several["problems"][0]["to"] == "x"
    )
    (found,) = (await catalog.page(to="SAN@ex"))["suppressions"]
    assert (found["to"], found["reason"], found["scope"]) == ("Zhang.San@example.com", "hard_bounce", None)
    assert (found["note"], found["added_by"], found["message"]) == ("已离职", "admin", None)
    assert [suppression["reason"] for suppression in (await catalog.page(method="sms"))["suppressions"]] == [
        "opt_out"
    ] * 2
    assert await catalog.reason("ZHANG.san@example.com") == "hard_bounce"

    gone = await catalog.client.delete(f"/api/suppressions/{added['id']}")
    assert gone.json()["errorCode"] == 0
    assert await catalog.reason("zhang.san@example.com") is None
    assert (await catalog.client.delete(f"/api/suppressions/{added['id']}")).json()["reason"] == "not_found"


@on_both_databases
async def test_pages_follow_each_other_to_the_end(catalog: Catalog) -> None:
    await catalog.add(method="smtp", to=[f"{n}@example.com" for n in range(7)])

    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await catalog.page(limit="3", total="1", **({"cursor": cursor} if cursor else {}))
        assert page["total"] == 7
        seen += [suppression["to"] for suppression in page["suppressions"]]
        cursor = page["next"]
    assert sorted(seen) == [f"{n}@example.com" for n in range(7)]
    assert (await catalog.page(limit="1", total="1", to="3@"))["total"] == 1
    assert (await catalog.page(limit="1"))["total"] is None


async def test_a_scope_keeps_what_it_is_about_and_what_is_for_all_has_none(catalog: Catalog) -> None:
    scope = {"sender": "news", "category": "marketing"}
    await catalog.add(method="smtp", to="li@example.com", reason="unsubscribe", scope=scope)

    assert await catalog.reason("li@example.com", "news", Category.MARKETING) == "unsubscribe"
    assert await catalog.reason("li@example.com", "news", Category.NOTICE) is None
    assert await catalog.reason("li@example.com", "", Category.MARKETING) is None
    refused = await catalog.add(method="smtp", to="li@example.com", reason="hard_bounce", scope=scope)
    assert (refused["errorCode"], refused["reason"]) == (10017, "wrong_type")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"to": "a@b.cn"}, "missing"),
        ({"method": "fax", "to": "a@b.cn"}, "method_unknown"),
        ({"method": "smtp", "to": "nobody"}, "recipients_invalid"),
        ({"method": "smtp", "to": []}, "recipients_invalid"),
        ({"method": "smtp", "to": "a@b.cn", "reason": "boredom"}, "wrong_type"),
        ({"method": "smtp", "to": "a@b.cn", "until": "2020-01-01T00:00:00Z"}, "wrong_type"),
        ({"method": "smtp", "to": "a@b.cn", "until": "tomorrow"}, "wrong_type"),
        ({"method": "smtp", "to": "a@b.cn", "until": "9999-12-31T23:59:59-01:00"}, "wrong_type"),
        ({"method": "smtp", "to": "a@b.cn", "scope": {"category": "spam"}}, "wrong_type"),
        ({"method": "smtp", "to": "a@b.cn", "note": "\0"}, "wrong_type"),
    ],
)
async def test_what_is_not_right_is_refused_with_its_reason(
    fields: dict[str, Any], reason: str, catalog: Catalog
) -> None:
    assert (await catalog.add(**fields))["reason"] == reason


@on_both_databases
async def test_published_suppressions_are_stored_once_and_lifted(
    catalog: Catalog, redis_url: str, redis: Redis
) -> None:
    topology = Topology(methods=METHODS)
    told = Suppression(
        method="sms",
        address="+8613711112222",
        reason=Reason.OPT_OUT,
        sender="天存",
        category=Category.MARKETING,
        evidence="退订",
        request="0" * 32,
        n=4,
        at=datetime.now(UTC),
    )
    async with open_ready(redis_url, topology) as broker:
        unwritable = told.model_copy(update={"sender": "天\0存"})  # PostgreSQL has no NUL
        for body in (unwritable.encode(), told.encode(), told.encode(), b"no JSON"):
            await broker.publish(body, topology.suppressions)

        async def is_learned() -> bool:
            return bool((await catalog.page(to="13711112222"))["suppressions"])

        await eventually(is_learned, WITHIN_S)
        (found,) = (await catalog.page(to="13711112222"))["suppressions"]
        assert await catalog.reason("+8613711112222", "天存", Category.MARKETING, method="sms") == "opt_out"
        assert (found["evidence"], found["added_by"], found["message"]) == ("退订", None, f"{'0' * 32}-4")
        async with broker.consume(topology.history, 1) as dead, asyncio.timeout(WITHIN_S):
            assert (await anext(dead)).key == "dead"
        await broker.publish(told.model_copy(update={"lifts": True}).encode(), topology.suppressions)

        async def is_lifted() -> bool:
            return not (await catalog.page(to="13711112222"))["suppressions"]

        await eventually(is_lifted, WITHIN_S)
    assert not await redis.call("HEXISTS", suppressed_key("sms"), "+8613711112222")


async def test_a_flushed_mirror_is_written_anew_and_waited_for(catalog: Catalog) -> None:
    await catalog.add(method="smtp", to=[f"{n}@example.com" for n in range(1_200)], reason="invalid")
    await catalog.redis.call("DEL", *[suppressed_key(method) for method in METHODS])

    # On its clock no time passes: it waits however long a busy machine takes.
    mirror, question = (
        SuppressionMirror(catalog.redis, "smtp", clock=lambda: 0.0),
        SuppressionQuery({0: "7@example.com"}, "", Category.CODE),
    )
    asked = mirror.make_read(question)
    reply = await catalog.redis.call(asked.command, asked.key, *asked.fields)

    assert reply[0] is None or reply[1] is not None
    async with asyncio.timeout(WITHIN_S):
        assert await mirror.read(question, reply) == {0: "invalid"}
    assert await catalog.redis.call("HLEN", suppressed_key("smtp")) == 1_201


async def test_where_mirror_and_catalog_are_away_marketing_waits_and_the_rest_goes(redis: Redis) -> None:
    mirror = SuppressionMirror(redis, "smtp")
    answers = []
    for category in Category:
        question = SuppressionQuery({0: "a@example.com"}, "", category)
        answers.append(await mirror.read(question, [None, None]))

    assert answers == [{}, {}, {0: "unknown"}]


def end_all(database_url: str) -> None:
    """Let all suppressions that end have ended."""
    with open_database(database_url) as engine, engine.begin() as connection:
        connection.execute(SUPPRESSIONS.update().where(SUPPRESSIONS.c.until_ms.is_not(None)).values(until_ms=1))


async def test_what_ends_by_itself_is_in_force_no_more_and_can_be_added_anew(
    database_url: str, redis_url: str, redis: Redis
) -> None:
    async with run_catalog(database_url, redis_url, redis) as catalog:
        until = datetime.now(UTC) + timedelta(hours=1)
        await catalog.add(method="smtp", to="a@example.com", until=until.isoformat())
        assert await catalog.reason("a@example.com") == "opt_out"
        at_its_end = SuppressionMirror(redis, "smtp", unix_clock=lambda: until.timestamp() + 0.001)
        assert await at_its_end.find(SuppressionQuery({0: "a@example.com"}, "", Category.NOTICE)) == {}

        await asyncio.to_thread(end_all, database_url)
        assert (await catalog.add(method="smtp", to="a@example.com"))["added"] == 1
        assert await catalog.reason("a@example.com") == "opt_out"


async def test_another_catalog_finds_what_the_first_has_kept_and_mends_its_mirror(
    database_url: str, redis_url: str, redis: Redis
) -> None:
    async with run_catalog(database_url, redis_url, redis) as first:
        await first.add(method="smtp", to="a@example.com", reason="invalid")
    await redis.call("HSET", suppressed_key("smtp"), "left@behind.cn", '[["invalid",null,null,null]]')
    async with run_catalog(database_url, redis_url, redis) as second:
        assert await second.reason("a@example.com") == "invalid"
        assert await second.reason("left@behind.cn") is None
        assert await redis.call("HEXISTS", suppressed_key("smtp"), SUPPRESSED_COMPLETE)


@on_both_databases
def test_the_steps_make_the_table_that_the_code_knows(database_url: str) -> None:
    url = read_url(database_url)
    migrate(url, MIGRATIONS)
    with open_database(database_url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": MIGRATIONS.version_table})
        assert compare_metadata(context, METADATA) == []


async def test_a_marketing_mail_is_left_by_a_post_as_often_as_it_comes_and_by_no_get(catalog: Catalog) -> None:
    who = Subscription("li.wei@example.com", "news", "marketing")
    link = PATH + write_token(AESSIV(derive_keys((ERASURE,))[0]).encrypt(who.pack(), None))
    anybody = {"x-imsg-key": "", "x-imsg-caller": "", "x-imsg-role": ""}

    async def ask(verb: str, path: str, language: str = "zh-CN", **more: Any) -> httpx.Response:  # noqa: ANN401
        return await catalog.client.request(verb, path, headers={**anybody, "accept-language": language}, **more)

    page, english = await ask("GET", link), await ask("GET", link, "en")
    assert (page.status_code, english.status_code) == (200, 200)
    assert "li.wei@example.com" in page.text
    assert ("退订" in page.text, "Unsubscribe" in english.text) == (True, True)
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "sandbox allow-forms" in page.headers["content-security-policy"]
    assert "set-cookie" not in page.headers
    assert await catalog.reason("li.wei@example.com", "news", Category.MARKETING) is None

    for _ in range(2):
        left = await ask("POST", link, data={"List-Unsubscribe": "One-Click"})
        assert (left.status_code, left.history) == (200, [])
    assert await catalog.reason("li.wei@example.com", "news", Category.MARKETING) == "unsubscribe"
    assert await catalog.reason("li.wei@example.com", "news", Category.NOTICE) is None
    assert len((await catalog.page())["suppressions"]) == 1

    for wrong in (link[:-4], f"{PATH}x", PATH, f"{link}x/y", f"{PATH}{'A' * 2_000}"):
        assert (await ask("POST", wrong)).status_code == 404
    assert len((await catalog.page())["suppressions"]) == 1


async def erase(redis: Redis, address: str) -> int:
    """Publish the tombstone of an address, as history does; return its time (Unix ms)."""
    stone = Tombstone("an erasure", DIGESTS.of(address), datetime.now(UTC))
    await Tombstones(redis, DIGESTS).write([stone])
    return stone.at_ms


async def said_until(redis: Redis) -> int:
    """Read up to which tombstone the catalog has erased."""
    return int(await redis.call("HGET", ERASED, "catalog") or 0)


@on_both_databases
async def test_a_persons_opt_out_outlives_their_address_and_other_reports_do_not(
    catalog: Catalog, redis_url: str, redis: Redis
) -> None:
    who, other = "Li.Wei@example.com", "w@example.com"
    await catalog.add(method="smtp", to=[who, other], scope={"sender": "news", "category": "marketing"}, note="李伟")
    await catalog.add(method="smtp", to=who, reason="hard_bounce")
    await catalog.add(method="sms", to="13711112222", note="also li.wei%40example.com")

    at_ms = await erase(redis, who.lower())

    async def is_done() -> bool:
        return await said_until(redis) >= at_ms

    await eventually(is_done, WITHIN_S)
    rows = (await catalog.page())["suppressions"]
    assert "li.wei" not in str(rows).lower()
    assert "李伟" not in str([row for row in rows if row["to"] != other])
    assert {row["to"]: row["note"] for row in rows} == {
        erased_field(DIGESTS.of(who)): "",
        other: "李伟",
        "+8613711112222": "",
    }
    assert all("li.wei" not in str(field).lower() for field in await redis.call("HGETALL", suppressed_key("smtp")))
    assert [row["reason"] for row in (await catalog.page(to=who))["suppressions"]] == ["opt_out"], "by whole address"

    lookups = RecipientLookups(Tombstones(redis, DIGESTS), SuppressionMirror(redis, "smtp"))
    for sender, found in (("news", {0: "opt_out"}), ("bills", {})):
        content = {"subject": "x", "text": "y", "sender": sender}
        of_now = job(to=(who,), at=datetime.now(UTC) + timedelta(seconds=1), content=content)
        lookup = await lookups.prepare(of_now.model_copy(update={"category": Category.MARKETING}))
        assert lookup is not None
        replies = [await redis.call(question.command, question.key, *question.fields) for question in lookup.reads]
        assert (await lookup.read(replies)).suppressed == found

    again = await catalog.add(method="smtp", to=who, scope={"sender": "news", "category": "marketing"})
    bounced = await catalog.add(method="smtp", to=who, reason="hard_bounce")
    assert (again["added"], again["known"], bounced["added"]) == (0, 1, 1)
    topology = Topology(methods=METHODS)
    back = Suppression(
        method="smtp",
        address=who,
        reason=Reason.OPT_OUT,
        sender="news",
        category=Category.MARKETING,
        at=datetime.now(UTC),
        lifts=True,
    )
    async with open_ready(redis_url, topology) as broker:
        await broker.publish(back.encode(), topology.suppressions)

        async def is_lifted() -> bool:
            return sorted(row["to"] for row in (await catalog.page(method="smtp"))["suppressions"]) == sorted(
                (who, other)
            )

        await eventually(is_lifted, WITHIN_S)


async def test_a_report_in_flight_during_an_erasure_adds_no_address(
    catalog: Catalog, redis_url: str, redis: Redis
) -> None:
    topology, phone = Topology(methods=METHODS), "+8613711112222"
    before = datetime.now(UTC) - timedelta(seconds=1)
    await erase(redis, phone)
    told = [
        Suppression(method="sms", address=phone, reason=reason, evidence=f"{phone} 退订", at=before)
        for reason in (Reason.OPT_OUT, Reason.INVALID)
    ]
    async with open_ready(redis_url, topology) as broker:
        for suppression in told:
            await broker.publish(suppression.encode(), topology.suppressions)

        async def is_kept() -> bool:
            return bool((await catalog.page())["suppressions"])

        await eventually(is_kept, WITHIN_S)
    (row,) = (await catalog.page())["suppressions"]
    assert (row["to"], row["reason"], row["evidence"]) == (erased_field(DIGESTS.of(phone)), "opt_out", "")


async def test_what_administrators_change_stands_in_the_audit_without_an_address(
    catalog: Catalog, redis_url: str
) -> None:
    topology = Topology(methods=METHODS)
    added = await catalog.add(method="smtp", to="a@example.com")
    await catalog.add(method="sms", to=["13711112222", "13711113333"], reason="complaint")
    await catalog.add(method="smtp", to="a@example.com")
    await catalog.client.delete(f"/api/suppressions/{added['id']}")

    async with open_ready(redis_url, topology) as broker, broker.consume(topology.history, 10) as heard:
        changes = [Change.model_validate_json(arrival.body) for arrival in await arrivals(heard, 3)]
    assert [
        (change.action, change.target, change.actor, (change.after or change.before or {})["reason"])
        for change in changes
    ] == [
        ("suppressions_added", added["id"], "admin", "opt_out"),
        ("suppressions_added", "2 suppressions", "admin", "complaint"),
        ("suppression_removed", added["id"], "admin", "opt_out"),
    ]
    assert "example.com" not in str(changes)
