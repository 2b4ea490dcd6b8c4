"""A pytest plugin: which tests of a run go to one worker, and in which order its files come."""

import random
from itertools import groupby

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling


class FileOrGroupScheduling(LoadGroupScheduling):  # type: ignore[misc]  # xdist says no types
    """Keeps the tests of a file on one worker, and files of one `xdist_group`, which share what costs much to start."""

    def _split_scope(self, nodeid: str) -> str:
        return str(super()._split_scope(nodeid)).partition("::")[0]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--random-files`."""
    parser.addoption("--random-files", metavar="SEED", type=int, help="run the files in an order that follows the seed")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileOrGroupScheduling | None:
    """Use it for `--dist loadgroup`."""
    return FileOrGroupScheduling(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the files into the order that was asked for; the tests of a file stay together, in theirs."""
    seed: int | None = config.getoption("--random-files")
    if seed is not None:
        files = [list(of_file) for _, of_file in groupby(items, key=lambda item: item.path)]
        random.Random(seed).shuffle(files)  # noqa: S311  an order is no secret
        items[:] = [item for of_file in files for item in of_file]
