"""Which messages can be resent, and which are left out and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from imsg_console.client import Reader, path
from imsg_console.explanations import is_hopeless
from imsg_console.message.filters import RESENDABLE

UNCERTAIN = "uncertain"

Message = Mapping[str, Any]


@dataclass(slots=True)
class Plan:
    """Messages by what resending does with them."""

    failed: list[Message] = field(default_factory=list)
    """Resent."""
    uncertain: list[Message] = field(default_factory=list)
    """Resent where the person agrees: their recipients may have them already."""
    resent: list[Message] = field(default_factory=list)
    """Left out: they were resent before."""
    hopeless: list[Message] = field(default_factory=list)
    """Left out: unchanged they would fail again."""
    others: int = 0
    """Neither failed nor uncertain."""

    @classmethod
    def of(cls, messages: Iterable[Message]) -> "Plan":
        """Sort messages, each once."""
        plan = cls()
        for message in {message["id"]: message for message in messages}.values():
            status, code = message["status"], (message["error"] or {}).get("code")
            if status not in (*RESENDABLE, UNCERTAIN):
                plan.others += 1
            elif message.get("resent_as"):
                plan.resent.append(message)
            elif is_hopeless(message["method"], status, code):
                plan.hopeless.append(message)
            else:
                (plan.uncertain if status == UNCERTAIN else plan.failed).append(message)
        return plan


def segments(messages: Iterable[Message]) -> int:
    """Count the SMS that messages are billed as."""
    return sum(message.get("segments") or 0 for message in messages)


async def find_bodies(api: Reader, plan: Plan, *, uncertain: bool) -> list[dict[str, Any]]:
    """Return the bodies of POST /api/v2/resend for a plan. Raises ApiError, SessionOver.

    The API resends one message, or everything of a request that has failed. So a request is asked for where all of its
    failed messages are in the plan, and each message by itself where some of them are left out.
    """
    messages = plan.failed + (plan.uncertain if uncertain else [])
    by_request = _group(messages)
    resent = _group(plan.resent)
    statuses = (*RESENDABLE, *([UNCERTAIN] if uncertain else []))
    bodies: list[dict[str, Any]] = []
    for request, identities in by_request.items():
        wanted = identities
        if len(identities) > 1:
            counts = (await api.get(path("/api/v2/requests", request)))["counts"]
            all_failed = sum(counts.get(status) or 0 for status in statuses)
            wanted = [request] if all_failed == len(identities) + len(resent.get(request, ())) else identities
        bodies += [{"id": message, "uncertain": uncertain} for message in wanted]
    return bodies


def _group(messages: Iterable[Message]) -> dict[str, list[str]]:
    """Group the ids of messages by their requests."""
    groups: dict[str, list[str]] = {}
    for message in messages:
        groups.setdefault(str(message["id"]).partition("-")[0], []).append(str(message["id"]))
    return groups
