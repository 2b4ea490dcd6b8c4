"""Apps that answer in the public shape whatever they meet: a refusal, an unknown path, a bug."""

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from imsg_contract.errors import Refusal
from imsg_runtime.responses import refuse_json, refuse_with, report_crash


def make_app(routes: Sequence[Route] = ()) -> Starlette:
    """Make an app of routes that speaks so. A path with a slash too many is another path."""
    app = Starlette(routes=list(routes))
    app.router.redirect_slashes = False
    speak(app)
    return app


def bind(path: str, endpoint: Callable[[Request], Awaitable[Response]], *verbs: str) -> Route:
    """Make a route for these verbs alone: Starlette would add HEAD to GET, which nobody declared."""
    route = Route(path, endpoint, methods=list(verbs))
    route.methods = set(verbs)
    return route


def speak(app: Starlette) -> None:
    """Make an app answer refusals, unknown paths and crashes in the public shape."""

    async def on_refusal(request: Request, refusal: Refusal) -> Response:
        return refuse_with(refusal, language(request))

    async def on_http(request: Request, error: HTTPException) -> Response:
        return refuse_with(_translate(request, error), language(request))

    async def on_crash(request: Request, error: Exception) -> Response:
        return report_crash(error, language(request))

    app.add_exception_handler(Refusal, on_refusal)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, on_http)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, on_crash)


def language(request: Request) -> str:
    """Return what the client wants to read, as it said."""
    return request.headers.get("accept-language", "")


def _translate(request: Request, error: HTTPException) -> Refusal:
    if error.status_code == 404:  # noqa: PLR2004  HTTP's own numbers
        return Refusal("no_such_url", path=request.url.path)
    if error.status_code == 405:  # noqa: PLR2004
        allowed = (error.headers or {}).get("Allow", "another method")
        headers = {"Allow": allowed}
        return Refusal("no_such_method", path=request.url.path, method=request.method, allowed=allowed, headers=headers)
    return refuse_json(str(error.detail))
