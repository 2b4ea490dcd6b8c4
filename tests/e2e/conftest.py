"""One shared iMSG for the stories that do not break it."""

from collections.abc import Iterator

import pytest

from imsg_testing.api_checks import VersionedApi
from imsg_testing.bounces import BOUNCE_SECRET
from imsg_testing.deployment import LONG_VARIABLES, Crash, Deployment, crash_and_restart, running
from imsg_testing.pushed_bounces import SIGNING
from imsg_testing.quiet_zone import find_quiet_zone
from imsg_testing.servers import reserve_port
from imsg_testing.services import Plan, Services, deploy


@pytest.fixture(scope="package")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up`, started once in a worker, with a sender in its settings."""
    settings = {"IMSG_TIMEZONE": find_quiet_zone(), "IMSG_SMTP__SENDERS__ALERTS__ADDRESS": "alerts@example.com"}
    with running(tmp_path_factory.mktemp("up"), settings) as deployment:
        deployment.open_wide()
        yield deployment


@pytest.fixture(scope="package")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crash]:
    """Kill an `imsg up` in the middle of a list and start it again; it recovers while other stories run."""
    with crash_and_restart(tmp_path_factory.mktemp("crash")) as happened:
        yield happened


@pytest.fixture
def deployment(shared_stack: Deployment) -> Iterator[Deployment]:
    """`imsg up` with an empty inbox and no faults."""
    shared_stack.call("DELETE", "/sandbox/inbox")
    yield shared_stack
    shared_stack.call("DELETE", "/sandbox/faults")


@pytest.fixture(scope="package")
def undecided(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`imsg up` of the stories about what the interface decides."""
    names = {f"IMSG_SMTP__SENDERS__{name}__ADDRESS": f"{name}@example.com" for name in ("NEWS", "ALERTS")}
    names["IMSG_TIMEZONE"] = find_quiet_zone()
    names["IMSG_SMTP__REPLY_TO__HELP__ADDRESS"] = "help@example.com"
    with running(tmp_path_factory.mktemp("decided"), LONG_VARIABLES | names) as deployment:
        yield deployment


@pytest.fixture(scope="package")
def bounce_port() -> int:
    """Choose where `bouncing` listens for bounces."""
    return reserve_port()


@pytest.fixture(scope="package")
def bouncing(tmp_path_factory: pytest.TempPathFactory, bounce_port: int) -> Iterator[Deployment]:
    """`imsg up` with a domain for bounces, which come by a push, signed or not, and by a listener."""
    settings = {
        "IMSG_SMTP__BOUNCE_DOMAIN": "bounce.tiancun-shili.cn",
        "IMSG_SMTP__BOUNCE_SECRET": f"{BOUNCE_SECRET},{SIGNING}",
        "IMSG_SMTP__BOUNCE_LISTENER__HOST": "127.0.0.1",
        "IMSG_SMTP__BOUNCE_LISTENER__PORT": str(bounce_port),
        "IMSG_SMTP__BOUNCE_LISTENER__TIMEOUT_S": "3",
    }
    with running(tmp_path_factory.mktemp("back"), settings) as deployment:
        deployment.open_wide()
        yield deployment


@pytest.fixture(scope="package")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Run iMSG as services: two gateways, two senders of mail, the sandbox."""
    zone = {"IMSG_TIMEZONE": find_quiet_zone()}
    plan = Plan(gateways=2, has_catalog=True, has_sandbox=True, has_accounts=True, common=zone)
    with deploy(tmp_path_factory.mktemp("services"), plan) as opened:
        yield opened


@pytest.fixture(params=["v1", "v2"])
def decided(request: pytest.FixtureRequest, undecided: Deployment) -> VersionedApi:
    """`imsg up`, asked by each of the two versions."""
    return VersionedApi(undecided, is_v2=request.param == "v2")
