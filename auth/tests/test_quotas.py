"""Quotas as administrators set them: whole lists, against a change in between, in force for the very next charge."""

from typing import Any

import pytest

from imsg_contract.topology import CAPS
from imsg_limits.quota import Charged, Exhausted
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor
from imsg_testing.auth_users import at, charge, record, register, unique

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOUR = {"id": "per_hour", "counts": "requests", "per": "hour", "method": None, "limit": 5}
DAY = {"id": "per_day", "counts": "requests", "per": "day", "method": None, "limit": 20}
SEGMENTS = {"id": "sms-month", "counts": "segments", "per": "month", "method": "sms", "limit": 20_000}


async def new_user(admin: Visitor) -> str:
    """Register a user; return the URL of the user's quotas."""
    name = unique("配额")
    await register(admin, name)
    return f"{at(name)}/quotas"


async def test_the_documents_limits_are_rows_and_rows_are_the_documents_limits(admin: Visitor) -> None:
    """Whichever way they are set."""
    name = unique("配额")
    await register(admin, name)
    path = f"{at(name)}/quotas"
    first = await admin.get(path)
    assert first.json()["quotas"] == [HOUR, DAY]
    await admin.post(f"/api/modify/{name}", per_hour=7, per_day=70)
    await admin.patch(at(name), recipients_per_day=700)
    second = await admin.get(path)
    assert [(row["id"], row["limit"]) for row in second.json()["quotas"]] == [
        ("per_hour", 7), ("per_day", 70), ("recipients_per_day", 700),
    ]  # fmt: skip
    rows = [{"id": "mine", "counts": "requests", "per": "hour", "limit": 8}, SEGMENTS]
    third = await admin.put(path, {"if-match": second.headers["etag"]}, quotas=rows)
    assert third.json()["quotas"] == [{**rows[0], "method": None}, SEGMENTS]
    shown = await record(admin, name)
    assert (shown["per_hour"], shown["per_day"], shown["left_day"], shown["recipients_per_day"]) == (
        8,
        None,
        None,
        None,
    )
    await admin.post(f"/api/modify/{name}", per_hour=9, per_day=90)
    last = await admin.get(path)
    assert [(row["id"], row["limit"]) for row in last.json()["quotas"]] == [
        ("mine", 9), ("sms-month", 20_000), ("per_day", 90),
    ]  # fmt: skip


@pytest.mark.parametrize("is_of_all", [False, True])
async def test_of_two_who_change_a_list_the_second_one_notices(admin: Visitor, is_of_all: bool) -> None:  # noqa: FBT001
    """Without an ETag nothing is replaced; what was not replaced is as it was."""
    path = "/api/quotas" if is_of_all else await new_user(admin)
    before = await admin.get(path)
    refused = await admin.put(path, {}, quotas=[SEGMENTS])
    assert (refused.status_code, refused.json()["reason"]) == (428, "if_match_required")
    tag = {"if-match": before.headers["etag"]}
    changed = await admin.put(path, tag, quotas=[SEGMENTS])
    assert changed.status_code == 200, changed.text
    assert changed.headers["etag"] == (await admin.get(path)).headers["etag"] != before.headers["etag"]
    late = await admin.put(path, tag, quotas=[])
    assert (late.status_code, late.json()["reason"]) == (412, "changed")
    assert (await admin.get(path)).json()["quotas"] == [SEGMENTS]
    assert (await admin.put(path, {"if-match": changed.headers["etag"]}, quotas=[])).json()["quotas"] == []


WRONG: tuple[tuple[list[dict[str, Any]], str], ...] = (
    ([{"counts": "mails", "per": "hour", "limit": 1}], "quotas.0.counts"),
    ([{"counts": "requests", "per": "week", "limit": 1}], "quotas.0.per"),
    ([{"counts": "requests", "per": "hour", "limit": -1}], "quotas.0.limit"),
    ([{"counts": "requests", "per": "hour", "limit": True}], "quotas.0.limit"),
    ([{"counts": "requests", "per": "hour", "limit": 1, "method": "fax"}], "quotas.0.method"),
    ([{"id": "a b", "counts": "requests", "per": "hour", "limit": 1}], "quotas.0.id"),
    ([{"id": "一", "counts": "requests", "per": "hour", "limit": 1}], "quotas.0.id"),
    ([SEGMENTS, {**SEGMENTS, "per": "day"}], "sms-month"),
    ([SEGMENTS, {**SEGMENTS, "id": "again"}], "sms-month and again"),
)


@pytest.mark.parametrize(("rows", "named"), WRONG)
async def test_a_wrong_list_is_refused_and_named_and_changes_nothing(
    admin: Visitor, rows: list[dict[str, Any]], named: str
) -> None:
    path = await new_user(admin)
    tag = {"if-match": (await admin.get(path)).headers["etag"], "accept-language": "en"}
    refused = await admin.put(path, tag, quotas=rows)
    assert (refused.status_code, refused.json()["errorCode"]) == (400, 10017)
    assert named in refused.json()["detail"]
    assert (await admin.get(path)).json()["quotas"] == [HOUR, DAY]


async def test_only_administrators_see_and_change_lists(user: Visitor) -> None:
    for path in ("/api/quotas", f"{at(user.called)}/quotas"):
        assert (await user.get(path)).json()["reason"] == "no_right"
        assert (await user.put(path, {"if-match": "*"}, quotas=[])).json()["reason"] == "no_right"


async def test_a_quota_of_the_installation_applies_at_once_and_is_shown_to_its_users(
    admin: Visitor, user: Visitor, redis: Redis
) -> None:
    """It refuses though the user has some left; without it the user sends again."""
    everybody = {"id": "all", "counts": "recipients", "per": "minute", "limit": 0}
    assert isinstance(await charge(redis, user.called), Charged)
    tag = (await admin.get("/api/quotas")).headers["etag"]
    tag = (await admin.put("/api/quotas", {"if-match": tag}, quotas=[everybody])).headers["etag"]
    try:
        refused = await charge(redis, user.called)
        assert isinstance(refused, Exhausted)
        assert (refused.window.row.id, refused.window.scope) == ("all", "all")
        shown = (await user.get("/api/me")).json()["quotas"]
        assert [(row["id"], row["scope"], row["limit"], row["used"], row["left"]) for row in shown] == [
            ("per_hour", "user", 5, 1, 4), ("per_day", "user", 20, 1, 19), ("all", "all", 0, 0, 0),
        ]  # fmt: skip
    finally:
        await admin.put("/api/quotas", {"if-match": tag}, quotas=[])
    assert isinstance(await charge(redis, user.called), Charged)


async def test_quotas_of_the_installation_come_back_where_redis_was_flushed(
    admin: Visitor, visitor: Visitor, user: Visitor, redis: Redis
) -> None:
    everybody = {"id": "all", "counts": "requests", "per": "month", "limit": 0}
    tag = (await admin.get("/api/quotas")).headers["etag"]
    tag = (await admin.put("/api/quotas", {"if-match": tag}, quotas=[everybody])).headers["etag"]
    try:
        await redis.call("FLUSHDB")
        await visitor.post("/internal/user-cache", username=user.name)
        assert isinstance(await charge(redis, user.called), Exhausted)
    finally:
        await admin.put("/api/quotas", {"if-match": tag}, quotas=[])


FRESH_CAPS = [
    {"id": f"sms_{category}_{scope}_per_{per}", "method": "sms", "category": category, "scope": scope, "per": per,
     "limit": limit}
    for category, scope, per, limit in (
        ("code", "user", "minute", 1), ("code", "user", "hour", 5), ("code", "user", "day", 10),
        ("code", "all", "day", 40), ("notice", "all", "day", 50),
    )
]  # fmt: skip


async def test_a_fresh_installation_has_caps_and_administrators_replace_them(
    admin: Visitor, user: Visitor, redis: Redis
) -> None:
    fresh = await admin.get("/api/caps")
    assert fresh.json()["caps"] == FRESH_CAPS
    assert (await user.get("/api/caps")).json()["reason"] == "no_right"
    row = {"method": "smtp", "scope": "all", "per": "hour", "limit": 7}
    tag = {"if-match": fresh.headers["etag"]}
    changed = await admin.put("/api/caps", tag, caps=[row])
    assert changed.json()["caps"] == [{"id": "smtp_all_per_hour", "category": None, **row}]
    assert await redis.call("GET", CAPS) == b"smtp_all_per_hour smtp * all 3600 7\n"
    assert (await admin.put("/api/caps", tag, caps=[])).json()["reason"] == "changed"
    assert (await admin.put("/api/caps", {}, caps=[])).json()["reason"] == "if_match_required"
    back = await admin.put("/api/caps", {"if-match": changed.headers["etag"]}, caps=FRESH_CAPS)
    assert back.headers["etag"] == fresh.headers["etag"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"per": "month"}, "caps.0.per"), ({"scope": "key"}, "caps.0.scope"), ({"limit": 1_001}, "caps.0.limit"),
        ({"method": "fax"}, "caps.0.method"), ({"category": "advert"}, "caps.0.category"),
    ],
)  # fmt: skip
async def test_a_wrong_cap_is_refused_and_named(admin: Visitor, wrong: dict[str, Any], named: str) -> None:
    headers = {"if-match": "*", "accept-language": "en"}
    refused = await admin.put("/api/caps", headers, caps=[{**FRESH_CAPS[0], **wrong}])
    assert (refused.status_code, refused.json()["errorCode"]) == (400, 10017)
    assert named in refused.json()["detail"]
    twice = await admin.put("/api/caps", headers, caps=[FRESH_CAPS[0], {**FRESH_CAPS[0], "id": "again"}])
    assert "sms_code_user_per_minute and again" in twice.json()["detail"]
    assert (await admin.get("/api/caps")).json()["caps"] == FRESH_CAPS
