"""Redis changes its master under load, by Sentinels and by hand."""

from collections.abc import Iterator

import pytest

from imsg_testing.fault import IN_FLIGHT, inject_faults
from imsg_testing.sentinels import Watched, watched
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(900)

LIST = 10_000

BEGUN = 2 * 2 * IN_FLIGHT
"""What two senders had under way or had just begun, in both lanes, as the master died: claimed, its result not kept."""

LAST_MOMENT = 250
"""Results of the last second at most, if the replica was behind by as much (min-replicas-max-lag)."""


@pytest.fixture(scope="module")
def servers() -> Iterator[Watched]:
    """Run a master, its replica and three Sentinels."""
    with watched() as servers:
        yield servers


@pytest.fixture(scope="module")
def plan(servers: Watched) -> Plan:
    """Return a plan whose Redis is behind the Sentinels."""
    return Plan(common={"IMSG_REDIS_URL": servers.url})


def test_the_master_killed_under_a_list(deployment: Services, servers: Watched) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.005
        fault.clients.send(LIST)
        fault.wait_for_arrivals(500)
        old = servers.master_port()
        servers.master.kill()
        # A Sentinel that was stopped for 2 s takes nobody for dead for half a minute.
        wait(lambda: servers.master_port() != old, 120, every_s=0.1)
        fault.reconciler.record_restored()  # the old one stays dead
        fault.clients.wait_for(40)
    servers.master.start()  # as a replica, for the next test
    fault.report(
        37,
        "Redis' master killed, Sentinels",
        f"A master, its replica, three Sentinels; kill -9 of the master in a list of {LIST:,} beside single mails. "
        "It stays dead.",
        twice_at_most=BEGUN + LAST_MOMENT,
        why="of mails in flight, and of those that the replica had not heard of, nobody knows the result, and mail is "
        "repeated",
    )
