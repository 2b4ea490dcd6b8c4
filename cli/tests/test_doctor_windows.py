"""The windows part of `imsg doctor`."""

import json
from datetime import date
from pathlib import Path

import pytest

from imsg import all_in_one
from imsg.doctor import windows
from imsg_contract.topology import WINDOWS
from imsg_runtime.redis import connect

HOURS = {"methods": ["sms"], "categories": ["notice"], "zone": "UTC", "days": ["mon"], "from": "08:00", "to": "21:00"}


@pytest.mark.parametrize(
    ("holidays", "today", "years"),
    [("cn", date(2032, 12, 20), "2032, 2033"), ("cn", date(2026, 6, 1), ""), ("none", date(2032, 12, 20), "")],
)
async def test_a_year_that_no_calendar_knows_is_named_where_a_window_needs_it(
    valkey_url: str, tmp_path: Path, holidays: str, today: date, years: str
) -> None:
    published = {"windows": [{**HOURS, "id": "day", "holidays": holidays}], "holidays": {}}
    settings = all_in_one.Settings(redis_url=valkey_url, data_dir=tmp_path)
    async with connect(valkey_url) as redis:
        await redis.call("SET", WINDOWS, json.dumps(published))
    found = await windows.examine(settings, today)
    assert [(years in finding.state, "imsg holidays set" in finding.remedy) for finding in found] == (
        [(True, True)] if years else []
    )
