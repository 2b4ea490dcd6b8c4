"""The version before and this one side by side under load: every service rolled up, and back."""

import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from imsg_testing import baseline
from imsg_testing.fault import inject_faults
from imsg_testing.fault_clients import Clients
from imsg_testing.fault_flood import flood
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.service import Service
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(2_400)

SCHEDULED = 10_000
FIRST_DUE_S, SPREAD_S = 60, 180
"""When the scheduled requests are due: spread over the roll up and the roll back."""

THREADS, SIZE, PAUSE_S = 4, 5, 0.1
"""At most 200 messages a second."""

SETTLED_WITHIN_S = 900.0

THIS = Path(sys.executable)


@pytest.fixture(scope="module")
def before() -> Path:
    """Return the Python of the version before."""
    return baseline.install(baseline.read_commit())


@pytest.fixture(scope="module")
def plan(before: Path) -> Plan:
    """Return all services in the version before, in two replicas where a queue or an edge has several."""
    return Plan(
        python=before, gateways=2, senders=2, histories=2, schedulers=2, has_callbacks=True, has_catalog=True,
        has_accounts=True,
    )  # fmt: skip


def test_every_service_is_rolled_up_and_back_under_load(deployment: Services, before: Path) -> None:
    with receiving() as receiver, inject_faults(deployment, may_break=True, within_s=SETTLED_WITHIN_S) as fault:
        client = fault.clients
        subscribe(deployment, receiver, client.token)
        flood(client, deployment.urls[0], SCHEDULED, make_due_times())
        pages = Pages(deployment, client.token)
        key, (to,) = secrets.token_hex(8), client.draw(1)
        first = send_once(deployment, client, key, to)
        client.accepted[first] = [to]
        with client.sending(threads=THREADS, size=SIZE, pause_s=PAUSE_S):
            for python in (THIS, before):
                services = list_callees_first(deployment)
                for service in services if python == THIS else reversed(services):
                    roll(service, python)
                    client.wait_for(more=20)
                deployment.wait_until_ready()
                assert {running(service) for service in services} == {str(python)}
                pages.go_on()
                assert send_once(deployment, client, key, to) == first, "both know an Idempotency-Key"
                fault.wait_for_arrivals(100)
        fault.reconciler.record_restored()
    wait(
        lambda: set(client.accepted) <= list_reported(receiver),
        SETTLED_WITHIN_S,
        every_s=2,
        why=lambda: f"{len(set(client.accepted) - list_reported(receiver))} of {len(client.accepted)} were not told of",
    )
    assert fault.reconciliation is not None
    assert list_unsent(deployment, client.token) == []
    fault.report(
        95,
        "An upgrade, and its undoing",
        "Every service rolled from the version before to this one and back, replica by replica, beside at most 200 "
        "messages a second and with 10,000 scheduled ones that become due meanwhile.",
    )


def make_due_times() -> Callable[[], dict[str, str]]:
    """Return a function that spreads the scheduled requests over the roll."""
    began, numbers = datetime.now(UTC) + timedelta(seconds=FIRST_DUE_S), count()

    def choose() -> dict[str, str]:
        due = began + timedelta(seconds=SPREAD_S * next(numbers) / SCHEDULED)
        return {"send_at": due.isoformat()}

    return choose


def list_callees_first(deployment: Services) -> list[Service]:
    """Return the services in the order of docs/operations.md: what is called before its callers."""
    gateways = set(deployment.gateways)
    return [*(service for service in deployment.services if service not in gateways), *deployment.gateways]


def roll(service: Service, python: Path) -> None:
    """Replace a replica by one of another version."""
    service.stop()
    service.run_with(python)
    service.start()


def running(service: Service) -> str:
    """Return the Python with which a service runs."""
    return Path(f"/proc/{service.process.pid}/cmdline").read_bytes().split(b"\0")[0].decode()


def subscribe(deployment: Services, receiver: Receiver, token: str) -> None:
    """Register a receiver for the event of each settled request."""
    body = {"url": receiver.url(), "events": ["request.settled"], "token": token}
    answer = deployment.call("POST", "/api/v2/callbacks", body)
    assert answer["errorCode"] == 0, answer


def list_reported(receiver: Receiver) -> set[str]:
    """Return the requests whose events the receiver has."""
    return {call.event["data"]["request"] for call in list(receiver.calls)}


def send_once(deployment: Services, client: Clients, key: str, to: str) -> str:
    """Send under an Idempotency-Key; return the request."""
    body = {"token": client.token, "method": "smtp", "to": to, "content": {"subject": "once", "text": "您好"}}
    answer = deployment.client.post("/api/v2/messages", json=body, headers={"Idempotency-Key": key}).json()
    assert answer["errorCode"] == 0, answer
    return str(answer["id"])


def list_unsent(deployment: Services, token: str) -> list[dict[str, object]]:
    """Return messages that ended otherwise than sent."""
    unsent = deployment.call("GET", "/api/v2/messages", token=token, status="failed,expired,uncertain,cancelled")
    return [
        {"id": message["id"], "status": message["status"], "error": message["error"]} for message in unsent["messages"]
    ]


class Pages:
    """A walk over the list of requests, whose cursors one version makes and the other one reads."""

    def __init__(self, deployment: Services, token: str) -> None:
        self._deployment = deployment
        self._token = token
        wait(lambda: self._count() == SCHEDULED, 120, every_s=1, why=lambda: deployment.logs)
        _, self._cursor = self._read("")
        self._ids, self._next = self._read(self._cursor)

    def go_on(self) -> None:
        """Read the last page once more, by the cursor of the other version, and then the next page."""
        assert self._read(self._cursor)[0] == self._ids
        self._cursor = self._next
        self._ids, self._next = self._read(self._cursor)
        assert self._ids

    def _count(self) -> int:
        ids, cursor = self._read("")
        found = len(ids)
        while cursor:
            ids, cursor = self._read(cursor)
            found += len(ids)
        return found

    def _read(self, cursor: str) -> tuple[list[str], str]:
        at = {"cursor": cursor} if cursor else {}
        answer = self._deployment.call("GET", "/api/v2/requests", token=self._token, limit="500", **at)
        assert answer["errorCode"] == 0, answer
        return [request["id"] for request in answer["requests"]], answer["next"] or ""
