"""One stack of containers for all of these tests."""

from collections.abc import Iterator

import pytest

from imsg_testing.compose import Containers, running


@pytest.fixture(scope="session")
def containers() -> Iterator[Containers]:
    """Yield the stack, up and healthy."""
    with running() as containers:
        yield containers
