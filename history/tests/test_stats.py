"""The hours and days that stats are counted by."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from imsg_contract.errors import Refusal
from imsg_history.ownership import Ownership
from imsg_history.queries import StatsQuery
from imsg_history.stats import find_span
from imsg_testing.callers import user

USER = user("张三")
NOW = datetime(2026, 11, 25, 8, 30, tzinfo=UTC)
SHANGHAI, BERLIN, KATHMANDU = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")


def read(fields: dict[str, str]) -> StatsQuery:
    return StatsQuery.model_validate(fields)


def test_days_begin_at_the_zones_midnight() -> None:
    span = find_span(read({"since": "2026-11-24T00:00:00+08:00"}), USER, SHANGHAI, NOW)
    assert [start.isoformat() for start in span.starts] == [
        "2026-11-23T16:00:00+00:00",
        "2026-11-24T16:00:00+00:00",
        "2026-11-25T16:00:00+00:00",
    ]


def test_a_day_on_which_clocks_change_has_23_or_25_hours() -> None:
    given = {"since": "2026-03-28T12:00:00Z", "until": "2026-03-30T12:00:00Z"}
    spring = find_span(read(given), USER, BERLIN, NOW).starts
    assert [after - before for before, after in pairwise(spring)] == [
        timedelta(hours=24),
        timedelta(hours=23),
        timedelta(hours=24),
    ]


def test_hours_begin_where_the_zones_clock_shows_them() -> None:
    span = find_span(
        StatsQuery.model_validate({"since": "2026-11-25T08:20:00Z", "bucket": "hour"}), USER, KATHMANDU, NOW
    )
    assert [start.minute for start in span.starts] == [15, 15]


@pytest.mark.parametrize(
    "given",
    [
        {"bucket": "week"},
        {"since": "0", "bucket": "hour"},
        {"since": "2026-11-26T00:00:00Z"},
        {"until": "0001-01-02T00:00:00Z"},
        {"since": "9999-12-31T23:00:00Z", "until": "9999-12-31T23:59:59Z"},
    ],
)
def test_what_cannot_be_counted_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(Refusal) as caught:
        find_span(read(given), USER, SHANGHAI, NOW)
    assert caught.value.reason == "wrong_type"


def test_only_an_administrator_counts_everybodys() -> None:
    assert find_span(read({}), USER, SHANGHAI, NOW).ownership == Ownership("张三", USER.user_id, USER.since)
    assert find_span(read({}), user("admin", role="admin"), SHANGHAI, NOW).ownership is None
    with pytest.raises(Refusal) as caught:
        find_span(read({"username": "李四"}), USER, SHANGHAI, NOW)
    assert caught.value.reason == "no_right"
