"""Processes of iMSG killed (SIGKILL) at work."""

import pytest

from imsg_testing.fault import IN_FLIGHT, inject_faults
from imsg_testing.services import Services

pytestmark = pytest.mark.timeout(600)


def test_a_sender_killed_in_mid_bulk(deployment: Services) -> None:
    with inject_faults(deployment) as fault:
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(2_000)
        fault.wait_for_arrivals(300)
        deployment.senders[0].process.kill()
        fault.reconciler.record_restored()
        deployment.senders[0].start()
    fault.report(
        10,
        "A sender killed in mid-bulk",
        "kill -9 of one of two senders in the middle of a list of 2,000, started again.",
        twice_at_most=IN_FLIGHT,
        why="what the dead one had under way",
    )


def test_two_senders_killed_at_once(deployment: Services) -> None:
    with inject_faults(deployment) as fault:
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(1_000)
        with fault.clients.sending(threads=2):
            fault.wait_for_arrivals(200)
            for sender in deployment.senders:
                sender.process.kill()
            fault.clients.wait_for(20)
            fault.reconciler.record_restored()
            for sender in deployment.senders:
                sender.start()
    fault.report(
        11,
        "Two senders killed at once",
        "kill -9 of both senders during a list of 1,000 beside single mails; both started again.",
        twice_at_most=2 * IN_FLIGHT,
        why="what the dead had under way",
    )


def test_the_gateway_killed_under_load(deployment: Services) -> None:
    with inject_faults(deployment, may_break=True) as fault, fault.clients.sending(threads=8, pause_s=0.0):
        for _ in range(3):
            fault.clients.wait_for(60)
            deployment.gateways[0].process.kill()
            fault.reconciler.record_restored()
            deployment.gateways[0].start()
        fault.clients.wait_for(60)
    fault.report(
        12,
        "The gateway killed under load",
        "kill -9 of the only gateway, three times, while eight clients send single mails; started again each time.",
    )


def test_history_killed(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        fault.clients.wait_for(40)
        deployment.history.process.kill()
        fault.clients.wait_for(100)
        fault.wait_for_arrivals(50)
        fault.reconciler.record_restored()
        deployment.history.start()
        fault.clients.wait_for(40)
    fault.report(
        13,
        "history killed",
        "kill -9 of history under load; mails are accepted and sent without it; started again.",
    )


def test_auth_killed(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        fault.clients.wait_for(40)
        deployment.auth.process.kill()
        fault.clients.wait_for(100)
        fault.reconciler.record_restored()
        deployment.auth.start()
        fault.clients.wait_for(40)
    fault.report(14, "auth killed", "kill -9 of auth under load; known tokens go on without it; started again.")
