"""Windows and holidays as administrators set them, published for gateways and scheduler."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from imsg_contract.topology import WINDOWS
from imsg_contract.wire import Category
from imsg_limits.windows import Calendar
from imsg_runtime.redis import Redis
from imsg_testing.auth import Visitor
from imsg_testing.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

FRESH: dict[str, Any] = {
    "id": "sms_marketing",
    "methods": ["sms"],
    "categories": ["marketing"],
    "zone": "Asia/Shanghai",
    "days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
    "from": "08:00",
    "to": "21:00",
    "holidays": "none",
}


async def test_a_fresh_installation_has_a_window_and_administrators_replace_it(
    admin: Visitor, user: Visitor, redis: Redis
) -> None:
    fresh = await admin.get("/api/windows")
    assert fresh.json()["windows"] == [FRESH]
    assert (await user.get("/api/windows")).json()["reason"] == "no_right"
    row = {**FRESH, "id": "office", "days": ["mon"], "from": "22:00", "to": "06:00", "holidays": "cn"}
    tag = {"if-match": fresh.headers["etag"]}
    changed = await admin.put("/api/windows", tag, windows=[row])
    assert changed.json()["windows"] == [row]
    published = json.loads(await redis.call("GET", WINDOWS))
    assert published == {"windows": [row], "holidays": {}}
    assert (await admin.put("/api/windows", tag, windows=[])).json()["reason"] == "changed"
    assert (await admin.put("/api/windows", {}, windows=[])).json()["reason"] == "if_match_required"
    back = await admin.put("/api/windows", {"if-match": changed.headers["etag"]}, windows=[FRESH])
    assert back.headers["etag"] == fresh.headers["etag"]


async def test_holidays_are_corrected_and_published(admin: Visitor, user: Visitor, redis: Redis) -> None:
    fresh = await admin.get("/api/holidays")
    assert fresh.json()["holidays"] == {}
    assert (await user.put("/api/holidays", {"if-match": "*"}, holidays={})).json()["reason"] == "no_right"
    days = {"2027-02-06": "holiday", "2027-02-14": "workday"}
    changed = await admin.put("/api/holidays", {"if-match": fresh.headers["etag"]}, holidays=days)
    assert changed.json()["holidays"] == days
    assert json.loads(await redis.call("GET", WINDOWS))["holidays"] == days
    assert (await admin.put("/api/holidays", {"if-match": fresh.headers["etag"]}, holidays={})).status_code == 412
    await admin.put("/api/holidays", {"if-match": "*"}, holidays={})


async def test_a_flushed_redis_gets_the_windows_again(admin: Visitor, redis: Redis) -> None:
    del admin
    await redis.call("FLUSHDB")

    async def is_back() -> bool:
        return bool(await redis.call("EXISTS", WINDOWS))

    await eventually(is_back, 60)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"zone": "Asia/Nowhere"}, "windows.0.zone"),
        ({"zone": "../etc/passwd"}, "windows.0.zone"),
        ({"from": "8:00"}, "windows.0.from"),
        ({"to": "24:01"}, "windows.0.to"),
        ({"from": "24:00"}, "windows.0.from"),
        ({"days": ["monday"]}, "windows.0.days.0"),
        ({"days": []}, "windows.0.days"),
        ({"categories": ["code"]}, "windows.0.categories.0"),
        ({"methods": ["fax"]}, "windows.0.methods.0"),
        ({"holidays": "us"}, "windows.0.holidays"),
        ({"id": "a b"}, "windows.0.id"),
    ],
)
async def test_a_wrong_window_is_refused_and_named(admin: Visitor, wrong: dict[str, Any], named: str) -> None:
    headers = {"if-match": "*", "accept-language": "en"}
    refused = await admin.put("/api/windows", headers, windows=[{**FRESH, **wrong}])
    assert (refused.status_code, refused.json()["errorCode"]) == (400, 10017)
    assert named in refused.json()["detail"]
    twice = await admin.put("/api/windows", headers, windows=[FRESH, FRESH])
    assert "sms_marketing" in twice.json()["detail"]
    assert (await admin.get("/api/windows")).json()["windows"] == [FRESH]


async def test_a_window_may_end_at_24(admin: Visitor, redis: Redis) -> None:
    whole = {**FRESH, "from": "00:00", "to": "24:00"}
    kept = await admin.put("/api/windows", {"if-match": "*"}, windows=[whole])
    assert kept.json()["windows"] == [{**whole, "to": "00:00"}]
    calendar = Calendar.model_validate_json(await redis.call("GET", WINDOWS))
    for hour in range(24):
        at = datetime(2027, 3, 3, hour, 59, 59, tzinfo=UTC)
        assert calendar.find_hold("sms", Category.MARKETING, at) is None
    await admin.put("/api/windows", {"if-match": "*"}, windows=[FRESH])


@pytest.mark.parametrize("day", ["2027-2-6", "20270206", "2027-02-30", "tomorrow", "2027-W05-6"])
async def test_a_day_that_is_none_is_refused(admin: Visitor, day: str) -> None:
    refused = await admin.put("/api/holidays", {"if-match": "*", "accept-language": "en"}, holidays={day: "holiday"})
    assert (refused.status_code, refused.json()["errorCode"]) == (400, 10017)
    assert day in refused.json()["detail"]
