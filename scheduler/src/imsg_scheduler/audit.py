"""The audit of what users do to requests that wait or were sent."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from imsg_broker.port import Broker
from imsg_contract.topology import CHANGE
from imsg_web.audit import make_change
from imsg_web.callers import Caller


class Audit:
    """Publishes changes for history's audit."""

    def __init__(self, broker: Broker, now: Callable[[], datetime]) -> None:
        self._broker = broker
        self._now = now

    async def record(
        self, caller: Caller, action: str, target: str, after: Mapping[str, Any], *, user_id: str, request: str | None
    ) -> None:
        """Publish what a caller did to the requests of a user. Raises PublishRefused, PublishUnknown."""
        change = make_change(
            caller, action, target, self._now(), after=after, target_id=user_id or None, request=request
        )
        await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))
