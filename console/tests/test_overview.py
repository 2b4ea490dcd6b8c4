"""The counts of the overview, and what needs attention."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from imsg_console.features.overview.attention import describe_findings, sort_by_need
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


def test_faults_and_notices_of_the_status_are_shown_and_what_stops_messages_comes_first() -> None:
    def make(part: str, level: str, title: str, remedy: str | None = "去处理。") -> dict[str, Any]:
        return {"part": part, "name": "", "title": title, "level": level, "state": "已暂停", "remedy": remedy}

    items = describe_findings(
        Texts("zh"),
        [
            make("disk", "fault", "磁盘"),
            make("dead_letters", "fault", "死信"),  # has an item of its own, with its number
            make("channel", "fault", "短信"),
            make("channel", "notice", "邮件"),
            make("provider", "fault", "服务商 stale"),
            make("redis", "well", "Redis", None),
        ],
    )

    assert [(item.title, item.tone, item.step, item.target) for item in sort_by_need(items)] == [
        ("短信", "bad", "查看渠道", "/channels"),
        ("磁盘", "bad", "查看系统状态", "/status"),
        ("服务商 stale", "bad", "查看服务商", "/providers"),
        ("邮件", "warn", "查看渠道", "/channels"),
    ]
    assert {item.text for item in items} == {"已暂停。去处理。"}
