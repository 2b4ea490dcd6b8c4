"""RabbitMQ, pulled in every way."""

from urllib.parse import urlsplit

import httpx
import pytest

from imsg_testing.api import wait
from imsg_testing.fault import tormented
from imsg_testing.fault_world import Plan, World

pytestmark = pytest.mark.timeout(600)

LOST_AFTER_S = 20


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Let history look for lost jobs soon: 15 minutes are long for a test."""
    return Plan(common={"IMSG_SWEEP__EVERY_S": "5", "IMSG_SWEEP__LOST_AFTER_S": str(LOST_AFTER_S)})


def test_rabbitmq_killed(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(500)
        torment.wait_for_arrivals(100)
        whole.rabbit.kill()
        torment.clients.wait_for_refusals(5)
        torment.books.restored()
        whole.rabbit.start()
        torment.clients.wait_for(40)
    torment.tell(
        20,
        "RabbitMQ killed",
        "kill -9 of RabbitMQ during a list of 500 beside single mails; started again on the same data.",
    )


def test_rabbitmq_restarted(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(500)
        torment.wait_for_arrivals(100)
        whole.rabbit.stop()
        torment.clients.wait_for_refusals(5)
        torment.books.restored()
        whole.rabbit.start()
        torment.clients.wait_for(40)
    torment.tell(
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
    whole: World, place: int, title: str, alarm: tuple[str, str], calm: tuple[str, str]
) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        whole.mailbox.latency_s = 0.02
        torment.clients.send(200)
        torment.wait_for_arrivals(20)
        whole.rabbit.control(*alarm)
        try:
            wait(lambda: torment.clients.refused["overloaded"] > 4, 120, why=lambda: str(torment.clients.refused))
        finally:
            torment.books.restored()
            whole.rabbit.control(*calm)
        torment.clients.wait_for(40)
    torment.tell(place, title, f"`rabbitmqctl {' '.join(alarm)}` under load, so that nothing can be published; undone.")


def test_a_queue_unbound_under_load(whole: World) -> None:
    with tormented(whole) as torment, torment.clients.sending():
        torment.clients.wait_for(20)
        _unbind(whole, "imsg.smtp.single", "job.smtp.single")
        torment.books.restored()
        wait(lambda: _is_bound(whole, "imsg.smtp.single"), 60, every_s=0.2)
        torment.clients.wait_for(20)
    torment.tell(
        24,
        "A queue unbound under load",
        "The binding of `imsg.smtp.single` deleted: what is accepted meanwhile reaches history alone, which sends it "
        f"on (here after {LOST_AFTER_S} s instead of 15 min); the services bind it again by themselves.",
    )


def _management(whole: World, method: str, path: str) -> httpx.Response:
    parts = urlsplit(whole.rabbit.url)
    url = f"http://{parts.hostname}:{whole.rabbit.management_port}/api/{path}"
    answer = httpx.request(method, url, auth=("guest", "guest"), timeout=30)
    answer.raise_for_status()
    return answer


def _unbind(whole: World, queue: str, key: str) -> None:
    _management(whole, "DELETE", f"bindings/%2F/e/imsg/q/{queue}/{key}")


def _is_bound(whole: World, queue: str) -> bool:
    return len(_management(whole, "GET", f"bindings/%2F/e/imsg/q/{queue}").json()) > 0
