"""The caller of an internal route: a service, and the user on whose behalf it calls."""

from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_contract.roles import ADMINISTRATORS, OPERATORS, READERS, SENDERS, Roles, refuse_role
from imsg_web.callers import Caller, CallerCheck
from imsg_web.responses import refuse_fields
from imsg_web.unknown_fields import refuse_unknown

_FIELDS = TypeAdapter(dict[str, Any])


class InternalRoute(APIRoute):
    """A route for services alone.

    FastAPI reads a body before it calls dependencies; this route checks the service key before either.
    It refuses parameters and fields that its endpoint does not read.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the check. It raises Refusal no_right without a valid service key."""
        handle = super().get_route_handler()

        async def check_and_handle(request: Request) -> Response:
            internal: CallerCheck = request.app.state.internal
            request.state.caller = internal(request)
            refuse_unknown(self, request.query_params, await self._list_unread(request))
            return await handle(request)

        return check_and_handle

    async def _list_unread(self, request: Request) -> list[str]:
        """Return the fields of a JSON body that the route has no model for. Raises Refusal not_json, not_an_object."""
        content_type = request.headers.get("content-type", "")
        if self.body_field is not None or not content_type.startswith("application/json"):
            return []
        body = await request.body()
        try:
            return list(_FIELDS.validate_json(body)) if body else []
        except ValidationError as error:
            raise refuse_fields(error.errors()) from error


async def find_caller(request: Request) -> Caller | None:
    """Return the user on whose behalf the service calls; None where it calls for itself."""
    caller: Caller | None = request.state.caller
    return caller


async def require_user(caller: Annotated[Caller | None, Depends(find_caller)]) -> Caller:
    """Return the calling user. Raises Refusal token_missing without one."""
    if caller is None:
        raise Refusal("token_missing")
    return caller


class RequireRole:
    """A dependency that returns the calling user, who has one of some roles."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles

    async def __call__(self, caller: Annotated[Caller, Depends(require_user)]) -> Caller:
        """Return the caller. Raises Refusal token_missing, no_right."""
        if caller.role not in self._roles:
            raise refuse_role(self._roles)
        return caller


User = Annotated[Caller, Depends(require_user)]
Sender = Annotated[Caller, Depends(RequireRole(SENDERS))]
Reader = Annotated[Caller, Depends(RequireRole(READERS))]
Operator = Annotated[Caller, Depends(RequireRole(OPERATORS))]
Administrator = Annotated[Caller, Depends(RequireRole(ADMINISTRATORS))]
