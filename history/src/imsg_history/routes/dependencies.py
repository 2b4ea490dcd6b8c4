"""The services behind the routes, as a FastAPI dependency."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends

from imsg_history.attachments import Attachments
from imsg_history.audit import Audit
from imsg_history.dead_letters import DeadLetters
from imsg_history.erasures import Erasures
from imsg_history.exports import Exports
from imsg_history.ids import rfc3339
from imsg_history.latency_stats import LatencyStatistics
from imsg_history.open_messages import OpenMessages
from imsg_history.query import MessageQuery
from imsg_history.recipients import Recipients
from imsg_history.replies import Replies
from imsg_history.reports import Reports
from imsg_history.request_list import RequestList
from imsg_history.resending import Resends
from imsg_history.stats import Statistics
from imsg_history.user_stats import UserStatistics
from imsg_runtime.published_prices import PublishedPrices
from imsg_web.app import find_services


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The services that routes call."""

    messages: MessageQuery
    requests: RequestList
    replies: Replies
    statistics: Statistics
    latencies: LatencyStatistics
    users: UserStatistics
    attachments: Attachments
    resends: Resends
    open_messages: OpenMessages
    recipients: Recipients
    dead_letters: DeadLetters
    erasures: Erasures
    reports: Reports
    audit: Audit
    exports: Exports
    prices: PublishedPrices
    now: Callable[[], datetime]
    find_as_of: Callable[[], datetime | None]
    """Returns the time up to which everything is recorded; None while that is not known."""

    def write_as_of(self) -> str | None:
        """Return the time up to which a list is complete; call it before the list is read."""
        at = self.find_as_of()
        return None if at is None else rfc3339(at)


HistoryServices = Annotated[RouteServices, Depends(find_services)]
