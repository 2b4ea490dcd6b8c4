"""The public API: a FastAPI app behind the one place that names its paths and counts its answers."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_gateway import v1
from imsg_gateway.metrics import RequestMetrics
from imsg_gateway.openapi import info
from imsg_gateway.routes import channels, exports, messages, pages, relayed
from imsg_gateway.routes import v1 as v1_routes
from imsg_gateway.routes.dependencies import RouteServices
from imsg_runtime.logs import logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.app import NO_TELEMETRY, RETRY_AFTER_S, answer_errors
from imsg_web.clients import Clients
from imsg_web.service_client import ServiceFailed, ServiceUnavailable

log = logger(__name__)

UNAVAILABLE = (ServiceUnavailable, RedisUnavailable, RedisRefused)

ROUTERS: Sequence[APIRouter] = (
    v1_routes.sending,  # the two sends first: a path is compared with the routes in order
    messages.sending,
    v1_routes.router,
    v1_routes.login,
    messages.router,
    channels.router,
    exports.router,
    *relayed.ROUTERS,
    pages.router,
)


def make_app(services: RouteServices) -> FastAPI:
    """Make the FastAPI app."""
    # The routes themselves rather than `include_router`, which would match each path twice.
    routes = [route for router in ROUTERS for route in router.routes]
    app = FastAPI(
        routes=routes,
        title=info.TITLE,
        version=info.VERSION,
        openapi_url=None,
        redirect_slashes=False,
        telemetry=NO_TELEMETRY,
    )
    app.state.services = services
    answer_errors(app, UNAVAILABLE, v1.refuse)

    async def on_failed(request: Request, failed: Exception) -> Response:
        log.error("peer_failed", path="/".join(request.url.path.split("/")[:3]), why=str(failed))
        return v1.refuse(Refusal("unavailable", retry_after_s=RETRY_AFTER_S), request)

    app.add_exception_handler(ServiceFailed, on_failed)
    return app


class GatewayApp:
    """Takes the slash from the end of a path; counts and logs every answer."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics, clients: Clients) -> None:
        self.app = app
        self._metrics = metrics
        self._clients = clients

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        begun = self._metrics.clock()
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
            scope = {**scope, "path": path}
        if path.endswith("\n") and v1.url_of(path) is None:  # the pattern of a route would match it
            raise Refusal("no_such_url", path=path)

        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                self._log_answer(scope, status, message.get("body", b""), self._metrics.clock() - begun)
            await send(message)

        await self.app(scope, receive, send_on)

    def _log_answer(self, scope: Scope, status: int, body: bytes, seconds: float) -> None:
        """Count and log an answer: of the path the route's pattern alone, since the rest may be a name or a secret.

        The credential's check has bound the user and the key, and the acceptance the request's id.
        """
        verb: str = scope["method"]
        route, code = self._metrics.count(verb, scope.get("route"), body, seconds)
        address = self._clients.address(scope)
        log.info(
            "answered", verb=verb, route=route, status=status, code=code, ms=round(seconds * 1000, 1), address=address
        )
