"""Clients of the containers that send every kind of request on kept connections, and count the answers."""

import base64
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from imsg_testing.compose import Containers

TIMEOUT_S = 60.0

Ask = Callable[["Load", httpx.Client], httpx.Response]


def _number() -> str:
    """Return a random number, unlikely to be drawn twice: providers limit messages to one number.

    None begins with 13: a reconciliation of such numbers would sometimes find ours.
    """
    return f"18{secrets.randbelow(10**9):09d}"


def _single(load: "Load", http: httpx.Client) -> httpx.Response:
    return load.send(http, "sms", _number(), "明天下雨")


def _bulk(load: "Load", http: httpx.Client) -> httpx.Response:
    numbers = [_number() for _ in range(20)]
    return load.send(http, "sms", numbers, "明天下雨")


def _mail(load: "Load", http: httpx.Client) -> httpx.Response:
    """Send a mail with an attachment, which history stores first."""
    attachment = {"filename": "说明.txt", "file": base64.b64encode(b"x" * 50_000).decode()}
    return load.send(http, "smtp", "many@example.com", {"subject": "x", "text": "y"}, attachment=attachment)


def _query(load: "Load", http: httpx.Client) -> httpx.Response:
    return http.get("/api/query", params={"token": load.token, "limit": "5"})


def _me(load: "Load", http: httpx.Client) -> httpx.Response:
    return http.get("/api/v2/me", headers={"Authorization": f"Bearer {load.token}"})


def _log_in(load: "Load", http: httpx.Client) -> httpx.Response:
    return http.post("/api/login", json={"username": load.username, "password": load.password})


def _page(load: "Load", http: httpx.Client) -> httpx.Response:
    """Open the web page without a session, which leads to the log-in form."""
    del load
    return http.get("/", follow_redirects=True)


PAGE = "page"
"""Answered in HTML: good where it is there, and no part of what is asked unless it is named."""

ASKS: dict[str, Ask] = {
    "single": _single,
    "bulk": _bulk,
    "mail": _mail,
    "query": _query,
    "me": _me,
    "login": _log_in,
    PAGE: _page,
}
"""One for each way through the services."""

USUAL = tuple(name for name in ASKS if name != PAGE)


class Load:
    """One user's clients. Nothing is repeated: an answer that is not a success is a failure."""

    def __init__(self, containers: Containers) -> None:
        self.username, self.password = f"用户{secrets.token_hex(4)}", "correct horse"
        limits = {"per_hour": 1_000_000, "per_day": 1_000_000}
        user = {"token": containers.token, "username": self.username, "password": self.password}
        assert containers.call("POST", "/api/register", user | limits)["errorCode"] == 0
        self.token = containers.log_in(self.username, self.password)
        self.answered: Counter[str] = Counter()
        """Request → how often it succeeded."""
        self.accepted: dict[str, int] = {}
        """Request → its recipients, for every send."""
        self.failures: list[str] = []
        self._url = str(containers.client.base_url)
        self._lock = threading.Lock()

    def send(self, http: httpx.Client, method: str, to: Any, content: Any, **more: Any) -> httpx.Response:  # noqa: ANN401
        """Send once."""
        body = {"token": self.token, "method": method, "to": to, "content": content, **more}
        answer = http.post("/api/v2/messages", json=body)
        said = answer.json()
        if said["errorCode"] == 0:
            with self._lock:
                self.accepted[said["id"]] = said["count"]
        return answer

    def waiting(self, http: httpx.Client) -> int:
        """Count, to a hundred, the messages that are not settled yet."""
        asks = [{"token": self.token, "status": status, "limit": "100"} for status in ("queued", "retrying")]
        return sum(len(http.get("/api/query", params=ask).json()["messages"]) for ask in asks)

    @contextmanager
    def running(
        self, threads: int, asks: tuple[str, ...] = USUAL, pause_s: float = 0.0, until: int = 0
    ) -> Iterator[None]:
        """Send requests for as long as the context lasts, and then until `until` requests were answered."""
        stopping = threading.Event()

        def go_on(first: int) -> None:
            with httpx.Client(base_url=self._url, timeout=TIMEOUT_S) as http:
                for turn in range(first, 10**9):
                    self._ask(asks[turn % len(asks)], http)
                    if stopping.wait(pause_s) and (self.failures or self.answered.total() >= until):
                        return

        running = [threading.Thread(target=go_on, args=(number,), daemon=True) for number in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            stopping.set()
            for thread in running:
                thread.join(2 * TIMEOUT_S)

    def _ask(self, name: str, http: httpx.Client) -> None:
        try:
            answer = ASKS[name](self, http)
            succeeded = answer.is_success and (name == PAGE or answer.json()["errorCode"] == 0)
            failure = "" if succeeded else f"{name}: {answer.status_code} {answer.text[:300]}"
        except (httpx.HTTPError, ValueError) as error:
            failure = f"{name}: {error!r}"
        with self._lock:
            if failure:
                self.failures.append(failure)
            else:
                self.answered[name] += 1
