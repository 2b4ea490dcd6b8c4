"""Policies of RabbitMQ that contradict the queues' arguments, by which messages would be lost."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

FORBIDDEN_KEYS = frozenset(
    {
        "dead-letter-exchange",
        "dead-letter-routing-key",
        "dead-letter-strategy",
        "delivery-limit",
        "expires",
        "max-length",
        "max-length-bytes",
        "message-ttl",
        "overflow",
    }
)
"""Keys that no policy may set. RabbitMQ uses the smaller limit of argument and policy, and any policy's delivery limit
instead of an argument of -1: imsg.history would drop messages that were requeued so often."""


def find_contradictions(queues: Iterable[Mapping[str, Any]], prefix: str) -> dict[str, list[str]]:
    """Return the policies that set forbidden keys on queues with this prefix: name → keys.

    `queues` are those of the management API, with `effective_policy_definition`; operator policies count too.
    """
    contradictions: defaultdict[str, set[str]] = defaultdict(set)
    for queue in queues:
        if not str(queue.get("name", "")).startswith(f"{prefix}."):
            continue
        for key in FORBIDDEN_KEYS & dict(queue.get("effective_policy_definition") or {}).keys():
            contradictions[str(queue.get("operator_policy") or queue.get("policy"))].add(key)
    return {name: sorted(keys) for name, keys in contradictions.items()}
