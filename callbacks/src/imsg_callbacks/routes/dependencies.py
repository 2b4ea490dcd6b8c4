"""The FastAPI dependencies of the routes: the service's parts, and the calling user."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends

from imsg_callbacks.audit import Audit
from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.dispatcher import Dispatcher
from imsg_callbacks.endpoint_client import EndpointClient
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.event_reader import EventReader
from imsg_callbacks.listeners import Listeners
from imsg_database.database import Database
from imsg_limits.concurrent_requests import ConcurrentRequests
from imsg_people.tombstones import Digests
from imsg_web.app import find_services
from imsg_web.authorization import User


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The parts of the service that the routes call."""

    database: Database
    endpoints: Endpoints
    deliveries: DeliveryLog
    dispatcher: Dispatcher
    client: EndpointClient
    listeners: Listeners
    reader: EventReader
    digests: Digests
    audit: Audit
    now: Callable[[], int]
    find_as_of: Callable[[], Awaitable[str | None]]
    """Returns the time (RFC 3339) up to which the log is complete; None if it is not known."""
    tests: ConcurrentRequests = field(default_factory=ConcurrentRequests)
    """The running test calls of each user."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The calling user, who owns the endpoints."""

    user_id: str
    username: str
    is_admin: bool

    @property
    def whose(self) -> str | None:
        """The user whose endpoints this user may see and remove; None: any user's."""
        return None if self.is_admin else self.user_id


async def find_owner(user: User) -> Owner:
    """Return the calling user."""
    return Owner(user.user_id, user.username, user.is_admin)


CallbackServices = Annotated[RouteServices, Depends(find_services)]
EndpointOwner = Annotated[Owner, Depends(find_owner)]
