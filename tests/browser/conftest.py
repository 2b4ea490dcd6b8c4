"""Chromium for each module, one `imsg up` for the run, and cookies for each visit of a test."""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from imsg_testing.bounces import BOUNCE_SECRET
from imsg_testing.browser import DESK, PHONE, Look, MissingBrowserError, Visit, chromium
from imsg_testing.deployment import LONG_VARIABLES, Deployment, running
from imsg_testing.quiet_zone import find_quiet_zone

LOOKS = [Look("zh", DESK), Look("en", DESK), Look("zh", PHONE), Look("en", PHONE)]

TEST_TIMEOUT_S = 400
"""Of several waits, each of which may take PATIENCE_MS."""

Visits = Callable[..., Visit]

_failed = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of the pages as long: `make test-long` installs Chromium."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("long")
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(TEST_TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember that a test failed, for the picture of what it saw then."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(scope="package")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up` as a newcomer starts it, but for limits that no test meets by the way, and SMS of several segments.

    It may call this machine back, and bounces may be pushed to it.
    """
    settings = {
        "IMSG_TIMEZONE": find_quiet_zone(),
        "IMSG_CALLBACKS__ALLOW": "127.0.0.1",
        "IMSG_SMTP__BOUNCE_SECRET": BOUNCE_SECRET,
    }
    with running(tmp_path_factory.mktemp("console"), {**LONG_VARIABLES, **settings}) as opened:
        opened.open_wide()
        yield opened


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: of a module, since while it runs no other test could run a coroutine."""
    try:
        with chromium() as opened:
            yield opened
    except MissingBrowserError as missing:
        pytest.fail(str(missing), pytrace=False)


@pytest.fixture
def visit(browser: Browser, deployment: Deployment, request: pytest.FixtureRequest) -> Iterator[Visits]:
    """Open browsers of different persons, and close them: a page that complained fails the test."""
    opened: list[Visit] = []

    def open_one(look: Look = LOOKS[0], url: str = "") -> Visit:
        opened.append(Visit(browser, url or deployment.url, look, deployment.zone))
        return opened[-1]

    yield open_one
    if request.node.stash.get(_failed, False):
        for number, session in enumerate(opened):
            session.shoot(f"failed-{request.node.name}-{number}", is_wanted=True)
    complaints = [complaint for session in opened for complaint in session.close()]
    assert not complaints, "\n".join(["the pages complained:", *complaints])
