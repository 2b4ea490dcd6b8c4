"""One plugin for every test of the house: real servers, started privately by the run itself."""

pytest_plugins = ["imsg_testing.plugin"]
