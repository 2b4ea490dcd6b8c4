"""A deployment for each module of fault tests, made anew if a test left it broken."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imsg_testing.services import Plan, Services, deploy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` and `make test-long` leave to `make test-fault`."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.get_closest_marker("quick") is None:
            item.add_marker("fault")


class Deployments:
    """The deployments of one module, one at a time."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._number = 0
        self._stack = ExitStack()
        self._open: Services | None = None

    def ready(self) -> Services:
        """Return a deployment in which every process runs and is ready."""
        if self._open is not None and not self._open.is_ready():
            self.close()
        if self._open is None:
            self._number += 1
            folder = self._folder / str(self._number)
            folder.mkdir()
            self._open = self._stack.enter_context(deploy(folder, self._plan))
        return self._open

    def close(self) -> None:
        """End it."""
        self._open = None
        self._stack.close()


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return the plan of the module's deployment; a module overrides it."""
    return Plan()


@pytest.fixture(scope="module")
def deployments(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Iterator[Deployments]:
    """Yield the module's deployments, and close them."""
    opened = Deployments(tmp_path_factory.mktemp("fault"), plan)
    yield opened
    opened.close()


@pytest.fixture
def deployment(deployments: Deployments) -> Services:
    """Return a ready deployment."""
    return deployments.ready()
