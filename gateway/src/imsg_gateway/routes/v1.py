"""The five URLs: body, then token, then fields, one after the other as the interface document promises."""

from http import HTTPStatus

from fastapi import APIRouter, Request
from pydantic_core import from_json
from starlette.responses import Response

from imsg_contract.errors import Refusal
from imsg_gateway.authorization import OF_QUERY, OF_USERS
from imsg_gateway.credentials import Credential
from imsg_gateway.relay import Owner
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import find_services
from imsg_gateway.routing import Handler, PublicRoute
from imsg_gateway.v1 import HONOURED, IGNORED, print_only, url_of, write_ignored
from imsg_web.responses import refuse_value

ROLES = ("user", "admin")
"""Those of the interface document (section 4)."""


class V1Route(PublicRoute):
    """A route of v1, which FastAPI's dependencies do not serve."""

    def get_route_handler(self) -> Handler:
        """Return a handler that calls the endpoint with what v1 honours of a request, and cuts its answer down."""
        url = url_of(self.path_format) or self.path_format
        honoured = HONOURED[url]

        async def answer(request: Request) -> Response:
            read = await self.read(request)
            ignored = read.list_others(*honoured)
            if ignored:
                request.state.ignored = ignored  # a refusal says it too
            response = print_only(await self.endpoint(read), url)
            if ignored:
                response.headers[IGNORED] = write_ignored(ignored)
            return response

        return answer

    def needs_body(self) -> bool:
        """Return whether an empty body is no JSON here: where anything is posted."""
        return "POST" in (self.methods or ())

    def check_fields(self, request: ClientRequest) -> None:
        """Refuse nothing here: v1 ignores what it does not honour, and refuses U+0000 when it passes on the rest."""


class V1OpenRoute(V1Route):
    """A route of v1 that needs no token."""

    is_open = True


sending = APIRouter(prefix="/api", route_class=V1Route, include_in_schema=False)
router = APIRouter(prefix="/api", route_class=V1Route, include_in_schema=False)
login = APIRouter(prefix="/api", route_class=V1OpenRoute, include_in_schema=False)


@sending.post("/send")
async def send(request: ClientRequest) -> Response:
    """Send a message."""
    services = find_services(request)
    return await services.sending.send_v1(request, services.authenticator.read(request.token, request.address))


@login.post("/login")
async def log_in(request: ClientRequest) -> Response:
    """Get a token. Raises Refusal use_key for a user who logs in with one-time passwords, which v1 does not take."""
    response = await _relay("auth", request, None)
    if response.status_code == HTTPStatus.UNAUTHORIZED and from_json(bytes(response.body))["reason"] == "otp_required":
        raise Refusal("use_key")
    return response


@router.post("/register")
async def register(request: ClientRequest) -> Response:
    """Add a user, with one of the roles that the interface document knows. Raises Refusal wrong_type."""
    administrator = await OF_USERS(request)
    if request.fields.get("role") in (None, *ROLES):
        return await _relay("auth", request, administrator)
    # Auth knows more roles. It refuses an empty one, but names first what is missing or wrong before it.
    request.refuse_nul()
    request.fields = {**request.fields, "role": ""}
    response = await _relay("auth", request, administrator)
    if "role" in from_json(bytes(response.body))["detail"].split():
        raise refuse_value("role", "只能是 'user'或'admin'", "it must be 'user' or 'admin'")
    return response


@router.post("/modify/{username}")  # noqa: FAST003  the relay has the whole path
async def modify(request: ClientRequest) -> Response:
    """Set a user's limits."""
    return await _relay("auth", request, await OF_USERS(request))


@router.get("/query")
async def query(request: ClientRequest) -> Response:
    """List messages."""
    return await _relay("history", request, await OF_QUERY(request))


async def _relay(owner: Owner, request: ClientRequest, credential: Credential | None) -> Response:
    """Pass on what v1 honours of a request. Raises Refusal wrong_type for U+0000, ServiceUnavailable."""
    request.refuse_nul()
    request.keep_only(*HONOURED[url_of(request.path) or request.path])
    return await find_services(request).relay.pass_on(owner, request, credential)
