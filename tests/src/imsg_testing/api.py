"""A client of a running iMSG, however it runs: the public API, and the sandbox's inbox and faults."""

import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import httpx

from imsg_testing.api_versions import read_answer
from imsg_testing.inbox import read_inbox
from imsg_testing.waiting import wait

SETTLE_TIMEOUT_S = 60.0

DOCUMENTED = {"admin": "123", "天存-system-1001": "123456"}
"""The accounts of the interface document, which exist on loopback."""

PASSWORD = "correct horse"

AWAY = 10012
"""The error code of a call that a part did not take; nothing came of it."""

SETTLED = {"cancelled", "sent", "failed", "expired", "uncertain", "delivered"}


PASSING = {"not_accepted", "unavailable", "sender_away"}
"""Reasons of `AWAY` that pass by themselves, and of which nothing came."""

UNKNOWN = "outcome_unknown"
"""The reason of a call that may have been taken: only what has an idempotency key is made again."""

KEY = "idempotency-key"

SENDS = {"/api/send", "/api/v2/messages"}
"""What a patient client gives a key."""

READY_TIMEOUT_S = 120.0
"""Back-offs of 5 s until every part has found the others again, and RabbitMQ's own start on a busy machine."""


STOOD_STILL_S = 0.5
"""A call that is answered `AWAY` sooner met nothing that stands still: such an answer stands, and fails its test."""


class PatientTransport(httpx.HTTPTransport):
    """Makes a call again that waited for what stood still and was answered `AWAY`, as the document tells clients to."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first answer that is another, or the last after SETTLE_TIMEOUT_S."""
        began = time.monotonic()
        answer = self._ask(request)
        if time.monotonic() - began < STOOD_STILL_S or request.url.path.startswith("/health/"):
            return answer
        while _passes(request, answer) and time.monotonic() - began < SETTLE_TIMEOUT_S:
            time.sleep(0.2)
            answer = self._ask(request)
        return answer

    def _ask(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        answer.read()
        return answer


def _passes(request: httpx.Request, answer: httpx.Response) -> bool:
    if answer.headers.get("content-type", "").startswith("application/json"):
        reason = answer.headers.get("x-imsg-reason")  # v1's body has none
        if reason is None and answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            reason = answer.json().get("reason")
        return reason in PASSING or (reason == UNKNOWN and (request.method == "GET" or KEY in request.headers))
    return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE  # a page


class Api:
    """A client of one gateway. Subclasses also run what is behind it."""

    client: httpx.Client
    is_patient = False
    """Whether its story is about an outage, and a call that is answered `AWAY` is made again."""

    def __init__(self, url: str) -> None:
        # An idle connection is dropped before the gateway drops it, which would be in the way of a call just sent.
        limits = httpx.Limits(keepalive_expiry=2)
        transport = PatientTransport(limits=limits) if self.is_patient else httpx.HTTPTransport(limits=limits)
        self.client = httpx.Client(base_url=url, timeout=60, transport=transport)
        self._tokens: dict[str, str] = {}

    @property
    def logs(self) -> str:
        """The logs so far, shown when a wait runs out."""
        return ""

    @property
    def urls(self) -> Sequence[str]:
        """The URLs of the gateways."""
        return [str(self.client.base_url).rstrip("/")]

    def is_ready(self) -> bool:
        """Return whether every part is ready."""
        try:
            return self.client.get("/health/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    def wait_until_ready(self) -> None:
        """Wait until every part is ready."""
        wait(self.is_ready, READY_TIMEOUT_S, every_s=0.1, why=lambda: f"not ready again\n{self.logs[-8_000:]}")

    def call(self, method: str, path: str, body: Any = None, /, **params: str) -> dict[str, Any]:  # noqa: ANN401
        """Call the API and return its answer, with what v1 has in headers alone."""
        headers = {KEY: secrets.token_hex(16)} if self.is_patient and path in SENDS and method == "POST" else None
        return read_answer(self.client.request(method, path, json=body, params=params, headers=headers))

    def look_up(self, path: str, **params: str) -> dict[str, Any]:
        """Read from the API and return its answer; who is patient asks again while a part is away."""
        answer: dict[str, Any] = {}

        def is_answered() -> bool:
            answer.clear()
            answer.update(self.call("GET", path, **params))
            return not self.is_patient or answer["errorCode"] != AWAY

        wait(is_answered, SETTLE_TIMEOUT_S, every_s=0.2, why=lambda: f"{answer}\n{self.logs[-8_000:]}")
        assert answer["errorCode"] == 0, answer
        return answer

    def token(self, username: str = "admin", password: str = DOCUMENTED["admin"]) -> str:
        """Return a token of a user, made at the first use."""
        if username not in self._tokens:
            answer = self.call("POST", "/api/login", {"username": username, "password": password})
            assert answer["errorCode"] == 0, answer
            self._tokens[username] = answer["token"]
        return self._tokens[username]

    def admin_token(self) -> str:
        """Return a token of the administrator."""
        return self.token()

    def new_user(self, **fields: object) -> str:
        """Register a user with a new name; return the name."""
        name = f"用户{secrets.token_hex(4)}"
        body = {"token": self.token(), "username": name, "password": PASSWORD, **fields}
        answer = self.call("POST", "/api/register", body)
        assert answer["errorCode"] == 0, answer
        return name

    def new_user_token(self, **fields: object) -> str:
        """Register a user and return a token of theirs."""
        return self.token(self.new_user(**fields), PASSWORD)

    def new_key(self, *scopes: str, kind: str = "live", **fields: object) -> str:
        """Make a key of the administrator, or of `username`; return it."""
        body = {"token": self.token(), "name": "a program", "kind": kind, "scopes": scopes, **fields}
        answer = self.call("POST", "/api/v2/keys", body)
        assert answer["errorCode"] == 0, answer
        key: str = answer["key"]
        return key

    def wait_audited(self, **query: str) -> dict[str, Any]:
        """Return the newest line of the audit that fits, once there is one."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = self.look_up("/api/v2/audit", token=self.token(), **query)["audit"]
            return bool(found)

        wait(is_there, within_s=60, why=lambda: f"the audit has no line of {query}")
        return found[0]

    def open_wide(self) -> None:
        """Lift the limits of the administrator, so that a story can send as often as it likes."""
        body = {"token": self.token(), "per_day": 1_000_000, "per_hour": 1_000_000}
        assert self.call("POST", "/api/modify/admin", body)["errorCode"] == 0

    def send(self, to: str | Sequence[str], *, attachment: Any = None, **content: str) -> dict[str, Any]:  # noqa: ANN401
        """Send a mail as the administrator and return the answer."""
        body: dict[str, Any] = {"token": self.token(), "to": to, "method": "smtp"}
        body["content"] = {"subject": "hello", "text": "您好", **content}
        if attachment is not None:
            body["attachment"] = attachment
        return self.call("POST", "/api/send", body)

    def messages(self, request: str) -> list[dict[str, Any]]:
        """Return every message of a request, all pages."""
        results: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = {"id": request, "limit": "500", "token": self.token(), **({"cursor": cursor} if cursor else {})}
            answer = self.look_up("/api/query", **page)
            results += answer["messages"]
            cursor = answer["next"]
            if not cursor:
                return results

    def wait_settled(self, request: str, count: int = 1, within_s: float = SETTLE_TIMEOUT_S) -> list[dict[str, Any]]:
        """Wait until every message of a request is settled; return them."""
        results: list[dict[str, Any]] = []

        def all_are() -> bool:
            results[:] = self.messages(request)
            return len(results) == count and all(message["status"] in SETTLED for message in results)

        wait(all_are, within_s, every_s=0.2, why=lambda: f"{len(results)} of {count}: {results[:3]}\n{self.logs}")
        return results

    def inbox(self, **filters: str) -> list[dict[str, Any]]:
        """Return what the sandbox has received."""
        return read_inbox(partial(self.call, "GET"), **filters)

    def wait_arrived(self, *, subject: str | None = None, **filters: str) -> dict[str, Any]:
        """Wait for a message in the inbox, the newest that fits; return it."""
        results: list[dict[str, Any]] = []

        def is_there() -> bool:
            results[:] = [mail for mail in self.inbox(**filters) if subject is None or mail["subject"] == subject]
            return bool(results)

        wait(is_there, SETTLE_TIMEOUT_S, why=lambda: f"nothing arrived for {filters}\n{self.logs}")
        return results[-1]

    def press(self, openid: str) -> str:
        """Press the menu's button for a tag as a follower in the sandbox; return what the account replies.

        An official account has five seconds for that, and whoever gets no reply presses again.
        """
        replies: list[str | None] = []

        def has_reply() -> bool:
            pressed = self.call("POST", f"/sandbox/wechat/followers/{openid}/press", {"key": "获取我的openID"})
            replies.append(pressed["reply"])
            return bool(replies[-1])

        wait(has_reply, SETTLE_TIMEOUT_S, every_s=0.2)
        return str(replies[-1])

    def order(self, fault: str, times: int | None = 1, **more: object) -> None:
        """Order a fault of the sandbox's mail server."""
        order = {"method": "smtp", "fault": fault, "times": times, **more}
        assert self.call("PUT", "/sandbox/faults", order)["errorCode"] == 0


class PatientApi(Api):
    """A client in a story about an outage."""

    is_patient = True
