"""Every process killed once under load."""

from collections.abc import Callable

import pytest

from imsg_testing.fault import IN_FLIGHT, Fault, inject_faults
from imsg_testing.services import Services

pytestmark = [pytest.mark.quick, pytest.mark.long, pytest.mark.timeout(600)]


def test_every_process_killed_once(deployment: Services) -> None:
    with inject_faults(deployment, may_break=True) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(1_000)
        fault.wait_for_arrivals(100)
        sender, _ = deployment.senders
        inject(fault, sender.process.kill, sender.start)  # first, since the claims of the dead take longest to run out
        inject(fault, deployment.rabbit.kill, deployment.rabbit.start, is_missed=True)
        inject(fault, deployment.valkey.kill, deployment.valkey.start, is_missed=True)
        inject(fault, deployment.postgres.kill, deployment.postgres.start)
        inject(fault, deployment.history.process.kill, deployment.history.start)
        inject(fault, deployment.auth.process.kill, deployment.auth.start)
        inject(fault, deployment.gateways[0].process.kill, deployment.gateways[0].start)
    fault.report(
        1,
        "Every process, one after the other",
        "kill -9 of a sender, RabbitMQ, Redis, PostgreSQL, history, auth and the gateway in turn, during a list of "
        "1,000 beside single mails; each started again while the load goes on. *recovered* counts from the last one.",
        twice_at_most=IN_FLIGHT,
        why="what the dead sender had under way",
    )


def inject(fault: Fault, begin: Callable[[], None], end: Callable[[], None], *, is_missed: bool = False) -> None:
    """Inject one fault, check that it is reported or harmless, end it, and check that the load continues."""
    begin()
    if is_missed:
        fault.clients.wait_for_refusals(3)
    fault.reconciler.record_restored()
    end()
    fault.clients.wait_for(20)
