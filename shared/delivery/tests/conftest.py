"""What the tests of deliveries share: patience with Redis."""

import pytest


@pytest.fixture(autouse=True)
def prepare(patient_redis: None) -> None:
    """Wait for Redis as long as a busy machine takes."""
    del patient_redis
