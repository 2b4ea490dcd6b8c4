"""The FastAPI app of a service: it answers every error in the public shape."""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from imsg_contract.errors import Refusal
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_web.authorization import InternalRoute
from imsg_web.callers import CallerCheck
from imsg_web.responses import refuse_fields, refuse_json, refuse_with, report

log = logger(__name__)

RETRY_AFTER_S = 3
"""When a caller may try again after a dependency of the service was unavailable."""

NOT_FOUND, METHOD_NOT_ALLOWED = 404, 405

NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""FastAPI's own OpenTelemetry is off: it looks for providers at every request, and iMSG has none."""

Refuse = Callable[[Refusal, Request], Response]
"""Answers a refusal of a request."""


def refuse(refusal: Refusal, request: Request) -> Response:
    """Answer a refusal with its status, and all that it says in the body."""
    return refuse_with(refusal, accept_language(request))


def make_internal_app(
    title: str, internal: CallerCheck, routers: Iterable[APIRouter], unavailable: Iterable[type[Exception]]
) -> FastAPI:
    """Make the app of a service that only other services call.

    The `route_class` of its internal routers is `InternalRoute`, which checks the service key before a body is read.
    `unavailable` are the exceptions of a dependency that is down: they are answered 10012 `unavailable`.
    """
    app = make_app(title, (*routers, _documentation), unavailable)
    app.state.internal = internal
    return app


def make_app(title: str, routers: Iterable[APIRouter], unavailable: Iterable[type[Exception]] = ()) -> FastAPI:
    """Make an app that answers every error in the public shape."""
    app = FastAPI(
        title=title, openapi_url=None, redirect_slashes=False, strict_content_type=False, telemetry=NO_TELEMETRY
    )
    for router in routers:
        app.include_router(router)
    answer_errors(app, unavailable)
    return app


_documentation = APIRouter(route_class=InternalRoute)


@_documentation.get("/openapi.json", include_in_schema=False)
async def describe(request: Request) -> dict[str, Any]:
    """Describe the service's routes in OpenAPI; the gateway merges them into its own document."""
    document: dict[str, Any] = request.app.openapi()
    return document


def answer_errors(app: FastAPI, unavailable: Iterable[type[Exception]] = (), refuse: Refuse = refuse) -> None:
    """Make an app answer refusals, invalid fields, unknown paths and crashes by `refuse`."""
    problem = RecurringProblem(log, "unavailable", quiet_s=QUIET_S)

    async def on_refusal(request: Request, refusal: Refusal) -> Response:
        return refuse(refusal, request)

    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        return refuse(refuse_fields(error.errors()), request)

    async def on_http(request: Request, error: HTTPException) -> Response:
        return refuse(_translate(request, error), request)

    async def on_unavailable(request: Request, error: Exception) -> Response:
        problem.report(error, path="/".join(request.url.path.split("/")[:3]))
        return refuse(Refusal("unavailable", retry_after_s=RETRY_AFTER_S), request)

    async def on_crash(request: Request, error: Exception) -> Response:
        return refuse(report(error), request)

    app.add_exception_handler(Refusal, on_refusal)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, on_invalid)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, on_http)  # type: ignore[arg-type]
    for error in unavailable:
        app.add_exception_handler(error, on_unavailable)
    app.add_exception_handler(Exception, on_crash)


async def find_services(request: Request) -> Any:  # noqa: ANN401  its `RouteServices`
    """Return what the routes of a service call: `app.state.services`, for FastAPI's `Depends`.

    FastAPI calls a function that is not async in a thread, which costs more than what it does.
    """
    return request.app.state.services


def accept_language(request: Request) -> str:
    """Return the request's Accept-Language, empty without one."""
    return request.headers.get("accept-language", "")


def _translate(request: Request, error: HTTPException) -> Refusal:
    if isinstance(error.__cause__, Refusal):  # raised while FastAPI read the body, such as too_large
        return error.__cause__
    path, method = str(request.scope["path"]), request.method
    if error.status_code == NOT_FOUND:
        return Refusal("no_such_url", path=path.replace("\0", ""))
    if error.status_code == METHOD_NOT_ALLOWED:
        allowed = ", ".join(list_methods(request)) or (error.headers or {}).get("Allow", "another method")
        return Refusal("no_such_method", path=path, method=method, allowed=allowed, headers={"Allow": allowed})
    return refuse_json(str(error.detail))


def list_methods(request: Request) -> list[str]:
    """List the methods of the app's own routes for a path: the error of a framework names those of one route alone.

    A path that is spelled out in routes has their methods alone: `leaked` of /keys/leaked is no {id}.
    """
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    routes = [route for route in routes if getattr(route, "path", None) == request.scope["path"]] or routes
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})
