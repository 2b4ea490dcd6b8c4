"""What the routes call, as FastAPI's dependencies give it to them."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from imsg_auth.keys import ApiKeys
from imsg_auth.provider_switches import ProviderSwitches
from imsg_auth.sessions import Sessions
from imsg_auth.tokens import Tokens
from imsg_auth.user_cache import UserCache
from imsg_auth.users import Users
from imsg_limits.quota import Quota
from imsg_web.app import find_services

ADDRESS_HEADER = "x-imsg-address"


@dataclass(frozen=True, slots=True)
class RouteServices:
    """What the routes call."""

    users: Users
    sessions: Sessions
    user_cache: UserCache
    tokens: Tokens
    quota: Quota
    switches: ProviderSwitches
    keys: ApiKeys


async def find_address(request: Request) -> str:
    """Return the client's address as the gateway saw it."""
    return request.headers.get(ADDRESS_HEADER, "")


AuthServices = Annotated[RouteServices, Depends(find_services)]
ClientAddress = Annotated[str, Depends(find_address)]
