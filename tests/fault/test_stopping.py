"""Services end in good order on SIGTERM, at every stage of a sender's work."""

import signal

import pytest

from imsg_testing.fault import Fault, inject_faults
from imsg_testing.mailbox import Manner
from imsg_testing.service import Service
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(600)

LEFT_ALONE_S = 420.0
"""A server that was away is tried every 5 s, then all go; what failed before waits up to 5 min."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return a plan with one sender: no other does its work meanwhile."""
    return Plan(senders=1)


def again(fault: Fault, service: Service) -> None:
    """Start it again: from here on everything heals by itself."""
    fault.reconciler.record_restored()
    service.start()


def find_state(deployment: Services) -> str:
    """Return the state of the mail channel."""
    channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
    return next(str(channel["state"]) for channel in channels if channel["method"] == "smtp")


def test_before_it_has_connected(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment) as fault:
        sender.process.end()
        fault.clients.send(100)
        deployment.rabbit.kill()
        sender.process.start()
        wait(sender.is_alive, 60)
        sender.stop()
        fault.reconciler.record_restored()
        deployment.rabbit.start()
        sender.start()
    fault.report(
        50, "SIGTERM before it has connected", "A sender asked to end while RabbitMQ is down, with work waiting."
    )


def test_while_it_takes(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment) as fault, fault.clients.sending(threads=8, pause_s=0.0):
        fault.wait_for_arrivals(50)
        sender.stop()
        again(fault, sender)
        fault.wait_for_arrivals(50)
    fault.report(51, "SIGTERM while it takes", "A sender asked to end while single mails stream in; started again.")


def test_while_it_splits(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment) as fault:
        fault.clients.send(5_000)
        sender.stop()
        again(fault, sender)
    fault.report(
        52, "SIGTERM while it splits", "A sender asked to end as soon as a list of 5,000 is accepted; started again."
    )


def test_in_the_middle_of_a_chunk(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment) as fault:
        deployment.mailbox.latency_s = 0.1
        fault.clients.send(500)
        fault.wait_for_arrivals(70)
        sender.stop()
        assert fault.count_received() < 500, "it was in the middle"
        again(fault, sender)
    fault.report(53, "SIGTERM in mid-chunk", "A sender asked to end in the middle of a list of 500; started again.")


def test_in_the_middle_of_a_delivery(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment) as fault:
        deployment.mailbox.latency_s = 3.0
        for _ in range(20):
            fault.clients.send()
        wait(lambda: deployment.mailbox.concurrent_requests > 0, 60)
        sender.stop()
        assert 0 < fault.count_received() < 20, "it was in the middle"
        deployment.mailbox.latency_s = 0.0
        again(fault, sender)
    fault.report(
        54,
        "SIGTERM in mid-delivery",
        "A sender asked to end while the mail server thinks for 3 s about each mail: it waits for the answers.",
    )


def test_while_mails_wait(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment, within_s=LEFT_ALONE_S) as fault:
        deployment.mailbox.manner = Manner.AWAY
        deployment.mailbox.hang_up()
        fault.clients.send(200)
        wait(lambda: find_state(deployment) == "blocked", 60)
        for _ in range(20):
            fault.clients.send()
        sender.stop()
        deployment.mailbox.manner = Manner.TAKE
        again(fault, sender)
    fault.report(
        55, "SIGTERM while mails wait", "A sender asked to end while the mail server is away and its mails wait for it."
    )


def test_while_nothing_can_be_published(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment) as fault:
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(20)
        deployment.rabbit.control("set_vm_memory_high_watermark", "0.00001")
        try:
            sender.stop()
        finally:
            deployment.rabbit.control("set_vm_memory_high_watermark", "0.6")
        again(fault, sender)
    fault.report(
        56,
        "SIGTERM while the broker takes nothing",
        "A sender asked to end in the middle of a list while an alarm keeps its outcomes from being told.",
    )


def test_twice(deployment: Services) -> None:
    (sender,) = deployment.senders
    with inject_faults(deployment) as fault:
        deployment.mailbox.latency_s = 0.5
        fault.clients.send(200)
        fault.wait_for_arrivals(10)
        sender.process.signal(signal.SIGTERM)
        wait(lambda: not sender.is_ready() if sender.process.runs else True, 60)
        sender.stop()
        again(fault, sender)
    fault.report(57, "SIGTERM while it shuts down", "A sender asked to end a second time while it ends; started again.")


def test_the_other_services(deployment: Services) -> None:
    with inject_faults(deployment, may_break=True) as fault, fault.clients.sending():
        for service in (deployment.gateways[0], deployment.auth, deployment.history):
            fault.clients.wait_for(40)
            service.stop()
            again(fault, service)
        fault.clients.wait_for(40)
    fault.report(
        58,
        "SIGTERM of the gateway, auth and history",
        "One after the other asked to end under load, and started again; there is no second one of either.",
    )
