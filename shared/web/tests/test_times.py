"""Times as clients write them."""

from datetime import UTC, datetime

import pytest

from imsg_web.times import read_rfc3339

EIGHT = datetime(2026, 11, 25, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-25T08:00:00Z",
        "2026-11-25t08:00:00z",
        "2026-11-25 16:00:00+08:00",
        "2026-11-25T07:59:60Z",
        "2026-11-25T08:00:00.000000999Z",
        "2026-11-24T20:00:00-12:00",
    ],
)
def test_one_moment_has_many_spellings(text: str) -> None:
    assert read_rfc3339(text) == EIGHT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-25",
        "2026-11-25T08:00:00",
        "2026-11-25T08:00Z",
        "20261125T080000Z",
        "2026-W48-3T08:00:00Z",
        "2026-02-30T08:00:00Z",
        "2026-11-25T08:00:00+24:00",
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:60Z",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever its words, callers say their own
        read_rfc3339(text)
