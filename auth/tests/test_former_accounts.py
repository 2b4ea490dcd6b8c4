"""Credentials that were replaced are good for late receipts, for a week."""

from datetime import UTC, datetime, timedelta

from imsg_auth.account_publisher import FORMER_FOR, list_former
from imsg_auth.rows.providers import AccountVersion

NOW = datetime(2026, 11, 30, 8, tzinfo=UTC)


def make(version: int, age: timedelta, *, name: str = "cloud", is_current: bool = False) -> AccountVersion:
    """Make a version of that age."""
    return AccountVersion("sms", name, version, "aliyun", "sealed", NOW - age, "admin", is_current=is_current)


def test_a_version_is_former_for_a_week_after_the_next_replaced_it() -> None:
    moment = timedelta(seconds=1)
    versions = [
        make(4, moment, is_current=True),
        make(3, FORMER_FOR - moment),
        make(2, FORMER_FOR),
        make(1, 3 * FORMER_FOR),
        make(1, 9 * FORMER_FOR, name="other", is_current=True),
    ]
    assert [(account.name, account.version) for account in list_former(versions, NOW)] == [("cloud", 3), ("cloud", 2)]
