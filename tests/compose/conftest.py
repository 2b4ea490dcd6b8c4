"""One set of containers for all of these tests."""

from collections.abc import Iterator

import pytest

from imsg_testing.compose import Containers, running


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """Yield the stack, up and healthy; its administrator may send as often as the tests of one hour want."""
    with running() as containers:
        limits = {"token": containers.token, "per_day": 1_000_000, "per_hour": 1_000_000}
        assert containers.call("POST", "/api/modify/admin", limits)["errorCode"] == 0
        yield containers


@pytest.fixture
def elsewhere() -> Iterator[Containers]:
    """Yield an installation that has never been started, as on a new machine."""
    containers = Containers()
    try:
        yield containers
    finally:
        containers.close()
