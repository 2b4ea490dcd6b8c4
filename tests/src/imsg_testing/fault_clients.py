"""Clients that send while faults are injected, retry as the API asks, and count every answer."""

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from imsg_testing.api import Api, PatientApi
from imsg_testing.mailbox import Mailbox
from imsg_testing.waiting import wait

REPEATABLE = {"not_accepted", "outcome_unknown", "unavailable", "overloaded", "broker_blocked", "in_progress"}
"""Reasons that say: nothing is wrong with the request, repeat it (docs of 10012, and 10016 `in_progress`)."""

GIVES_UP_AFTER_S = 400.0
PAUSE_S = 0.3
"""Between a refusal and the repeat: shorter than Retry-After asks, so that more refusals are seen."""

TIMEOUT_S = 40.0

Addresses = Callable[[str, int], str]


class FaultTarget(PatientApi):
    """A deployment for fault tests, whose mail goes to a server that misbehaves on order."""

    mailbox: Mailbox


def mail_address(name: str, number: int) -> str:
    """Return an address that no other test uses."""
    return f"r{number}@{name}.example.com"


def mainland_number(name: str, number: int) -> str:
    """Return a phone number that no other test uses."""
    return f"13{int(name, 16) % 10**4:04d}{number:05d}"


class Clients:
    """The clients of one user, on one gateway or several. Every message has an Idempotency-Key and one recipient."""

    def __init__(self, deployment: Api, method: str = "smtp", address: Addresses = mail_address) -> None:
        self.name = secrets.token_hex(4)
        self.accepted: dict[str, Sequence[str]] = {}
        """Request → its recipients, for every answer with errorCode 0."""
        self.refused: Counter[str] = Counter()
        """Reason → how often."""
        self.broken = 0
        """Answers that never came: connections reset or refused."""
        self.breaks: Counter[str] = Counter()
        """What became of these."""
        self.waits: list[tuple[float, float]] = []
        """When each request was made, and how long it took to be answered."""
        self.wrong: list[str] = []
        """Answers that no document knows."""
        self.subject = "故障"
        self.category = "notice"
        self.token = deployment.new_user_token(per_hour=1_000_000, per_day=1_000_000)
        self._urls = deployment.urls
        # A connection of its own for each request: a kept one may be closed just as it is used again.
        self._http = httpx.Client(timeout=TIMEOUT_S, limits=httpx.Limits(max_keepalive_connections=0))
        self._method = method
        self._address = address
        self._drawn = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def recipients(self) -> int:
        """How many recipients were accepted."""
        return sum(map(len, list(self.accepted.values())))

    def send(self, count: int = 1) -> str:
        """Send to so many new recipients, again and again until it is accepted; return the request."""
        return self.send_to(self.draw(count))

    @contextmanager
    def sending(self, threads: int = 4, size: int = 1, pause_s: float = 0.05) -> Iterator[None]:
        """Send for as long as the context lasts; on leaving, every message that was begun is accepted."""
        stopping = threading.Event()

        def go_on() -> None:
            while not stopping.is_set():
                try:
                    self.send_to(self.draw(size))
                except Exception as error:  # noqa: BLE001  `wrong` reports whatever ends a client
                    self.wrong.append(repr(error))
                    return
                stopping.wait(pause_s)

        running = [threading.Thread(target=go_on, daemon=True) for _ in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in running:
                thread.join(GIVES_UP_AFTER_S + TIMEOUT_S)

    def wait_for(self, more: int, within_s: float = 120.0) -> None:
        """Wait until so many more recipients are accepted."""
        goal = self.recipients + more
        wait(
            lambda: self.recipients >= goal or bool(self.wrong),
            within_s,
            why=lambda: f"{self.recipients} of {goal} accepted; {self.refused} {self.wrong}",
        )

    def wait_for_refusals(self, more: int = 1, within_s: float = 120.0) -> None:
        """Wait until so many more requests were refused."""
        goal = self.refused.total() + more
        wait(lambda: self.refused.total() >= goal, within_s, why=lambda: f"{self.refused} {self.wrong}")

    def draw(self, count: int) -> list[str]:
        """Make so many new recipients."""
        with self._lock:
            first, self._drawn = self._drawn, self._drawn + count
        return [self._address(self.name, number) for number in range(first, first + count)]

    def send_to(self, to: Sequence[str]) -> str:
        """Send to recipients that were drawn, again and again until it is accepted; return the request."""
        content: Any = {"subject": self.subject, "text": "您好"} if self._method == "smtp" else "您好"
        said = {"method": self._method, "category": self.category, "to": list(to), "content": content}
        body = {"token": self.token, **said}
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        patience, tries = time.monotonic() + GIVES_UP_AFTER_S, 0
        while time.monotonic() < patience:
            url = self._urls[tries % len(self._urls)]
            tries += 1
            began = time.monotonic()
            try:
                answer = self._http.post(f"{url}/api/v2/messages", json=body, headers=headers)
                self.waits.append((began, time.monotonic() - began))
            except httpx.TransportError as error:
                with self._lock:
                    self.broken += 1
                    self.breaks[repr(error)] += 1
                time.sleep(PAUSE_S)
                continue
            if self._is_accepted(answer, to):
                return str(answer.json()["id"])
            time.sleep(PAUSE_S)
        raise AssertionError(f"not accepted within {GIVES_UP_AFTER_S:.0f} s: {self.refused}, {self.broken} broken")

    def _is_accepted(self, answer: httpx.Response, to: Sequence[str]) -> bool:
        try:
            said = answer.json()
        except ValueError:
            said = {}
        with self._lock:
            if answer.status_code == 202 and said.get("errorCode") == 0:
                self.accepted[said["id"]] = to
                return True
            reason = said.get("reason", "")
            is_repeatable = said.get("errorCode") in (10012, 10016) and reason in REPEATABLE
            if answer.status_code in {409, 503} and is_repeatable and "retry-after" in answer.headers:
                self.refused[reason] += 1
            else:
                self.wrong.append(f"{answer.status_code} {answer.text[:300]}")
        return False
