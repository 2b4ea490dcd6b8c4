"""The counts of the overview, and what it says is late."""

from datetime import datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import pytest

from imsg_console.features.overview.attention import find_late
from imsg_console.features.overview.figures import RANGES, read_causes, read_figures, write_labels
from imsg_console.texts import Texts

BUCKETS = [
    {"start": "2026-11-24T16:00:00Z", "counts": {"smtp": {"sent": 3, "failed": 1, "expired": 2, "queued": 4}}},
    {"start": "2026-11-24T17:00:00Z", "counts": {"smtp": {"sent": 1}, "sms": {"delivered": 5, "uncertain": 1}}},
]


def test_statuses_are_sorted_into_what_people_want_to_know() -> None:
    mail, sms, wechat, *_ = read_figures(BUCKETS)

    assert (mail.kinds["sent"], mail.kinds["failed"], mail.kinds["waiting"]) == ((3, 1), (3, 0), (4, 0))
    assert (sms.sum("delivered"), sms.sum("uncertain"), sms.total) == (5, 1, 6)
    assert wechat.total == 0


def test_hours_and_days_are_those_of_the_installation() -> None:
    zone = ZoneInfo("Asia/Shanghai")

    assert write_labels(BUCKETS, "hour", zone) == ["00:00", "01:00"]
    assert write_labels(BUCKETS, "day", zone) == ["11-25", "11-25"]


def test_causes_are_those_of_all_providers_and_the_rare_ones_are_one() -> None:
    failures: list[dict[str, Any]] = [
        {"method": "smtp", "provider": "a", "code": "550", "counts": [5, 0]},
        {"method": "smtp", "provider": "b", "code": "550", "counts": [0, 4]},
        {"method": "sms", "provider": None, "code": None, "counts": [8, 0]},
        *({"method": "sms", "provider": "a", "code": f"rare{n}", "counts": [0, 5 - n]} for n in range(4)),
    ]
    assert [(cause.method, cause.code, cause.counts) for cause in read_causes(failures)] == [
        ("smtp", "550", (5, 4)), ("sms", "", (8, 0)), ("sms", "rare0", (0, 5)), ("sms", "rare1", (0, 4)),
        ("", "", (0, 5)),
    ]  # fmt: skip
    assert read_causes([]) == []


def test_a_range_begins_with_a_whole_hour_or_day_of_the_installation() -> None:
    now = datetime(2026, 11, 25, 9, 30, tzinfo=ZoneInfo("Asia/Kathmandu"))
    starts = {name: f"{chosen.find_start(now):%m-%d %H:%M}" for name, chosen in RANGES.items()}
    assert starts == {"hour": "11-25 08:00", "day": "11-24 10:00", "week": "11-19 00:00", "month": "10-27 00:00"}


@pytest.mark.parametrize(
    ("language", "title", "text"),
    [("zh", "短信的定时消息晚了", "晚了 10 分钟"), ("en", "What was to go later by SMS is late", "It is 10 min late")],
)
def test_what_was_to_go_later_is_said_to_be_late_after_two_minutes(
    language: Literal["zh", "en"], title: str, text: str
) -> None:
    late_s = {"smtp": 120, "sms": 640, "wechat": 0, "wecom": None}  # None: the broker is away
    (item,) = find_late(Texts(language), [{"method": method, "late_s": of} for method, of in late_s.items()])
    assert (item.tone, item.title, item.target) == ("bad", title, "/channels")
    assert text in item.text
