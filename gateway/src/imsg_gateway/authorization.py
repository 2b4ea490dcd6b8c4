"""The callers of the public API's routes: FastAPI's dependencies.

Each route names here what a key needs to call it; the OpenAPI document is made from the same.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from imsg_contract.api_keys import SEND
from imsg_contract.roles import ADMINISTRATORS, EVERYBODY, Roles, refuse_role
from imsg_gateway.credentials import Credential
from imsg_gateway.request import ClientRequest

ANY_SCOPE = "*"
"""Whatever the scopes of the key."""

SEND_SCOPE = f"{SEND}METHOD"
"""The scope of the message's method, which the route itself requires once it has read the method."""


class Allow:
    """A dependency that returns the calling user's credential, verified: a token, or a key with a scope."""

    def __init__(self, scope: str | None, roles: Roles) -> None:
        """`scope` is None for what no key may do; `roles` are those that may call."""
        self.scope = scope
        self.roles = roles

    async def __call__(self, request: ClientRequest) -> Credential:
        """Return the credential.

        Raises Refusal token_missing, token_invalid, no_right, no_scope, not_by_key, network_not_allowed, and what the
        route's `check_fields` raises; ServiceUnavailable, RedisUnavailable.
        """
        credential: Credential = request.app.state.services.authenticator.read(request.token, request.address)
        caller = await credential.authenticate()
        request.scope["route"].check_fields(request)
        if self.scope not in (ANY_SCOPE, SEND_SCOPE):
            await credential.require(self.scope)
        if caller.role not in self.roles:
            raise refuse_role(self.roles)
        return credential


def allow(scope: str | None, roles: Roles = EVERYBODY) -> Any:  # noqa: ANN401  as FastAPI's own
    """Return a dependency that admits users with some roles, and their keys with a scope; None: no key."""
    return Depends(Allow(scope, roles))


OF_USERS, OF_QUERY = Allow("users", ADMINISTRATORS), Allow("query", EVERYBODY)

V1 = {("/api/modify/{username}", "post"): OF_USERS, ("/api/query", "get"): OF_QUERY}
"""Who may call the routes that v1 alone has, which call these themselves: FastAPI's dependencies do not serve v1."""


def find_rights(app: FastAPI) -> Mapping[tuple[str, str], Allow]:
    """Return by path and verb, in lower case, who may call each route that wants a token."""
    return V1 | {
        (route.path, verb.lower()): dependency.call
        for route in app.routes
        if isinstance(route, APIRoute)
        for dependency in route.dependant.dependencies
        if isinstance(dependency.call, Allow)
        for verb in route.methods or ()
    }


async def check_fields(request: ClientRequest) -> None:
    """Refuse what the route does not read, on a route that needs no token. Raises Refusal unknown_field."""
    request.scope["route"].check_fields(request)
