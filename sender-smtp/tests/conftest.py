"""What the tests of connections share: a server with and without PIPELINING."""

import pytest

from imsg_testing.smtp_connections import OFFERED
from imsg_testing.smtp_server import EXTENSIONS


@pytest.fixture(params=["one by one", "in groups"])
def _offered(request: pytest.FixtureRequest) -> None:
    """Run a test against a server with and without PIPELINING."""
    OFFERED[:] = [*EXTENSIONS, *(["PIPELINING"] if request.param == "in groups" else [])]
