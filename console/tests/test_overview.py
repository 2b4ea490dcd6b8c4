"""The counts of the overview."""

from zoneinfo import ZoneInfo

from imsg_console.features.overview.figures import read_figures, write_labels

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
