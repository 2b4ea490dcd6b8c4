"""Ids and the times in them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from imsg_history.ids import find_day, first_id, time_of
from imsg_testing.history import request_id

TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  naive bounds


@given(TIMES, TIMES)
def test_an_id_is_not_below_the_first_of_a_moment_exactly_when_it_was_made_then_or_later(
    made: datetime, moment: datetime
) -> None:
    made = made.replace(microsecond=made.microsecond // 1_000 * 1_000)
    assert (request_id(made) >= first_id(moment)) == (made >= moment)
    assert time_of(request_id(made)) == made


def test_no_time_is_too_early_or_late_for_an_id() -> None:
    assert first_id(datetime(1, 1, 1, tzinfo=UTC)) == "0" * 32
    assert first_id(datetime(9999, 12, 31, tzinfo=UTC)) > request_id(datetime(9998, 1, 1, tzinfo=UTC))
    assert time_of("f" * 32) - datetime(9999, 12, 31, tzinfo=UTC) < timedelta(days=1)


def test_every_time_has_a_day() -> None:
    shanghai, new_york = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
    assert find_day(datetime(2026, 11, 25, 16, tzinfo=UTC), shanghai) == "2026-11-26"
    assert find_day(datetime(9999, 12, 31, 23, tzinfo=UTC), shanghai) == "9999-12-31"
    assert find_day(datetime(1, 1, 1, tzinfo=UTC), new_york) == "0001-01-01"
