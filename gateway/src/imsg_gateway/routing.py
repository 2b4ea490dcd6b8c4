"""The route classes of the public API: they read a request before FastAPI does."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_gateway.request import ClientRequest, read_request
from imsg_web.unknown_fields import refuse_unknown

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

NO_NAMES = (".", "..")
"""Names that no path may have: an HTTP client would resolve them."""


class PublicRoute(APIRoute):
    """A route whose endpoint and dependencies get a `ClientRequest`, already read."""

    is_open = False
    """Whether the route needs no token: then it reads short bodies only."""

    def get_route_handler(self) -> Handler:
        """Return FastAPI's handler behind the reading of the request."""
        handle = super().get_route_handler()

        async def read_and_handle(request: Request) -> Response:
            read = await self.read(request)
            read.prepare_scope()
            return await handle(read)

        return read_and_handle

    async def read(self, request: Request) -> ClientRequest:
        """Read a request. Raises Refusal no_such_url, and what `read_request` raises."""
        for name in request.path_params.values():
            if name in NO_NAMES or "\0" in name:
                raise Refusal("no_such_url", path=str(request.scope["path"]).replace("\0", ""))
        authenticator = request.app.state.services.authenticator
        return await read_request(request, authenticator, is_open=self.is_open, needs_body=self.needs_body())

    def needs_body(self) -> bool:
        """Return whether an empty body is no JSON here, rather than an object without fields."""
        return self.body_field is not None and self.body_field.field_info.is_required()

    def check_fields(self, request: ClientRequest) -> None:
        """Refuse U+0000, and what the route does not read. Raises Refusal wrong_type, unknown_field."""
        request.refuse_nul()
        refuse_unknown(self, [name for name, _ in request.query], request.fields)


class OpenRoute(PublicRoute):
    """A route that needs no token."""

    is_open = True


class RelayRoute(PublicRoute):
    """A route that another service answers: that service refuses what it does not read."""

    def check_fields(self, request: ClientRequest) -> None:
        """Refuse U+0000, which no service stores. Raises Refusal wrong_type."""
        request.refuse_nul()


class OpenRelayRoute(RelayRoute):
    """A route that another service answers, and that needs no token."""

    is_open = True


class SendRoute(PublicRoute):
    """A route that accepts a message.

    Its endpoint gets the request alone and checks the fields one after the other, in the order that the interface
    promises: FastAPI would check all of them at once, and before the token. The body in the endpoint's signature
    describes the fields.
    """

    def get_route_handler(self) -> Handler:
        """Return a handler that calls the endpoint without FastAPI's dependencies."""

        async def read_and_call(request: Request) -> Response:
            response: Response = await self.endpoint(await self.read(request), None)
            return response

        return read_and_call
