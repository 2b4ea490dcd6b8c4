"""The URLs that a service has for other services: Starlette's routes, behind the service key.

A handler gets a `Call`, and of who sends a body a model of it. What OpenAPI says of the URLs stands apart, in the
service's `openapi`, and is loaded when somebody asks: FastAPI, which holds it with the routes, is 8 MiB in each service
(docs/performance.md).
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imsg_contract.errors import Refusal
from imsg_runtime import bodies
from imsg_runtime.api_responses import bind, language, make_app
from imsg_runtime.callers import Caller, Internal
from imsg_runtime.observe import logger
from imsg_runtime.request_models import RequestModel
from imsg_runtime.responses import refuse_json, refuse_with, wrong_fields

log = logger(__name__)

RETRY_AFTER_S = 3

OPENAPI = "/openapi.json"

Who = TypeVar("Who")
Asked = TypeVar("Asked", bound=RequestModel)


@dataclass(frozen=True, slots=True)
class Call(Generic[Who]):
    """One call."""

    request: Request
    who: Who
    """On whose behalf, as the routes' `admit` gave it."""

    def name(self, key: str) -> str:
        """Return what stands in the path where its pattern has a name."""
        return str(self.request.path_params[key])

    @property
    def query(self) -> QueryParams:
        """The query's fields."""
        return self.request.query_params

    @property
    def language(self) -> str:
        """What the client wants to read, as it said."""
        return language(self.request)


Handler = Callable[[Call[Who]], Awaitable[Response]]
BodyHandler = Callable[[Call[Who], Asked], Awaitable[Response]]
H = TypeVar("H")


@dataclass(frozen=True, slots=True)
class Declared:
    """One URL and verb."""

    verb: str
    path: str
    """`{name}` stands for one name."""
    answer: Callable[[Request, Caller | None], Awaitable[Response]]


class Routes(Generic[Who]):
    """Routes for the same callers."""

    def __init__(self, admit: Callable[[Caller | None], Who], prefix: str = "") -> None:
        """`admit` says who may, and as whom; it raises Refusal. It is given nobody where a service calls for itself."""
        self._admit = admit
        self._prefix = prefix
        self.declared: list[Declared] = []

    def get(self, path: str) -> Callable[[Handler[Who]], Handler[Who]]:
        """Declare a GET."""
        return self._bare("GET", path)

    def delete(self, path: str) -> Callable[[Handler[Who]], Handler[Who]]:
        """Declare a DELETE."""
        return self._bare("DELETE", path)

    def post(self, path: str) -> Callable[[Handler[Who]], Handler[Who]]:
        """Declare a POST that takes no fields."""
        return self._bare("POST", path)

    def put(self, path: str) -> Callable[[Handler[Who]], Handler[Who]]:
        """Declare a PUT whose body is no JSON: its handler reads it."""
        return self._bare("PUT", path)

    def take(
        self, verb: str, path: str, shape: type[Asked]
    ) -> Callable[[BodyHandler[Who, Asked]], BodyHandler[Who, Asked]]:
        """Declare a URL that takes a JSON object, read into `shape`; its Content-Type does not matter."""

        def add(handler: BodyHandler[Who, Asked]) -> BodyHandler[Who, Asked]:
            async def answer(request: Request, caller: Caller | None) -> Response:
                call = Call(request, self._admit(caller))
                return await handler(call, await _read(request, shape))

            self.declared.append(Declared(verb, self._prefix + path, answer))
            return handler

        return add

    def _bare(self, verb: str, path: str) -> Callable[[Handler[Who]], Handler[Who]]:
        def add(handler: Handler[Who]) -> Handler[Who]:
            async def answer(request: Request, caller: Caller | None) -> Response:
                return await handler(Call(request, self._admit(caller)))

            self.declared.append(Declared(verb, self._prefix + path, answer))
            return handler

        return add


def admit_user(caller: Caller | None) -> Caller:
    """Let in whoever calls on a user's behalf. Raises Refusal no_right."""
    if caller is None:
        raise Refusal("no_right")
    return caller


def admit_administrator(caller: Caller | None) -> Caller:
    """Let in whoever calls on an administrator's behalf. Raises Refusal no_right."""
    if caller is None or not caller.is_admin:
        raise Refusal("no_right")
    return caller


def admit_service(caller: Caller | None) -> Caller | None:
    """Let in whoever has the key, on whoever's behalf."""
    return caller


def make_api(
    internal: Internal,
    groups: Sequence[Routes[Any]],
    away: Sequence[type[Exception]],
    describe: Callable[[], Mapping[str, Any]] | None = None,
) -> Starlette:
    """Make an app of routes. Each wants a service's key; who calls is what the gateway has verified.

    `away` are errors that say that something we need is not there: they answer 10016. `describe` makes what OpenAPI
    says, for GET /openapi.json.
    """
    declared = [one for group in groups for one in group.declared]
    if describe is not None:
        declared.append(_describing(describe))
    app = make_app([_bind(one, internal) for one in declared])
    for error in away:
        app.add_exception_handler(error, _refuse_unavailable)
    return app


def read_number(query: QueryParams, name: str, default: int, least: int, most: int) -> int:
    """Read a whole number of a query. Raises Refusal wrong_type."""
    text = query.get(name)
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else -1
    if not least <= number <= most:
        why_zh, why_en = f"应为 {least} 到 {most} 的整数", f"it must be a whole number from {least} to {most}"
        raise Refusal("wrong_type", field=name, why_zh=why_zh, why_en=why_en)
    return number


def _describing(describe: Callable[[], Mapping[str, Any]]) -> Declared:
    async def answer(request: Request, caller: Caller | None) -> Response:
        del request, caller
        return JSONResponse(describe())

    return Declared("GET", OPENAPI, answer)


def _bind(declared: Declared, internal: Internal) -> Route:
    async def answer(request: Request) -> Response:
        return await declared.answer(request, internal(request))

    return bind(declared.path, answer, declared.verb)


async def _read(request: Request, shape: type[Asked]) -> Asked:
    """Read a body into a model. Raises Refusal body_incomplete, not_json, not_an_object, missing, wrong_type."""
    body = await bodies.read(request.scope, request.receive, bodies.MAX_BODY_BYTES)
    if not body:
        raise Refusal("not_an_object")
    try:
        return shape.model_validate(json.loads(body))
    except ValidationError as error:
        raise wrong_fields(error.errors(include_url=False)) from error
    except (ValueError, RecursionError) as error:
        raise refuse_json(str(error)[:200]) from error


async def _refuse_unavailable(request: Request, error: Exception) -> Response:
    log.warning("unavailable", path="/".join(request.url.path.split("/")[:3]), error=str(error)[:300])
    return refuse_with(Refusal("unavailable", retry_after_s=RETRY_AFTER_S), language(request))
