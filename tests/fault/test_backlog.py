"""A large backlog: RabbitMQ restarted with it, its memory, and the gateway's limit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from imsg_testing import fault_table
from imsg_testing.fault import inject_faults
from imsg_testing.fault_clients import Clients
from imsg_testing.fault_flood import flood, pile_up, rss_mib
from imsg_testing.processes import descendants
from imsg_testing.service import Service
from imsg_testing.services import Plan, Services, deploy
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(2_400)

RESTARTED_WITH = 100_000

PILE = 200_000
THROUGH_THE_GATEWAY = 20_000

MAX_DEPTH = 300

SLACK_MIB = 20
BROKER_MIB = 1_024


@contextmanager
def pausing(deployment: Services) -> Iterator[None]:
    """Pause the channel of mail for as long as the context lasts."""
    pause(deployment, is_paused=True)
    try:
        yield
    finally:
        pause(deployment, is_paused=False)


def pause(deployment: Services, *, is_paused: bool) -> None:
    """Pause or resume the channel of mail, and wait until every sender has noticed."""
    answer = deployment.call("PATCH", "/api/v2/channels/smtp", {"token": deployment.token(), "paused": is_paused})
    assert answer["errorCode"] == 0, answer


def count_waiting(deployment: Services) -> int:
    """Return how many jobs of mail wait."""
    channels = deployment.call("GET", "/api/v2/channels", token=deployment.token())["channels"]
    return int(next(channel["waiting"] for channel in channels if channel["method"] == "smtp"))


def test_more_than_the_gateway_lets_wait(tmp_path: Path) -> None:
    plan = Plan(common={"IMSG_MAX_DEPTH": str(MAX_DEPTH)})
    with (
        deploy(tmp_path, plan) as deployment,
        inject_faults(deployment) as fault,
        fault.clients.sending(threads=8, pause_s=0.0),
    ):
        with pausing(deployment):
            wait(lambda: fault.clients.refused["overloaded"] > 10, 120, why=lambda: str(fault.clients.refused))
            answer = _send(deployment, fault.clients)
            assert (answer.json()["errorCode"], answer.json()["reason"]) == (10012, "overloaded")
            assert int(answer.headers["retry-after"]) > 0
            assert count_waiting(deployment) > MAX_DEPTH
            fault.reconciler.record_restored()
        fault.clients.wait_for(100)
    fault.report(
        70,
        "More than may wait",
        f"With IMSG_MAX_DEPTH={MAX_DEPTH} the channel is paused under load: past it the gateway answers 10012 with "
        "Retry-After, and opens by itself once the channel is resumed.",
    )


def test_rabbitmq_restarted_with_much_waiting(deployment: Services) -> None:
    with inject_faults(deployment, within_s=1_800) as fault:
        with pausing(deployment):
            flood(fault.clients, deployment.urls[0], RESTARTED_WITH)
            # Senders look at the switch twice a second, so that a few mails are sent after it was turned.
            wait(lambda: count_waiting(deployment) + fault.count_received() == RESTARTED_WITH, 60, every_s=0.5)
            before = count_waiting(deployment)
            deployment.rabbit.stop()
            deployment.rabbit.start()
            deployment.wait_until_ready()
            wait(
                lambda: count_waiting(deployment) == before,
                60,
                every_s=0.5,
                why=lambda: f"{count_waiting(deployment)} of {before}",
            )
        fault.reconciler.record_restored()
    fault.report(
        71,
        f"RabbitMQ restarted with {RESTARTED_WITH:,} waiting",
        "The channel paused, so many single mails accepted, RabbitMQ restarted: all of them wait still. Resumed; "
        "*recovered* counts until the last is sent.",
    )


def test_memory_beside_a_pile_of_jobs(deployment: Services) -> None:
    sender, other = deployment.senders
    with inject_faults(deployment) as fault, fault.clients.sending():
        fault.wait_for_arrivals(200)
    processes = {"gateway": deployment.gateways[0], "sender": sender, "other sender": other}
    idle = {name: memory(process) for name, process in processes.items()}
    clients = Clients(deployment)
    with pausing(deployment):
        arrived = len(deployment.mailbox.taken)
        flood(clients, deployment.urls[0], THROUGH_THE_GATEWAY)
        pile_up(deployment.rabbit.url, PILE - THROUGH_THE_GATEWAY)
        # Senders look at the switch twice a second, so that a few mails are sent after it was turned.
        piled = PILE - (len(deployment.mailbox.taken) - arrived)
        wait(
            lambda: count_waiting(deployment) == piled,
            120,
            every_s=0.5,
            why=lambda: f"{count_waiting(deployment)} of {piled}",
        )
        beside = {name: memory(process) for name, process in processes.items()}
        broker = rss_mib(deployment.rabbit.process.pid)
    deployment.mailbox.latency_s = 0.2  # it shall have work for as long as it is looked at
    sender.process.kill()
    other.process.kill()
    sender.start()
    arrived = len(deployment.mailbox.taken)
    wait(lambda: len(deployment.mailbox.taken) > arrived + 500, 120, every_s=0.1)
    restarted = memory(sender)
    clients.close()
    assert count_waiting(deployment) > PILE - 20_000
    for name, now in beside.items():
        assert now < idle[name] + SLACK_MIB, name
    assert restarted < idle["sender"] + SLACK_MIB
    assert broker < BROKER_MIB
    fault_table.write(
        fault_table.Row(
            80,
            f"{PILE:,} jobs waiting",
            f"Resident memory with the channel paused, {THROUGH_THE_GATEWAY:,} of them accepted by the gateway; and of "
            "a sender that is started anew with all of them waiting, after its first 500 mails.",
            measured=(
                f"gateway {idle['gateway']:.0f} → {beside['gateway']:.0f} MiB",
                f"sender {idle['sender']:.0f} → {beside['sender']:.0f} MiB, started anew {restarted:.0f} MiB",
                f"RabbitMQ {broker:.0f} MiB",
            ),
        )
    )


def memory(service: Service) -> float:
    """Return a service's resident memory in MiB, with that of the parent that watches it."""
    return sum(rss_mib(pid) for pid in (service.process.pid, *descendants(service.process.pid)))


def _send(deployment: Services, clients: Clients) -> httpx.Response:
    content = {"subject": "故障", "text": "您好"}
    body = {"token": clients.token, "method": "smtp", "to": "refused@example.com", "content": content}
    return httpx.post(f"{deployment.urls[0]}/api/v2/messages", json=body, timeout=30)
