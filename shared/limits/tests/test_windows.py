"""Windows: when a message may go, by clocks of zones, across midnight, holidays and daylight saving."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from imsg_contract.wire import Category
from imsg_limits.windows import DAYS, MAX_DAYS, Calendar, Hold

SHANGHAI = {"methods": ["sms"], "categories": ["marketing", "notice"], "zone": "Asia/Shanghai", "holidays": "none"}
WEEKDAYS = list(DAYS[:5])


def window(**fields: Any) -> dict[str, Any]:  # noqa: ANN401  any JSON
    """Describe a window of the day in Shanghai."""
    return {**SHANGHAI, "id": "day", "days": list(DAYS), "from": "08:00", "to": "21:00", **fields}


def calendar(*windows: dict[str, Any], **holidays: str) -> Calendar:
    """Make a calendar; a correction is written `_2027_01_01="holiday"`."""
    days = {day.strip("_").replace("_", "-"): kind for day, kind in holidays.items()}
    return Calendar.model_validate({"windows": windows, "holidays": days})


def at(text: str) -> datetime:
    """Read a time; without an offset it is Shanghai's."""
    return datetime.fromisoformat(text if "+" in text or text.endswith("Z") else f"{text}+08:00").astimezone(UTC)


def find(of: Calendar, text: str, category: Category = Category.MARKETING) -> datetime | None:
    """Return until when an SMS of that time is held."""
    hold = of.find_hold("sms", category, at(text))
    return None if hold is None else hold.until


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-30T07:59:59.999", "2026-11-30T08:00"),
        ("2026-11-30T08:00", None),
        ("2026-11-30T20:59:59.999", None),
        ("2026-11-30T21:00", "2026-12-01T08:00"),
        ("2026-12-31T23:59", "2027-01-01T08:00"),
    ],
)
def test_what_comes_outside_waits_until_it_opens(now: str, opens: str | None) -> None:
    assert find(calendar(window()), now) == (opens and at(opens))


def test_codes_and_what_no_window_is_for_are_never_held() -> None:
    closed = calendar(window())
    assert find(closed, "2026-11-30T03:00", Category.CODE) is None
    assert closed.find_hold("smtp", Category.MARKETING, at("2026-11-30T03:00")) is None
    assert find(calendar(window(categories=["marketing"])), "2026-11-30T03:00", Category.NOTICE) is None


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-11-27T23:00", None),
        ("2026-11-28T05:59", None),
        ("2026-11-28T06:00", "2026-11-30T22:00"),
        ("2026-11-29T23:00", "2026-11-30T22:00"),
        ("2026-11-30T05:00", "2026-11-30T22:00"),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(now: str, opens: str | None) -> None:
    assert find(calendar(window(days=WEEKDAYS, **{"from": "22:00", "to": "06:00"})), now) == (opens and at(opens))


def test_of_several_windows_any_open_one_lets_it_go_and_the_first_to_open_holds_it() -> None:
    both = calendar(window(), window(id="late", **{"from": "22:00", "to": "23:00"}))
    assert find(both, "2026-11-30T22:30") is None
    assert both.find_hold("sms", Category.MARKETING, at("2026-11-30T21:30")) == Hold(at("2026-11-30T22:00"), "late")
    assert both.find_hold("sms", Category.MARKETING, at("2026-11-30T23:00")) == Hold(at("2026-12-01T08:00"), "day")


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-10-01T10:00", "2026-10-08T08:00"),  # a Thursday of the National Day's holiday
        ("2026-10-10T10:00", None),  # a Saturday to make up for it
        ("2026-10-11T10:00", "2026-10-12T08:00"),  # a Sunday as any other
        ("2026-09-20T10:00", None),  # a Sunday to make up for it
        ("2026-10-09T10:00", None),
    ],
)
def test_holidays_are_closed_and_make_up_working_days_open(now: str, opens: str | None) -> None:
    assert find(calendar(window(days=WEEKDAYS, holidays="cn")), now) == (opens and at(opens))


def test_corrections_win_in_years_that_are_known_and_in_others() -> None:
    rows = window(days=WEEKDAYS, holidays="cn")
    corrected = calendar(rows, _2026_10_10="holiday", _2026_10_01="workday", _2031_02_03="holiday")
    assert find(corrected, "2026-10-10T10:00") == at("2026-10-12T08:00")
    assert find(corrected, "2026-10-01T10:00") is None
    assert find(corrected, "2031-02-03T10:00") == at("2031-02-04T08:00")  # a Monday
    assert find(corrected, "2031-02-08T10:00") == at("2031-02-10T08:00")  # a Saturday


def test_a_year_that_nothing_knows_is_named_before_it_begins() -> None:
    known, needs = calendar(window()), window(holidays="cn")
    assert known.find_unknown_years(date(2031, 12, 31)) == []
    assert calendar(needs).find_unknown_years(date(2025, 6, 1)) == []
    assert calendar(needs).find_unknown_years(date(2031, 12, 31)) == [2031, 2032]
    assert calendar(needs, _2032_01_01="holiday").find_unknown_years(date(2032, 1, 1)) == []


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-03-08T06:00Z", "2026-03-08T07:30Z"),  # 02:30 is skipped: 03:30 in the new time
        ("2026-03-08T07:30Z", None),
        ("2026-03-07T08:00Z", None),
        ("2026-11-01T05:00Z", "2026-11-01T07:30Z"),  # 02:30 comes once, after the hour that came twice
    ],
)
def test_the_clock_of_the_zone_changes(now: str, opens: str | None) -> None:
    hours = window(zone="America/New_York", **{"from": "02:30", "to": "05:00"})
    assert find(calendar(hours), now) == (opens and at(opens))


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        ("2026-04-04T14:50Z", None),  # 01:50, the first time: half an hour comes twice
        ("2026-04-04T15:05Z", None),  # 01:35, the second time
        ("2026-04-04T14:40Z", "2026-04-04T14:45Z"),
        ("2026-10-03T14:00Z", "2026-10-03T15:15Z"),  # 01:45 before 02:00 becomes 02:30
        ("2026-10-03T17:55Z", None),
        ("2026-10-03T18:00Z", "2026-10-04T14:45Z"),  # 05:00 in the new time
    ],
)
def test_the_clock_of_a_zone_changes_by_half_an_hour(now: str, opens: str | None) -> None:
    hours = window(zone="Australia/Lord_Howe", **{"from": "01:45", "to": "05:00"})
    assert find(calendar(hours), now) == (opens and at(opens))


def test_a_window_does_not_open_on_the_day_on_which_the_clock_skips_it() -> None:
    hours = window(zone="America/New_York", **{"from": "02:30", "to": "03:15"})
    assert find(calendar(hours), "2026-03-08T06:00Z") == at("2026-03-09T06:30Z")


def test_a_whole_day_is_open_and_a_window_that_never_opens_is_looked_at_again() -> None:
    assert find(calendar(window(**{"from": "00:00", "to": "00:00"})), "2026-11-30T03:00") is None
    never = calendar(
        window(days=["mon"], holidays="cn"),
        **{f"_{date(2031, 1, 1) + timedelta(days=day)}".replace("-", "_"): "holiday" for day in range(300)},
    )
    now = at("2031-01-01T10:00")
    assert find(never, "2031-01-01T10:00") == now + timedelta(days=MAX_DAYS)
