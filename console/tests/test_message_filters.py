"""Filters: what a URL says, what the API is asked, and back."""

from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest

from imsg_console.message.filters import Filters, NotAnIdError, NotATimeError

SHANGHAI = ZoneInfo("Asia/Shanghai")
REQUEST = "01a210c34079764aa87a6b622354f0a2"


def test_a_url_gives_the_filters_and_they_give_the_url_back() -> None:
    given = {"status": "failed", "method": "smtp", "to": "李@example.com", "username": "a&b=c", "since": "2026-11-25"}
    filters = Filters.of(given)
    assert dict(parse_qsl(filters.url(page="3", cursor=""))) == {**given, "page": "3"}


def test_what_a_url_makes_up_filters_nothing() -> None:
    assert Filters.of({"status": "lost", "method": "pigeon", "nonsense": "x", "to": " \0 "}) == Filters()


def test_local_times_are_asked_in_utc_and_a_day_is_meant_whole() -> None:
    filters = Filters.of({"since": "2026-11-25", "until": "2026-11-25"})
    assert filters.as_parameters(SHANGHAI) == {"since": "2026-11-24T16:00:00Z", "until": "2026-11-25T16:00:00Z"}
    assert Filters.of({"since": "2026-11-25T08:30"}).as_parameters(SHANGHAI) == {"since": "2026-11-25T00:30:00Z"}


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-11-25T25:00", "9999-12-31", "２０２６-11-25"])
def test_what_is_no_time_is_reported(text: str) -> None:
    with pytest.raises(NotATimeError):
        Filters.of({"until": text}).as_parameters(SHANGHAI)


@pytest.mark.parametrize(("text", "id_"), [(f" {REQUEST.upper()} ", REQUEST), (f"{REQUEST}-12", f"{REQUEST}-12")])
def test_an_id_is_read_as_people_paste_it(text: str, id_: str) -> None:
    assert Filters.of({"id": text}).as_parameters(SHANGHAI) == {"id": id_}


@pytest.mark.parametrize("text", ["12", f"{REQUEST}-", f"{REQUEST}-01", "../users"])
def test_what_is_no_id_is_reported(text: str) -> None:
    with pytest.raises(NotAnIdError):
        Filters.of({"id": text}).as_parameters(SHANGHAI)
