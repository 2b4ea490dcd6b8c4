"""What the tests of quotas share: a user of the test's own."""

import secrets

import pytest


@pytest.fixture
def name() -> str:
    """Return a username that no other test uses."""
    return f"张-{secrets.token_hex(4)}"
