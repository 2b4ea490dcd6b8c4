"""Reading a query's filters, and what is answered to wrong ones."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg_contract.errors import Refusal
from imsg_contract.wire import Status
from imsg_history.ids import Name
from imsg_history.ownership import Ownership, find_ownership
from imsg_history.pagination import (
    MessagePosition,
    TimePosition,
    read_message_cursor,
    read_time_cursor,
    write_message_cursor,
    write_time_cursor,
)
from imsg_history.queries import MessagesQuery, V1MessagesQuery
from imsg_testing.callers import user

ADMIN = user("admin", role="admin")
USER = user("张三")
REQUEST = "01a21034929b7000ab39a966e5b0d0d8"


def read(**fields: str) -> V1MessagesQuery:
    return V1MessagesQuery.model_validate(fields)


def refuse(**fields: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(**fields)
    return caught.value


def test_a_page_has_fifty_messages_unless_the_query_sets_a_limit() -> None:
    assert (read().limit, read(limit="7").limit) == (50, 7)


def test_users_see_their_own_messages_and_administrators_all() -> None:
    own = Ownership("张三", USER.user_id, USER.since)
    assert (find_ownership(None, USER), find_ownership("张三", USER)) == (own, own)
    assert (find_ownership(None, ADMIN), find_ownership("李四", ADMIN)) == (None, Ownership("李四"))
    with pytest.raises(Refusal, match="no_right"):
        find_ownership("李四", USER)


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("id", "", 10017),
        ("id", "42", 10017),
        ("id", REQUEST + "-", 10017),
        ("id", REQUEST + "-01", 10017),
        ("id", REQUEST + "-99999999999", 10017),
        ("id", REQUEST + "0", 10017),
        ("method", "fax", 10008),
        ("method", "", 10008),
        ("status", "done", 10017),
        ("status", "SENT", 10017),
        ("to", "", 10017),
        ("since", "yesterday", 10017),
        ("since", "2026-11-25", 10017),
        ("since", "2026-11-25T08:00:00", 10017),
        ("since", "2026-02-30T08:00:00Z", 10017),
        ("until", "-1", 10017),
        ("until", "1e12", 10017),
        ("until", "1e9999999999999999999", 10017),
        ("until", "1e", 10017),
        ("until", "253402300800", 10017),
        ("until", "1764028800000000", 10017),
        ("until", "0001-01-01T00:00:00+23:59", 10017),
        ("limit", "0", 10017),
        ("limit", "501", 10017),
        ("limit", "5.0", 10017),
        ("limit", "５", 10017),
        ("limit", "", 10017),
        ("cursor", "2", 10017),
        ("cursor", "AAAA!AAAA", 10017),
        ("cursor", "é", 10017),
    ],
)
def test_a_wrong_filter_is_refused_with_its_name_and_the_remedy_in_both_languages(
    field: str, value: str, code: int
) -> None:
    refusal = refuse(**{field: value})
    chinese, english = refusal.answer(english=False), refusal.answer(english=True)
    assert (chinese["errorCode"], refusal.row.http) == (code, 400)
    assert field in chinese["detail"]
    assert field in english["detail"]
    assert english["detail"].isascii()
    assert not chinese["detail"].isascii()


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-25T08:00:00Z", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("2026-11-25t08:00:00.123456789z", datetime(2026, 11, 25, 8, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-25T16:00:00+08:00", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("2026-11-25T16:00:00 08:00", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("2026-11-25T03:30:00-04:30", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("1795593600", datetime(2026, 11, 25, 8, tzinfo=UTC)),
        ("1795593600.5", datetime(2026, 11, 25, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("1.7955936005e9", datetime(2026, 11, 25, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("1.401298464324817e-45", datetime(1970, 1, 1, tzinfo=UTC)),
        ("-0.0", datetime(1970, 1, 1, tzinfo=UTC)),
        ("0", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_times_are_rfc_3339_or_unix_seconds(text: str, at: datetime) -> None:
    assert read(since=text, until=text).since == at


def test_an_id_is_read_in_either_case() -> None:
    assert read(id=f"{REQUEST.upper()}-7").id == Name(REQUEST, 7)


def test_a_status_is_read() -> None:
    assert read(status="uncertain").statuses == (Status.UNCERTAIN,)


def test_v2_reads_several_statuses_and_a_code() -> None:
    query = MessagesQuery.model_validate({"status": "failed,expired,failed", "code": "550"})
    assert query.statuses == (Status.FAILED, Status.EXPIRED)
    assert query.code == "550"
    for wrong in ({"status": "failed,"}, {"status": ""}, {"code": ""}, {"code": "x" * 129}):
        with pytest.raises(Refusal):
            MessagesQuery.model_validate(wrong)
    with pytest.raises(Refusal):
        read(status="failed,expired")


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**31 - 1))
def test_a_cursor_comes_back_as_it_went(request: int, n: int) -> None:
    position = MessagePosition(f"{request:032x}", n)
    assert read_message_cursor(write_message_cursor(position)) == position


@given(st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001  naive bounds
def test_a_cursor_of_a_time_comes_back_as_it_went(at: datetime) -> None:
    position = TimePosition(at, REQUEST)
    assert read_time_cursor(write_time_cursor(position)) == position


@given(
    st.dictionaries(
        st.sampled_from(["id", "username", "method", "status", "to", "since", "until", "limit", "cursor"]), st.text()
    )
)
def test_whatever_is_asked_is_read_or_refused(asked: dict[str, str]) -> None:
    with suppress(Refusal):
        assert read(**asked).limit in range(1, 501)
