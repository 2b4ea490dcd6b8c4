"""A whole iMSG for each module of torments, made anew where the last one left it broken."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from imsg_testing.fault_world import Plan, World, world


class Worlds:
    """The worlds of one module, one at a time."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._number = 0
        self._stack = ExitStack()
        self._open: World | None = None

    def whole(self) -> World:
        """Return a world in which every process runs and is ready."""
        if self._open is not None and not self._open.is_whole():
            self.close()
        if self._open is None:
            self._number += 1
            folder = self._folder / str(self._number)
            folder.mkdir()
            self._open = self._stack.enter_context(world(folder, self._plan))
        return self._open

    def close(self) -> None:
        """End it."""
        self._open = None
        self._stack.close()


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Say what the module's world is made of; a module overrides it."""
    return Plan()


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Iterator[Worlds]:
    """Keep the module's worlds."""
    opened = Worlds(tmp_path_factory.mktemp("fault"), plan)
    yield opened
    opened.close()


@pytest.fixture
def whole(worlds: Worlds) -> World:
    """Give a whole world to a torment."""
    return worlds.whole()
