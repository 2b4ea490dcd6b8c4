"""What the routes call, as FastAPI's dependencies give it to them."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends

from imsg_callbacks.delivery_log import DeliveryLog
from imsg_callbacks.dispatcher import Dispatcher
from imsg_callbacks.endpoint_client import EndpointClient
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.event_reader import Reader
from imsg_callbacks.listeners import Listeners
from imsg_database.database import Database
from imsg_limits.concurrent_requests import ConcurrentRequests
from imsg_web.app import find_parts
from imsg_web.authorization import User


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes call."""

    database: Database
    endpoints: Endpoints
    deliveries: DeliveryLog
    dispatcher: Dispatcher
    client: EndpointClient
    listeners: Listeners
    reader: Reader
    now: Callable[[], int]
    find_as_of: Callable[[], Awaitable[str | None]]
    """Returns up to when all that happened is in the log; None where that can't be told."""
    tests: ConcurrentRequests = field(default_factory=ConcurrentRequests)
    """The test calls of each user that run now."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The user whose endpoints are meant."""

    user_id: str
    username: str
    is_admin: bool


def find_owner(user: User) -> Owner:
    """Return the calling user."""
    return Owner(user.user_id, user.username, user.is_admin)


CallbackParts = Annotated[Parts, Depends(find_parts)]
EndpointOwner = Annotated[Owner, Depends(find_owner)]
