"""What the tests of quotas share: a user of the test's own, within one clock hour."""

import secrets

import pytest

from imsg_testing.waiting import avoid_full_hour


@pytest.fixture(autouse=True)
def hour() -> None:
    """Begin no test that the hour or the day may end in."""
    avoid_full_hour(30)


@pytest.fixture
def name() -> str:
    """Return a username that no other test uses."""
    return f"张-{secrets.token_hex(4)}"
