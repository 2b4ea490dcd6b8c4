"""What several tests share: a server with and without PIPELINING, and mailboxes at a real Dovecot."""

import secrets
from collections.abc import Iterator

import pytest

from imsg_testing.servers import Dovecot
from imsg_testing.smtp_connections import OFFERED
from imsg_testing.smtp_server import EXTENSIONS


@pytest.fixture(params=["one by one", "in groups"])
def _offered(request: pytest.FixtureRequest) -> None:
    """Run a test against a server with and without PIPELINING."""
    OFFERED[:] = [*EXTENSIONS, *(["PIPELINING"] if request.param == "in groups" else [])]


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    """Run a Dovecot."""
    with Dovecot() as server:
        yield server


@pytest.fixture
def user() -> str:
    """Return a new user of it."""
    return f"bounces-{secrets.token_hex(4)}"
