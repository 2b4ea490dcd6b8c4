"""RabbitMQ, killed, frozen and blocked."""

from urllib.parse import urlsplit

import httpx
import pytest

from imsg_testing.fault import inject_faults
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(600)

LOST_AFTER_S = 20


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Return a plan in which history searches for lost jobs soon: 15 minutes are long for a test."""
    return Plan(common={"IMSG_SWEEP__EVERY_S": "5", "IMSG_SWEEP__LOST_AFTER_S": str(LOST_AFTER_S)})


def test_rabbitmq_killed(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(100)
        deployment.rabbit.kill()
        fault.clients.wait_for_refusals(5)
        fault.reconciler.record_restored()
        deployment.rabbit.start()
        fault.clients.wait_for(40)
    fault.report(
        20,
        "RabbitMQ killed",
        "kill -9 of RabbitMQ during a list of 500 beside single mails; started again on the same data.",
    )


def test_rabbitmq_restarted(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(500)
        fault.wait_for_arrivals(100)
        deployment.rabbit.stop()
        fault.clients.wait_for_refusals(5)
        fault.reconciler.record_restored()
        deployment.rabbit.start()
        fault.clients.wait_for(40)
    fault.report(
        21, "RabbitMQ restarted", "Shut down in good order during a list of 500 beside single mails; started again."
    )


@pytest.mark.parametrize(
    ("place", "title", "alarm", "calm"),
    [
        (22, "A memory alarm", ("set_vm_memory_high_watermark", "0.00001"), ("set_vm_memory_high_watermark", "0.6")),
        (23, "A disk alarm", ("set_disk_free_limit", "9000GB"), ("set_disk_free_limit", "50MB")),
    ],
)
def test_rabbitmq_blocked_by_an_alarm(
    deployment: Services, place: int, title: str, alarm: tuple[str, str], calm: tuple[str, str]
) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        deployment.mailbox.latency_s = 0.02
        fault.clients.send(200)
        fault.wait_for_arrivals(20)
        deployment.rabbit.control(*alarm)
        try:
            wait(lambda: fault.clients.refused["broker_blocked"] > 4, 120, why=lambda: str(fault.clients.refused))
        finally:
            fault.reconciler.record_restored()
            deployment.rabbit.control(*calm)
        fault.clients.wait_for(40)
    fault.report(place, title, f"`rabbitmqctl {' '.join(alarm)}` under load, so that nothing can be published; undone.")


def test_a_queue_unbound_under_load(deployment: Services) -> None:
    with inject_faults(deployment) as fault, fault.clients.sending():
        fault.clients.wait_for(20)
        _unbind(deployment, "imsg.smtp.normal", "job.smtp.normal")
        fault.reconciler.record_restored()
        wait(lambda: _is_bound(deployment, "imsg.smtp.normal"), 60, every_s=0.2)
        fault.clients.wait_for(20)
    fault.report(
        24,
        "A queue unbound under load",
        "The binding of `imsg.smtp.normal` deleted: what is accepted meanwhile reaches history alone, which sends it "
        f"on (here after {LOST_AFTER_S} s instead of 15 min); the services bind it again by themselves.",
    )


def _management(deployment: Services, method: str, path: str) -> httpx.Response:
    parts = urlsplit(deployment.rabbit.url)
    url = f"http://{parts.hostname}:{deployment.rabbit.management_port}/api/{path}"
    answer = httpx.request(method, url, auth=("guest", "guest"), timeout=30)
    answer.raise_for_status()
    return answer


def _unbind(deployment: Services, queue: str, key: str) -> None:
    _management(deployment, "DELETE", f"bindings/%2F/e/imsg/q/{queue}/{key}")


def _is_bound(deployment: Services, queue: str) -> bool:
    return len(_management(deployment, "GET", f"bindings/%2F/e/imsg/q/{queue}").json()) > 0
