"""A fault test: clients send, something breaks and recovers by itself, and every message is reconciled."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from imsg_testing import fault_table
from imsg_testing.fault_clients import Addresses, Clients, FaultTarget, mail_address
from imsg_testing.mailbox import Manner
from imsg_testing.reconciliation import SETTLED_WITHIN_S, Reconciler, Reconciliation
from imsg_testing.waiting import wait

IN_FLIGHT = 8
"""Concurrent mails of one sender, one for each of its connections."""


@dataclass(slots=True)
class Fault:
    """One fault test under way, and its reconciliation once it is over."""

    deployment: FaultTarget
    clients: Clients
    reconciler: Reconciler
    reconciliation: Reconciliation | None = field(default=None)

    def count_received(self) -> int:
        """Count what has arrived for these clients' recipients."""
        return self.reconciler.received().total()

    def wait_for_arrivals(self, more: int, within_s: float = 120.0) -> None:
        """Wait until so much more has arrived."""
        goal = self.count_received() + more
        wait(
            lambda: self.count_received() >= goal,
            within_s,
            every_s=0.05,
            why=lambda: f"{self.count_received()} of {goal}",
        )

    def report(self, place: int, title: str, done: str, *, twice_at_most: int = 0, why: str = "") -> None:
        """Check the number of duplicates, and write the row."""
        assert self.reconciliation is not None, "it is not over"
        assert self.reconciliation.duplicates <= twice_at_most, (
            f"{self.reconciliation.duplicates} duplicates, {twice_at_most} explained"
        )
        explained = f"Twice at most {twice_at_most}: {why}." if twice_at_most else ""
        fault_table.write(fault_table.Row(place, title, done, explained, self.reconciliation))


@contextmanager
def inject_faults(
    deployment: FaultTarget,
    *,
    method: str = "smtp",
    address: Addresses = mail_address,
    received: Callable[[], Counter[str]] | None = None,
    may_break: bool = False,
    within_s: float = SETTLED_WITHIN_S,
) -> Iterator[Fault]:
    """Send from clients while a test injects faults, and reconcile at the end.

    `received` counts what the provider got where it is not the mailbox; `may_break` where a gateway is killed, so that
    answers may fail to come.
    """
    clients = Clients(deployment, method, address)
    suffix = f"@{clients.name}.example.com"
    fault = Fault(
        deployment, clients, Reconciler(deployment, clients, received or (lambda: deployment.mailbox.counts(suffix)))
    )
    try:
        yield fault
        deployment.wait_until_ready()
        fault.reconciliation = fault.reconciler.reconcile(within_s)
        assert may_break or clients.broken == 0, f"answers that never came: {clients.breaks}"
        ids = deployment.mailbox.message_ids(suffix)
        assert all(len(request_ids) == 1 for request_ids in ids.values()), "a repeat has the Message-ID of the first"
    finally:
        deployment.mailbox.manner, deployment.mailbox.latency_s = Manner.TAKE, 0.0
        clients.close()
