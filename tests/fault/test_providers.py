"""Mail servers that hang, disconnect and return; a message that kills its worker; wrong clocks."""

from pathlib import Path

import pytest

from imsg_contract.topology import Lane
from imsg_testing.fault import IN_FLIGHT, inject_faults
from imsg_testing.fault_providers import Workers
from imsg_testing.mailbox import Manner
from imsg_testing.services import Plan, Services, deploy
from imsg_testing.waiting import wait
from imsg_testing.worker_harness import TERMS

pytestmark = pytest.mark.timeout(900)

LEFT_ALONE_S = 420.0
"""A server that failed three times in a row is tried every 5 s, then all go; what failed before waits up to 5 min."""

SINGLES = 50


def test_a_mail_server_that_hangs(deployment: Services) -> None:
    with inject_faults(deployment, within_s=LEFT_ALONE_S) as fault, fault.clients.sending():
        deployment.mailbox.manner = Manner.HANG
        fault.clients.send(100)
        wait(lambda: deployment.mailbox.concurrent_requests >= IN_FLIGHT, 60)
        fault.clients.wait_for(40)
        fault.reconciler.record_restored()
        deployment.mailbox.manner = Manner.TAKE
        deployment.mailbox.hang_up()
    fault.report(
        41,
        "A mail server that hangs",
        "It reads mails and answers none of them, then is restarted: its connections break, and it takes mail again.",
    )


def test_a_mail_server_that_resets_before_it_has_a_mail(deployment: Services) -> None:
    with inject_faults(deployment, within_s=LEFT_ALONE_S) as fault, fault.clients.sending():
        deployment.mailbox.manner = Manner.RESET_BEFORE
        fault.clients.send(100)
        fault.clients.wait_for(100)
        fault.reconciler.record_restored()
        deployment.mailbox.manner = Manner.TAKE
    fault.report(
        42, "A mail server that resets before accepting", "It cuts every connection when a mail is announced; recovers."
    )


def test_a_mail_server_that_resets_after_it_has_a_mail(deployment: Services) -> None:
    with inject_faults(deployment, within_s=LEFT_ALONE_S) as fault, fault.clients.sending():
        deployment.mailbox.manner = Manner.RESET_AFTER
        fault.clients.send(100)
        fault.wait_for_arrivals(4)
        fault.clients.wait_for(40)
        fault.reconciler.record_restored()
        deployment.mailbox.manner = Manner.TAKE
        unanswered = fault.count_received()
    fault.report(
        43,
        "A mail server that resets after accepting",
        "It takes each mail and cuts the connection instead of saying so; recovers.",
        twice_at_most=unanswered,
        why="the mails it took without a word, repeated under the same Message-ID as RFC 5321 asks",
    )


def test_a_mail_server_that_is_away(deployment: Services) -> None:
    with inject_faults(deployment, within_s=LEFT_ALONE_S) as fault, fault.clients.sending():
        deployment.mailbox.manner = Manner.AWAY
        deployment.mailbox.hang_up()
        fault.clients.send(100)
        fault.clients.wait_for(100)
        fault.reconciler.record_restored()
        deployment.mailbox.manner = Manner.TAKE
    fault.report(44, "A mail server under maintenance", "It greets with 421 and hangs up; recovers.")


def test_a_poison_message_among_50(deployment: Services, tmp_path: Path) -> None:
    for sender in deployment.senders:
        sender.process.end()
    workers = Workers(deployment, tmp_path)
    with inject_faults(deployment, received=lambda: workers.counts(fault.clients.accepted)) as fault:
        for _ in range(SINGLES // 2):
            fault.clients.send()
        fault.clients.subject = "die"
        poison = fault.clients.send()
        fault.clients.subject = "故障"
        for _ in range(SINGLES // 2):
            fault.clients.send()
        fault.reconciler.record_restored()
        with workers.running():
            for request in list(fault.clients.accepted):
                deployment.wait_settled(request, within_s=180)
        for sender in deployment.senders:
            sender.start()
    (dead,) = [
        letter
        for letter in deployment.call("GET", "/api/v2/dead", token=deployment.token())["dead"]
        if letter["request"] == poison
    ]
    assert dead["method"] == "smtp"
    assert workers.deaths == 3
    assert fault.reconciliation is not None
    assert fault.reconciliation.failed == 1
    fault.report(
        45,
        f"A poison message among {SINGLES}",
        "It kills its sender (SIGKILL) each time it is touched, and the sender is started again: after three deaths it "
        "is a dead letter, listed by `imsg dead-letters` and failed in `/api/query`.",
        twice_at_most=TERMS.concurrency[Lane.NORMAL],
        why="what was under way beside it at the first death",
    )


FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def test_clocks_an_hour_off(tmp_path: Path) -> None:
    assert FAKETIME is not None, "libfaketime is not installed: apt-get install libfaketime"

    def by(offset: str) -> dict[str, str]:
        return {"LD_PRELOAD": str(FAKETIME), "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    with (
        deploy(tmp_path, Plan(of_senders=[by("+1h"), by("-1h")])) as deployment,
        inject_faults(deployment) as fault,
        fault.clients.sending(),
    ):
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(100)
        deployment.senders[0].process.kill()
        fault.reconciler.record_restored()
        deployment.senders[0].start()
        fault.clients.wait_for(40)
    fault.report(
        46,
        "Senders' clocks an hour off",
        "One of two senders an hour ahead, the other an hour behind; the first killed (kill -9) in mid-bulk, so that "
        "leases count, and started again.",
        twice_at_most=IN_FLIGHT,
        why="what the dead one had under way",
    )
