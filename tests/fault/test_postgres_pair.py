"""PostgreSQL with a synchronous standby that takes over under load; PgBouncer restarted."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from imsg_testing.fault import inject_faults
from imsg_testing.servers import Pair, PgBouncer, Postgres, run_pair
from imsg_testing.services import Plan, Services, deploy

pytestmark = pytest.mark.timeout(900)

USERS = 40


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Run a primary and a synchronous standby."""
    with run_pair(is_synchronous=True) as pair:
        yield pair


@pytest.fixture(scope="module")
def plan(pair: Pair) -> Plan:
    """Return a plan in which one URL names both servers."""
    return Plan(database=pair.create_database)


def test_the_primary_killed_and_its_standby_promoted(deployment: Services, pair: Pair) -> None:
    """Mails settle, and every user whose registration was answered is there: nothing of both is lost."""
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(100)
        with ThreadPoolExecutor(4) as pool:
            tokens = list(pool.map(lambda _: deployment.new_user_token(), range(USERS)))
        pair.primary.kill()
        pair.standby.promote()
        fault.reconciler.record_restored()  # the old primary stays dead
        fault.clients.wait_for(40)
    for token in tokens:
        assert deployment.call("GET", "/api/v2/me", token=token)["errorCode"] == 0
    fault.report(
        38,
        "PostgreSQL's standby promoted",
        f"A primary and a synchronous standby, named by one URL; after {USERS} registrations, in a list of 500 beside "
        "single mails, kill -9 of the primary, then pg_promote of the standby. The old one stays dead.",
    )


def test_pgbouncer_restarted_under_load(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Postgres() as postgres, PgBouncer(postgres, sessions=4) as pgbouncer:
        plan = Plan(database=pgbouncer.create_database)
        with deploy(tmp_path_factory.mktemp("pgbouncer"), plan) as deployment:
            with inject_faults(deployment) as fault, fault.clients.sending():
                deployment.mailbox.latency_s = 0.02
                fault.clients.send(500)
                fault.wait_for_arrivals(100)
                pgbouncer.kill()
                fault.clients.wait_for(20)
                fault.reconciler.record_restored()
                pgbouncer.start()
                fault.clients.wait_for(40)
            fault.report(
                39,
                "PgBouncer killed",
                "auth and history reach PostgreSQL by PgBouncer in transaction mode, four sessions each; kill -9 of it "
                "during a list of 500 beside single mails, started again.",
            )
