"""Callbacks is killed, alone and with the others: a receiver gets every event under one id."""

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Self

import httpx
import pytest

from imsg_testing.fault import inject_faults
from imsg_testing.fault_table import Row, write
from imsg_testing.receiver import Receiver, receiving
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(1_200)

MESSAGES = 10_000
IN_A_LIST = 40
"""Every other request is a list of so many."""

CLIENTS = 3
PAUSE_S = 0.2
"""Between a request that was not accepted and its repeat: what is away is not kept from coming back."""

ARRIVED_WITHIN_S = 900.0
CALLED_FIRST = 20
"""So many calls have come when callbacks is killed alone."""

PLACE = 100


@pytest.fixture(scope="module")
def plan() -> Plan:
    """One of each, and callbacks."""
    return Plan(senders=1, has_callbacks=True)


class Sending:
    """Clients that send, each request until it is answered that it was accepted, under one Idempotency-Key."""

    def __init__(self, deployment: Services) -> None:
        self.accepted: dict[str, int] = {}
        """How many messages each request has."""
        self._deployment = deployment
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]

    @property
    def count(self) -> int:
        """How many messages were accepted."""
        return sum(list(self.accepted.values()))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: int) -> None:
        token, number = self._deployment.token(), 0
        with httpx.Client(base_url=self._deployment.gateways[0].url, timeout=10) as http:
            while self.count < MESSAGES and not self._stopping.is_set():
                number += 1
                size = IN_A_LIST if number % 2 else 1
                to = [f"reader{client}-{number}-{n}@example.com" for n in range(size)]
                body = {"to": to, "method": "smtp", "content": {"subject": "x", "text": "y"}, "token": token}
                name = None
                while name is None and not self._stopping.is_set():
                    name = _post(http, body, f"{client}-{number}")
                    if name is None:
                        self._stopping.wait(PAUSE_S)
                if name is not None:
                    self.accepted[name] = size


def _post(http: httpx.Client, body: Mapping[str, object], key: str) -> str | None:
    try:
        answer = http.post("/api/v2/messages", json=body, headers={"Idempotency-Key": key}).json()
    except (httpx.TransportError, ValueError):
        return None
    return str(answer["id"]) if answer["errorCode"] == 0 else None


def test_callbacks_killed(deployment: Services) -> None:
    assert deployment.callbacks is not None
    with receiving() as receiver:
        with inject_faults(deployment) as fault:
            subscribe(deployment, receiver, fault.clients.token)
            with fault.clients.sending():
                fault.clients.wait_for(40)
                wait(lambda: len(receiver.calls) >= CALLED_FIRST, 60, why=lambda: deployment.logs)
                deployment.callbacks.process.kill()
                fault.clients.wait_for(100)
                fault.wait_for_arrivals(50)
                fault.reconciler.record_restored()
                deployment.callbacks.start()
                fault.clients.wait_for(40)
        accepted = {request: len(to) for request, to in fault.clients.accepted.items()}
        wait_for_events(accepted, receiver)
    fault.report(
        16,
        "callbacks killed",
        "kill -9 of callbacks while each of a client's mails is told of; mails are accepted and sent without it; "
        "started again, it tells of all of them.",
    )


def test_every_event_is_delivered_while_all_are_killed_in_turn(deployment: Services) -> None:
    with receiving() as receiver:
        subscribe(deployment, receiver, deployment.token())
        victims = list_victims(deployment)
        with Sending(deployment) as sending:
            for place, (kill, start) in enumerate(victims, start=1):
                due = place * MESSAGES // (len(victims) + 1)
                wait(lambda due=due: sending.count >= due, ARRIVED_WITHIN_S)  # type: ignore[misc]
                kill()
                start()
        deployment.wait_until_ready()
        wait_for_events(sending.accepted, receiver)
        calls = list(receiver.calls)
    bodies: defaultdict[str, set[bytes]] = defaultdict(set)
    for call in calls:
        bodies[call.headers["webhook-id"]].add(call.body)
    assert all(len(each) == 1 for each in bodies.values()), "one id, one event"
    twice = len(calls) - len(bodies)
    assert twice <= MESSAGES // 4, f"{twice} of {len(bodies)} came twice"
    said = [
        f"{sending.count:,} messages of {len(sending.accepted):,} requests accepted",
        f"{len(bodies):,} events told, none lost, each under one id",
        f"{twice:,} of them told twice",
    ]
    done = (
        "kill -9 of auth, history, the sender, callbacks, the gateway, RabbitMQ, Redis and PostgreSQL in turn while "
        "10,000 mails are sent, single ones and lists; each started again. A receiver counts what it is told."
    )
    write(Row(PLACE, "Everything while a client is told of every message", done, measured=said))


def subscribe(deployment: Services, receiver: Receiver, token: str) -> None:
    """Register a callback for the mails of the token's user."""
    body = {"url": receiver.url(), "events": ["message.sent", "request.settled"], "token": token}
    answer = deployment.call("POST", "/api/v2/callbacks", body)
    assert answer["errorCode"] == 0, answer


def list_victims(deployment: Services) -> list[tuple[Callable[[], None], Callable[[], None]]]:
    """List everything that runs, services first: how to kill it, and how to start it again."""
    services = [(service.process.kill, service.start) for service in deployment.services]
    return [*services, *((server.kill, server.start) for server in deployment.servers)]


def wait_for_events(accepted: Mapping[str, int], receiver: Receiver) -> None:
    """Wait until a receiver has the events of all these requests."""

    def missing() -> int:
        return count_missing(accepted, receiver)

    wait(lambda: not missing(), ARRIVED_WITHIN_S, every_s=2, why=lambda: f"{missing()} requests lack events")


def count_missing(accepted: Mapping[str, int], receiver: Receiver) -> int:
    """Return the number of requests without all events: one for each message, and one that all have settled."""
    sent: Counter[str] = Counter()
    settled: set[str] = set()
    seen: set[str] = set()
    for call in list(receiver.calls):
        if (name := call.headers["webhook-id"]) in seen:
            continue
        seen.add(name)
        event = call.event
        if event["type"] == "request.settled":
            settled.add(event["data"]["request"])
        else:
            sent[event["data"]["request"]] += 1
    return sum(name not in settled or sent[name] < size for name, size in accepted.items())
