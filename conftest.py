"""The plugins of every test: how long it took, and real servers, started privately by the run itself."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["imsg_testing.distribution", "imsg_testing.durations", "imsg_testing.plugin", "imsg_testing.stacks"]

# How long an example takes, to draw or to run, says how busy the machine is.
settings.register_profile("imsg", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("imsg")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while tests are collected, and look at none of it later: nothing of it ends before the run.

    Half of a collection's time went into looking through ten thousand tests again and again.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
