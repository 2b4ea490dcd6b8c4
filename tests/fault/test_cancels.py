"""Sent or cancelled, never both: cancels race with schedulers, senders, retries, kills and a Redis that forgets."""

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Self

import httpx
import pytest

from imsg_runtime.redis import connect
from imsg_testing.api import Api
from imsg_testing.mailbox import Manner
from imsg_testing.services import Plan, Services
from imsg_testing.waiting import wait

pytestmark = pytest.mark.timeout(1_800)

FAILED_ONCE = (1452677835, 1060513513)
"""Seeds that failed once."""

SINGLES, LISTS, LIST_SIZE = 200, 2, 120
FAULTS = 5
CANCELS = 60
ANSWERED_WITHIN_S = 120
SETTLED_WITHIN_S = 600.0

DUE_LISTS, DUE_SINGLES, DUE_LIST_SIZE = 198, 200, 100
"""What is due at one moment: 20,000 messages."""

DUE_IN_S = 30.0
PAGE = 500


@pytest.fixture(scope="module")
def plan() -> Plan:
    """Two of what may race with itself, and events."""
    return Plan(schedulers=2, senders=2, has_callbacks=True)


@dataclass(slots=True)
class Race:
    """What one run accepts, cancels and breaks; all choices follow from the seed."""

    deployment: Services
    seed: int
    random: Random
    token: str
    requests: dict[str, int] = field(default_factory=dict)
    """Request → how many messages it has."""
    cancelled: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    """What was cancelled (a path) → the first answer."""

    @classmethod
    def begin(cls, deployment: Services, seed: int) -> Self:
        """Make the run of a seed."""
        print(f"seed {seed}")  # noqa: T201  to be kept where it fails
        deployment.mailbox.manner = Manner.TAKE
        return cls(deployment, seed, Random(seed), deployment.token())  # noqa: S311  a race

    @property
    def domain(self) -> str:
        """The domain of its recipients."""
        return f"race{self.seed}.example.com"

    @property
    def taken_back(self) -> str:
        """The reference of what is cancelled together."""
        return f"taken back {self.seed}"

    @property
    def kept(self) -> str:
        """The reference of the rest."""
        return f"kept {self.seed}"

    def accept(self, api: Api, size: int, reference: str, due_in_s: float | None) -> None:
        """Send a request: at once, or in a moment."""
        to = [f"{secrets.token_hex(6)}@{self.domain}" for _ in range(size)]
        body: dict[str, Any] = {"token": self.token, "method": "smtp", "to": to, "reference": reference}
        body["content"] = {"subject": "a race", "text": "您好"}
        if due_in_s is not None:
            body["send_at"] = (datetime.now(UTC) + timedelta(seconds=due_in_s)).isoformat()
        answer = api.call("POST", "/api/v2/messages", body)
        assert answer["errorCode"] == 0, answer
        self.requests[answer["id"]] = size

    def choose_reference(self) -> str:
        """Choose what a request is cancelled with."""
        return self.random.choice((self.kept, self.kept, self.taken_back))

    def choose_time(self) -> float | None:
        """Choose when a request is due."""
        return self.random.uniform(0, 6) if self.random.random() < 0.5 else None

    def cancel(self, path: str, body: dict[str, str]) -> None:
        """Cancel until it is answered: whatever breaks meanwhile, the answer comes, and stays the same."""
        until = time.monotonic() + ANSWERED_WITHIN_S
        with httpx.Client(base_url=self.deployment.urls[0], timeout=60) as client:
            while True:
                answer: dict[str, Any] = {}
                with suppress(httpx.TransportError):
                    answer = client.post(f"/api/v2/{path}", json={"token": self.token, **body}).json()
                if answer.get("errorCode") == 0:
                    break
                assert answer.get("errorCode") in {None, 10012}, (path, answer)
                if time.monotonic() > until:
                    for scheduler in self.deployment.schedulers:
                        print(scheduler.log.read_text()[-6000:])  # noqa: T201  why it is not answered
                    raise AssertionError(path)
                time.sleep(0.2)
        self.cancelled[path] = (answer["cancelled"], answer["too_late"], answer["settled"])

    def choose_cancel(self) -> str:
        """Choose a request or a message that is cancelled."""
        request = self.random.choice(list(self.requests))
        if self.random.random() < 0.5:
            return f"requests/{request}/cancel"
        return f"messages/{request}-{self.random.randrange(self.requests[request])}/cancel"

    def break_something(self) -> None:
        """Kill a service or a store and start it again, or flush Redis."""
        deployment = self.deployment
        services = (*deployment.senders, *deployment.schedulers, deployment.history)
        restarts: list[tuple[Callable[[], None], Callable[[], None]]] = [
            *((service.process.kill, service.start) for service in services),
            (deployment.valkey.kill, deployment.valkey.start),
            (deployment.postgres.kill, deployment.postgres.start),
            (deployment.rabbit.kill, deployment.rabbit.start),
            (lambda: asyncio.run(forget(deployment.valkey.url)), lambda: None),
        ]
        kill, start = self.random.choice(restarts)
        kill()
        time.sleep(self.random.uniform(0, 1))
        start()


async def forget(url: str) -> None:
    """Empty Redis, but for who may send: what is lost then is the claims."""
    async with connect(url) as redis:
        cursor: bytes | int = 0
        while True:
            cursor, keys = await redis.call("SCAN", cursor, "COUNT", 1_000)
            gone = [key for key in keys if key.startswith((b"imsg:ledger:", b"imsg:cancels"))]
            if gone:
                await redis.call("UNLINK", *gone)
            if int(cursor) == 0:
                return


@pytest.mark.parametrize("seed", [*FAILED_ONCE, None])
def test_a_message_is_sent_or_cancelled_and_never_both(deployment: Services, seed: int | None) -> None:
    seed = secrets.randbits(32) if seed is None else seed
    race = Race.begin(deployment, seed)
    deployment.mailbox.latency_s = 0.02
    deployment.mailbox.manner = race.random.choice([Manner.TAKE, Manner.RESET_BEFORE])
    sizes = [1] * SINGLES + [LIST_SIZE] * LISTS
    race.random.shuffle(sizes)
    for size in sizes:
        race.accept(deployment, size, race.choose_reference(), race.choose_time())
    deployment.mailbox.manner = Manner.TAKE
    cancels = {race.choose_cancel() for _ in range(CANCELS)}
    with ThreadPoolExecutor(8) as pool:
        tasks: list[Future[None]] = [pool.submit(race.cancel, path, {}) for path in sorted(cancels)]
        tasks.append(pool.submit(race.cancel, "requests/cancel", {"reference": race.taken_back}))
        for _ in range(FAULTS):
            time.sleep(race.random.uniform(0, 1))
            race.break_something()
        for task in tasks:
            task.result()
    deployment.wait_until_ready()
    require_sent_or_cancelled(race, wait_for_statuses(race))
    for path, totals in list(race.cancelled.items()):
        race.cancel(path, {"reference": race.taken_back} if path == "requests/cancel" else {})
        assert race.cancelled[path] == totals, path


def test_of_20000_that_are_due_while_all_are_killed_each_is_sent_or_cancelled(deployment: Services) -> None:
    race = Race.begin(deployment, secrets.randbits(32))
    deployment.mailbox.latency_s = 0.0
    cursor = deployment.call("GET", "/api/v2/events", token=race.token)["next"]  # events are kept from here on
    due = time.monotonic() + DUE_IN_S
    for number in range(DUE_LISTS + DUE_SINGLES):
        size = DUE_LIST_SIZE if number < DUE_LISTS else 1
        race.accept(deployment, size, race.taken_back if number % 2 else race.kept, max(0.0, due - time.monotonic()))
    count = sum(race.requests.values())
    assert count == 20_000
    time.sleep(max(0.0, due - time.monotonic()))
    victims = [*deployment.schedulers, *deployment.senders]
    restarts = [(victim.process.kill, victim.start) for victim in victims]
    restarts += [(server.kill, server.start) for server in (deployment.valkey, deployment.postgres)]
    race.random.shuffle(restarts)
    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(race.cancel, "requests/cancel", {"reference": race.taken_back})
        for kill, start in restarts:
            time.sleep(race.random.uniform(0, 2))
            kill()
            start()
        cancelling.result()
    deployment.wait_until_ready()
    statuses = wait_for_statuses(race)
    counted = require_sent_or_cancelled(race, statuses)
    totals = race.cancelled["requests/cancel"]
    assert sum(totals) == count // 2
    assert totals[0] <= counted["cancelled"] <= totals[0] + totals[1]

    told: dict[str, set[str]] = {}

    def are_told() -> bool:
        nonlocal cursor
        while (page := deployment.look_up("/api/v2/events", token=race.token, after=cursor, limit=str(PAGE)))["events"]:
            cursor = page["next"]
            for event in page["events"]:
                if event["type"] in {"message.sent", "message.cancelled"} and event["data"]["request"] in race.requests:
                    told.setdefault(event["data"]["to"], set()).add(event["type"].removeprefix("message."))
        return len(told) == count

    wait(are_told, SETTLED_WITHIN_S, every_s=2.0, why=lambda: f"{len(told)} are told of")
    assert told == {to: {status} for to, status in statuses.items()}


def require_sent_or_cancelled(race: Race, statuses: Mapping[str, str]) -> Counter[str]:
    """Count the messages in each status; all were sent or cancelled, and none is both."""
    received = race.deployment.mailbox.counts(f"@{race.domain}")
    counted = Counter(statuses.values())
    assert set(counted) <= {"sent", "cancelled"}, counted
    assert [to for to, status in statuses.items() if status == "cancelled" and received[to]] == []
    assert [to for to, status in statuses.items() if status == "sent" and not received[to]] == []
    assert len(received) + counted["cancelled"] == sum(race.requests.values())
    return counted


def wait_for_statuses(race: Race) -> dict[str, str]:
    """Return address → status once every message has settled."""
    found: dict[str, str] = {}
    waiting = ("scheduled", "queued", "retrying")

    def read(reference: str, **query: str) -> dict[str, Any]:
        return race.deployment.look_up("/api/v2/messages", token=race.token, reference=reference, **query)

    def are_settled() -> bool:
        found.clear()
        for reference in (race.taken_back, race.kept):
            if read(reference, status=",".join(waiting), limit="1")["messages"]:
                return False
        for reference in (race.taken_back, race.kept):
            cursor: str | None = ""
            while cursor is not None:
                page = read(reference, limit=str(PAGE), cursor=cursor)
                found.update({message["to"]: message["status"] for message in page["messages"]})
                cursor = page["next"]
        return len(found) == sum(race.requests.values()) and set(waiting).isdisjoint(found.values())

    wait(are_settled, SETTLED_WITHIN_S, every_s=2.0, why=lambda: str(Counter(found.values())))
    return found
