"""The audit records of changes that administrators make to followers."""

from datetime import UTC, datetime

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.topology import CHANGE
from imsg_runtime.logs import logger
from imsg_web.audit import make_change
from imsg_web.callers import Caller

log = logger(__name__)


class Audit:
    """Publishes audit records to history."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def write(self, administrator: Caller, action: str, target: str, account: str) -> None:
        """Publish a record of a change that is made. Where the broker refuses it, the record is lost."""
        change = make_change(administrator, action, target, datetime.now(UTC), after={"account": account})
        try:
            await self._broker.publish(change.model_dump_json().encode(), self._broker.topology.new(CHANGE))
        except (PublishRefused, PublishUnknown) as error:
            log.warning("change_not_published", action=action, why=str(error))
