"""The plugins of every test: how long it took, and real servers, started privately by the run itself."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["imsg_testing.durations", "imsg_testing.plugin", "imsg_testing.stacks"]

# How long an example takes, to draw or to run, says how busy the machine is.
settings.register_profile("imsg", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("imsg")
