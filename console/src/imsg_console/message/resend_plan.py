"""Which messages can be resent, and which are left out and why."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
        for message in {one["id"]: one for one in messages}.values():
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


def bodies(messages: Iterable[Message], *, uncertain: bool) -> list[dict[str, Any]]:
    """Return the bodies of POST /api/v2/resend: one for each request, with the numbers of its messages."""
    numbers: dict[str, list[int]] = {}
    for message in messages:
        request, _, n = str(message["id"]).partition("-")
        numbers.setdefault(request, []).append(int(n))
    return [
        {"id": request, "only": sorted(which), "uncertain": uncertain}
        if len(which) > 1
        else {"id": f"{request}-{which[0]}", "uncertain": uncertain}
        for request, which in numbers.items()
    ]
