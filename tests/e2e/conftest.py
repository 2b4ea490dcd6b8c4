"""One iMSG for the stories that leave it whole; those that break it start their own."""

from collections.abc import Iterator

import pytest

from imsg_testing.decisions import Decided
from imsg_testing.stack import Crash, Stack, crashed, running


@pytest.fixture(scope="session")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`imsg up`, started once."""
    with running(tmp_path_factory.mktemp("up")) as stack:
        stack.open_wide()
        yield stack


@pytest.fixture(scope="session")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crash]:
    """Kill an `imsg up` in the middle of a list and start it again; it recovers while other stories run."""
    with crashed(tmp_path_factory.mktemp("crash")) as happened:
        yield happened


@pytest.fixture
def stack(shared_stack: Stack) -> Iterator[Stack]:
    """`imsg up` with an empty inbox and no faults."""
    shared_stack.call("DELETE", "/sandbox/inbox")
    yield shared_stack
    shared_stack.call("DELETE", "/sandbox/faults")


@pytest.fixture(scope="session", params=["documented", "truthful"])
def decided(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Decided]:
    """`imsg up` in each of the two HTTP status modes."""
    mode = str(request.param)
    with running(tmp_path_factory.mktemp(mode), {"IMSG_HTTP_STATUS": mode}) as stack:
        yield Decided(stack, is_truthful=mode == "truthful")
