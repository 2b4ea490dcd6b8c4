"""The audit records of changes that users make to their endpoints."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from imsg_broker.port import Broker
from imsg_callbacks.records import Endpoint
from imsg_contract.topology import CHANGE
from imsg_web.audit import make_change
from imsg_web.callers import Caller


class Audit:
    """Publishes audit records to history."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def write(
        self,
        caller: Caller,
        action: str,
        target: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Publish a record of a change before it is made. Raises PublishRefused, PublishUnknown: then none is made."""
        change = make_change(caller, action, target, datetime.now(UTC), before=before, after=after)
        await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))


def describe(endpoint: Endpoint) -> dict[str, Any]:
    """Describe an endpoint for the audit: of its URL the host alone, since the rest may be a secret or a name."""
    return {
        "host": urlsplit(endpoint.url).hostname,
        "events": list(endpoint.events),
        "methods": None if endpoint.methods is None else list(endpoint.methods),
        "enabled": endpoint.disabled_at is None,
    }
