"""Policies that contradict our queues' arguments: RabbitMQ would obey them, and what is promised would not hold."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

FORBIDDEN = frozenset(
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
"""What is in the arguments, or must be nowhere. Of an argument's limit and a policy's RabbitMQ takes the smaller, and a
delivery limit of -1 is no limit to it: imsg.history would drop what it was handed back so often."""


def contradictions(queues: Iterable[Mapping[str, Any]], prefix: str) -> dict[str, list[str]]:
    """Tell which policies say what they must not of our queues: the policy's name → what it says.

    A queue is as the management API has it, with `effective_policy_definition`; an operator policy counts too.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    for queue in queues:
        if not str(queue.get("name", "")).startswith(f"{prefix}."):
            continue
        for key in FORBIDDEN & dict(queue.get("effective_policy_definition") or {}).keys():
            found[str(queue.get("operator_policy") or queue.get("policy"))].add(key)
    return {name: sorted(keys) for name, keys in found.items()}
