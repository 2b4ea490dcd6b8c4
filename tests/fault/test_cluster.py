"""A RabbitMQ cluster of three nodes, some of them killed, frozen or cut off."""

from collections.abc import Iterator
from typing import Protocol

import pytest

from imsg_testing.fault import inject_faults
from imsg_testing.servers import RabbitCluster
from imsg_testing.servers.rabbit_cluster import NODES
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(900)


class _Deployments(Protocol):
    def ready(self) -> Services:
        """Return a deployment in which every process runs and is ready."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[RabbitCluster]:
    """Run three nodes."""
    with RabbitCluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def plan(cluster: RabbitCluster) -> Plan:
    """Return a plan whose broker is the cluster of three."""
    return Plan(common={"IMSG_BROKER_URL": cluster.url})


@pytest.fixture
def deployment(deployments: _Deployments, cluster: RabbitCluster) -> Services:
    """Return a ready deployment on a whole cluster."""
    _wait_until_all_run(cluster)
    return deployments.ready()


def test_the_leader_of_a_queue_killed_under_load(deployment: Services, cluster: RabbitCluster) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(1_000)
        fault.wait_for_arrivals(100)
        leader = cluster.leader("imsg.smtp.bulk")
        leader.kill()
        fault.reconciler.record_restored()  # the node stays dead while work goes on
        fault.clients.wait_for(100)
        fault.wait_for_arrivals(200)
        leader.start()
    fault.report(
        60,
        "A leader in the cluster killed",
        "Three nodes; kill -9 of the one that leads `imsg.smtp.bulk`, in the middle of a list of 1,000 beside single "
        "mails. It stays dead until a hundred more are accepted.",
    )


def test_each_node_killed_in_turn(deployment: Services, cluster: RabbitCluster) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        for node in cluster.nodes:
            fault.clients.wait_for(30)
            node.kill()
            fault.reconciler.record_restored()
            fault.clients.wait_for(30)
            node.start()
            _wait_until_all_run(cluster)
    fault.report(61, "Each node killed in turn", "kill -9 of one node after the other, each back before the next dies.")


def test_a_node_cut_off_from_the_others(deployment: Services, cluster: RabbitCluster) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(50)
        alone = cluster.leader("imsg.smtp.normal")
        cluster.cut_off(alone)
        fault.reconciler.record_restored()
        fault.clients.wait_for(100)
        fault.wait_for_arrivals(100)
        cluster.rejoin(alone)
    fault.report(
        62,
        "A node cut off",
        "The node that leads `imsg.smtp.normal` parted from the other two, not from its clients; it pauses itself "
        "(`pause_minority`), they go to the others. Joined again afterwards.",
    )


def test_a_leader_that_freezes(deployment: Services, cluster: RabbitCluster) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        fault.clients.wait_for(30)
        frozen = cluster.leader("imsg.history")
        frozen.pause()
        fault.reconciler.record_restored()
        fault.clients.wait_for(60)
        frozen.restart()  # woken instead, it would not know that time had passed, and stay apart (RabbitMQ's manual)
    fault.report(
        63,
        "A leader that freezes",
        "SIGSTOP of the node that leads `imsg.history`: its connections stay open and nobody answers, until the others "
        "take it for dead. Started anew after sixty more are accepted.",
    )


def test_the_majority_away(deployment: Services, cluster: RabbitCluster) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        fault.clients.wait_for(30)
        first, second, _ = cluster.nodes
        first.kill()
        second.kill()
        fault.clients.wait_for_refusals(5)
        fault.reconciler.record_restored()
        first.start()
        fault.clients.wait_for(40)
        second.start()
    fault.report(
        64,
        "Two of three nodes killed",
        "kill -9 of two nodes at once: nothing can be confirmed, and 10012 is answered. One started again.",
    )


def _wait_until_all_run(cluster: RabbitCluster) -> None:
    wait(lambda: all(len(cluster.running(node)) == NODES for node in cluster.nodes), 180, every_s=0.5)
