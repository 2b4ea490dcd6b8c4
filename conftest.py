"""One plugin for every test of the house: real servers, started privately by the run itself."""

from hypothesis import settings

pytest_plugins = ["imsg_testing.plugin"]

settings.register_profile("imsg", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("imsg")
