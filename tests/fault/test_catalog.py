"""The catalog is killed under load, and Redis loses the mirror of its list."""

from typing import Any

import pytest
import redis

from imsg_testing.fault import Fault, inject_faults
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(600)

LIST = 500


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Add the catalog."""
    return Plan(has_catalog=True)


def test_the_catalog_killed(deployment: Services) -> None:
    assert deployment.catalog is not None
    with inject_faults(deployment) as notices, inject_faults(deployment) as marketing:
        marketing.clients.category = "marketing"
        first, second = marketing.clients.draw(2)
        suppress(deployment, first, second)
        with notices.clients.sending(threads=2), marketing.clients.sending(threads=2):
            deployment.mailbox.latency_s = 0.02
            marketing.clients.send_to([first, *marketing.clients.draw(LIST - 1)])
            marketing.wait_for_arrivals(40)
            deployment.catalog.process.kill()
            marketing.wait_for_arrivals(100)
            with redis.Redis.from_url(deployment.valkey.url, socket_timeout=30) as client:
                client.flushall()
            wait(lambda: bool(find_held(deployment, marketing)), 60)
            marketing.clients.send_to([second])
            notices.wait_for_arrivals(60)
            for fallback in (notices, marketing):
                fallback.reconciler.record_restored()
            deployment.catalog.start()
            marketing.wait_for_arrivals(40)
    for fault in (marketing, notices):
        assert fault.reconciliation is not None
        assert fault.reconciliation.duplicates == 0
    assert {failure["to"]: failure["error"]["code"] for failure in find_failed(deployment, marketing)} == {
        first: "suppressed",
        second: "suppressed",
    }
    assert notices.reconciliation is not None
    assert notices.reconciliation.failed == 0
    marketing.report(
        15,
        "The catalog killed",
        f"kill -9 of the catalog during a list of {LIST} and single mails of marketing, beside notices: all go on by "
        "the mirror in Redis. FLUSHALL: marketing waits, notices go on. The catalog started again: it writes the "
        "mirror anew, and marketing goes, but for two who had unsubscribed, one of them accepted meanwhile.",
    )


def suppress(deployment: Services, *addresses: str) -> None:
    """Suppress addresses."""
    body = {"token": deployment.token(), "method": "smtp", "to": list(addresses), "reason": "unsubscribe"}
    answer = deployment.call("POST", "/api/v2/suppressions", body)
    assert answer.get("added") == len(addresses), answer


def find_held(deployment: Services, fault: Fault) -> list[dict[str, Any]]:
    """Find what waits since it is not known who is suppressed."""
    waiting = find(deployment, fault, "retrying")
    return [
        failure
        for failure in waiting
        if failure["error"] is not None and failure["error"]["code"] == "suppressions_unknown"
    ]


def find_failed(deployment: Services, fault: Fault) -> list[dict[str, Any]]:
    """Find what was never sent."""
    return find(deployment, fault, "failed")


def find(deployment: Services, fault: Fault, status: str) -> list[dict[str, Any]]:
    """Find the clients' messages of a status."""
    answer = deployment.call("GET", "/api/v2/messages", token=fault.clients.token, status=status, limit="500")
    assert answer["errorCode"] == 0, answer
    found: list[dict[str, Any]] = answer["messages"]
    return found
