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


@pytest.fixture(scope="session")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`imsg up` of the stories about what the interface decides."""
    with running(tmp_path_factory.mktemp("decided")) as stack:
        yield stack


@pytest.fixture(params=["v1", "v2"])
def decided(request: pytest.FixtureRequest, undecided: Stack) -> Decided:
    """`imsg up`, asked by each of the two versions."""
    return Decided(undecided, is_v2=request.param == "v2")
