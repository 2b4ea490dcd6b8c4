"""Reconcile accepted messages with /api/query and with the count of the provider."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imsg_testing.api import SETTLED, Api
from imsg_testing.fault_clients import Clients
from imsg_testing.waiting import wait

SETTLED_WITHIN_S = 300.0
"""A dead worker's claim runs out within 30 s, is looked at within a minute, and repeated after another."""

REACHED = {"sent", "delivered"}


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The figures of a fault that was survived."""

    accepted: int
    settled: int
    lost: int
    """Accepted recipients that have no mail although they are called sent, or no end at all."""
    duplicates: int
    """Mails beyond the first for one recipient."""
    failed: int
    """Recipients that ended otherwise than sent, where everybody can see it."""
    refused: Mapping[str, int]
    """Answers that asked the client to repeat, by their reason."""
    broken: int
    """Answers that never came."""
    recovered_s: float
    """From the end of the fault until everybody was settled."""


@dataclass(slots=True)
class Reconciler:
    """Reconciles one test's messages."""

    deployment: Api
    clients: Clients
    received: Callable[[], Counter[str]]
    """How often each recipient got something, as the provider counts it."""
    began_at: float = field(default_factory=time.monotonic)

    def record_restored(self) -> None:
        """Record that the fault is over, and that recovery begins."""
        self.began_at = time.monotonic()

    def reconcile(self, within_s: float = SETTLED_WITHIN_S) -> Reconciliation:
        """Wait until everybody is settled, and count."""
        messages: list[dict[str, Any]] = []

        def are_settled() -> bool:
            if self._has_waiting():
                return False
            messages[:] = self._messages()
            return self._count_missing(messages) == 0

        wait(are_settled, within_s, every_s=0.5, why=self._still_open)
        recovered_s = time.monotonic() - self.began_at
        accepted = [to for recipients in list(self.clients.accepted.values()) for to in recipients]
        statuses = self._by_recipient(messages)
        received = self.received()
        lost = [
            to for to in accepted if statuses.get(to) not in SETTLED or (statuses[to] in REACHED and not received[to])
        ]
        assert not lost, f"lost: {lost[:10]}\n{self.deployment.logs}"
        assert not self.clients.wrong, self.clients.wrong[:5]
        assert len(set(accepted)) == len(accepted)
        assert Counter(accepted) == Counter(message["to"] for message in messages), "history holds each of them, once"
        strangers = sorted(set(received) - set(accepted))
        assert not strangers, f"nobody gets what was not accepted: {strangers[:5]}"
        return Reconciliation(
            accepted=len(accepted),
            settled=sum(statuses[to] in SETTLED for to in accepted),
            lost=len(lost),
            duplicates=received.total() - len(received),
            failed=sum(statuses[to] not in REACHED for to in accepted),
            refused=dict(self.clients.refused),
            broken=self.clients.broken,
            recovered_s=recovered_s,
        )

    def _by_recipient(self, messages: list[dict[str, Any]]) -> dict[str, str]:
        return {message["to"]: message["status"] for message in messages}

    def _count_missing(self, messages: list[dict[str, Any]]) -> int:
        statuses = self._by_recipient(messages)
        return sum(statuses.get(to) not in SETTLED for all_ in self.clients.accepted.values() for to in all_)

    def _has_waiting(self) -> bool:
        """Return whether a message is still queued or retrying."""
        return any(self._page(status=status, limit="1")["messages"] for status in ("queued", "retrying"))

    def _messages(self) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            answer = self._page(limit="500", **cursor)
            results += answer["messages"]
            if not answer["next"]:
                return results
            cursor = {"cursor": answer["next"]}

    def _page(self, **filters: str) -> dict[str, Any]:
        answer = self.deployment.call("GET", "/api/query", token=self.clients.token, **filters)
        assert answer["errorCode"] == 0, answer
        return answer

    def _still_open(self) -> str:
        messages = self._messages()
        waiting = [message for message in messages if message["status"] not in SETTLED]
        return (
            f"{len(messages)} of {self.clients.recipients} known, {len(waiting)} of them open: {waiting[:3]}\n"
            f"{self.deployment.logs}"
        )
