"""The services behind the routes, as a FastAPI dependency."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from imsg_auth.keys import ApiKeys
from imsg_auth.page_sessions import PageSessions
from imsg_auth.provider_accounts import ProviderAccounts
from imsg_auth.provider_switches import ProviderSwitches
from imsg_auth.senders import Senders
from imsg_auth.sessions import Sessions
from imsg_auth.tokens import FRESH_S, Tokens
from imsg_auth.totp import Totp
from imsg_auth.user_cache import UserCache
from imsg_auth.users import Users
from imsg_contract.errors import Refusal
from imsg_limits.quota import Quota
from imsg_web.app import find_services
from imsg_web.callers import Caller
from imsg_web.responses import prefers_english

ADDRESS_HEADER = "x-imsg-address"
TOKEN_HEADER = "x-imsg-token"  # noqa: S105  a header's name


@dataclass(frozen=True, slots=True)
class RouteServices:
    """The services that routes call."""

    users: Users
    sessions: Sessions
    user_cache: UserCache
    tokens: Tokens
    quota: Quota
    switches: ProviderSwitches
    keys: ApiKeys
    totp: Totp
    page_sessions: PageSessions
    accounts: ProviderAccounts
    senders: Senders


async def find_address(request: Request) -> str:
    """Return the client's address as the gateway saw it."""
    return request.headers.get(ADDRESS_HEADER, "")


async def find_language(request: Request) -> str:
    """Return the language of texts in an answer: en or zh."""
    return "en" if prefers_english(request.headers.get("accept-language", "")) else "zh"


async def require_fresh_login(request: Request) -> None:
    """Require a token of a log-in that is not long ago; a key is as good as its scopes. Raises Refusal log_in_again."""
    services: RouteServices = request.app.state.services
    caller: Caller | None = request.state.caller
    if (
        caller is not None
        and caller.key is None
        and not services.tokens.is_fresh(request.headers.get(TOKEN_HEADER, ""))
    ):
        raise Refusal("log_in_again", minutes=FRESH_S // 60)


FreshLogin = Depends(require_fresh_login)
AuthServices = Annotated[RouteServices, Depends(find_services)]
Language = Annotated[str, Depends(find_language)]
ClientAddress = Annotated[str, Depends(find_address)]
