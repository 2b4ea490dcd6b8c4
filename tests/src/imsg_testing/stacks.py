"""The stacks that test modules of several packages share: each is started once in a worker of a run.

The modules of a stack bear its name as their `xdist_group`, and so run in one worker.
"""

from collections.abc import Iterator

import pytest

from imsg_testing.deployment import Deployment, running
from imsg_testing.quiet_zone import find_quiet_zone

CALLING = "calling"
"""The group of the modules that use `calling_stack`."""


@pytest.fixture(scope="session")
def calling_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up` that may call this machine, for the stories about callbacks, operations and the library."""
    settings = {"IMSG_TIMEZONE": find_quiet_zone(), "IMSG_CALLBACKS__ALLOW": "127.0.0.1"}
    with running(tmp_path_factory.mktemp("calling"), settings) as deployment:
        deployment.open_wide()
        yield deployment
