"""The gateway as an ASGI app: one way in, and the one place that decides the HTTP status."""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imsg_contract.errors import Refusal
from imsg_gateway import parts, v1
from imsg_gateway.authentication import Authenticator
from imsg_gateway.metrics import UNKNOWN_ROUTE, RequestMetrics
from imsg_gateway.request import ClientRequest, find_token, read, read_query
from imsg_gateway.routes import OPEN_BODY_BYTES, Right, Route, Table
from imsg_runtime.logs import logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web import bodies
from imsg_web.bodies import OFF_LOOP_BYTES
from imsg_web.clients import Clients
from imsg_web.responses import field_unknown, refuse_with, report_crash
from imsg_web.service_client import ServiceFailed, ServiceUnavailable

log = logger(__name__)

AWAY_RETRY_S = 3

P = ParamSpec("P")
T = TypeVar("T")


class GatewayApp:
    """Reads a request, finds who answers it, settles its token, answers."""

    def __init__(self, table: Table, authenticator: Authenticator, clients: Clients, metrics: RequestMetrics) -> None:
        self._table = table
        self._authenticator = authenticator
        self._clients = clients
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        begun = self._metrics.clock()
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
        url = v1.url_of(path)
        ignored: list[str] = []
        response, pattern = await self._answer(scope, receive, path, None if url is None else ignored)
        seconds = self._metrics.clock() - begun
        self._metrics.count(scope["method"], pattern, _version(pattern), response, seconds)
        if url is not None:
            response = v1.print_only(response, url)
        if ignored:
            response.headers[v1.IGNORED] = v1.tell_ignored(ignored)
        await response(scope, receive, send)

    async def _answer(
        self, scope: Scope, receive: Receive, path: str, ignored: list[str] | None
    ) -> tuple[Response, str]:
        """Answer, and name the route by its pattern."""
        pattern = UNKNOWN_ROUTE
        try:
            found = self._table.find(scope["method"], path)
            pattern = found[0].path
            response = await self._carry_out(scope, receive, path, found, ignored)
        except Refusal as refusal:
            response = refuse_with(refusal, _language(scope))
        except ServiceFailed as failed:
            log.error("peer_failed", path="/".join(path.split("/")[:3]), why=str(failed))  # noqa: TRY400  its own log has the traceback
            response = refuse_with(Refusal("unavailable", retry_after_s=AWAY_RETRY_S), _language(scope))
        except (ServiceUnavailable, RedisUnavailable, RedisRefused) as away:
            log.warning("dependency_unavailable", path="/".join(path.split("/")[:3]), why=str(away))
            response = refuse_with(Refusal("unavailable", retry_after_s=AWAY_RETRY_S), _language(scope))
        except Exception as error:  # noqa: BLE001  the HTTP handler's edge: a bug is answered and logged
            response = report_crash(error, _language(scope))
        return response, pattern

    async def _carry_out(
        self, scope: Scope, receive: Receive, path: str, found: tuple[Route, tuple[str, ...]], ignored: list[str] | None
    ) -> Response:
        """Have a request answered; fields that nobody reads are added to `ignored`, or refused where it is None."""
        route, names = found
        headers = Headers(scope=scope)
        address = self._clients.address(scope)
        body = await bodies.read(scope, receive, route.max_body_bytes)
        if parts.may_exceed(body, parts.STRANGERS):
            await self._check_parts(route, scope, headers, body)
        asked = await _read(scope, headers, path, names, body, address=address, needs_body=route.needs_body)
        strays = route.strays(asked)
        if ignored is not None:
            ignored += strays
            strays = []
        credential = None
        if route.right is not Right.OPEN:
            credential = self._authenticator.read(asked.token)
            if route.right is not Right.SENDER or strays:
                caller = await credential.authenticate()
                if route.right is Right.ADMIN and not caller.is_admin:
                    raise Refusal("no_right")
        if strays:
            known = route.fields if strays[0] in asked.fields else route.params
            raise field_unknown(strays[0], known)
        return await route.handler(asked, credential)

    async def _check_parts(self, route: Route, scope: Scope, headers: Headers, body: bytes) -> None:
        """Bound the parts of a body, by who sends it, before it is parsed.

        Raises Refusal too_many_parts, token_missing, token_invalid; ServiceUnavailable, RedisUnavailable.
        """
        if route.right is Right.OPEN:
            parts.check(body, parts.STRANGERS)
            return
        if len(body) <= OPEN_BODY_BYTES:  # parsed in a millisecond or two, and then what is wrong with it can be said
            return
        shown = find_token(headers, read_query(scope["query_string"]))
        refused = Refusal("token_missing")
        for token in (*([] if shown is None else [shown]), *parts.find_tokens(body)):
            try:
                await self._authenticator.read(token).owner()
            except Refusal as refusal:
                refused = refusal
                continue
            await _do_apart(len(body), parts.check, body, parts.USERS)
            return
        raise refused


async def _do_apart(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work in a thread where the body is large: what grows with it is nobody else's to wait for."""
    if size <= OFF_LOOP_BYTES:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


async def _read(
    scope: Scope, headers: Headers, path: str, names: tuple[str, ...], body: bytes, *, address: str, needs_body: bool
) -> ClientRequest:
    """Read a request."""
    return await _do_apart(len(body), read, scope, headers, path, names, body, address=address, needs_body=needs_body)


def _version(pattern: str) -> str:
    """Name the version of the API that a route is of; empty for pages and for what is no route."""
    if v1.url_of(pattern) is not None:
        return "v1"
    return "v2" if pattern.startswith("/api/v2/") else ""


def _language(scope: Scope) -> str:
    return Headers(scope=scope).get("accept-language", "")
