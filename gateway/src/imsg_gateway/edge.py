"""The gateway as an ASGI app: one way in, and the one place that decides the HTTP status."""

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from imsg_gateway.asked import read
from imsg_gateway.bodies import Gone, Intake
from imsg_gateway.callers import Callers
from imsg_gateway.clients import Clients
from imsg_gateway.routes import Right, Table
from imsg_shared.answers import crashed, refused
from imsg_shared.errors import Refusal
from imsg_shared.http import WHOLE
from imsg_shared.observe import logger
from imsg_shared.peers import PeerAway, PeerFailed
from imsg_shared.redis import RedisAway, RedisRefused

log = logger(__name__)

DOCUMENTED = frozenset(("/api/register", "/api/login", "/api/send", "/api/modify", "/api/query"))
"""The five URLs of the interface document: their users' clients expect 200 to everything."""

AWAY_RETRY_S = 3


class Edge:
    """Reads a request, finds who answers it, settles its token, answers."""

    def __init__(self, table: Table, callers: Callers, intake: Intake, clients: Clients, *, is_truthful: bool) -> None:
        self._table = table
        self._callers = callers
        self._intake = intake
        self._clients = clients
        self._is_truthful = is_truthful

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            path = path[:-1]
        try:
            response = await self._answer(scope, receive, path)
        except Gone:
            return
        if not self._is_truthful and is_documented(path):
            response.status_code = 200
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, path: str) -> Response:
        try:
            return await self._done(scope, receive, path)
        except Refusal as refusal:
            return refused(refusal, _language(scope))
        except PeerFailed as failed:
            log.error("peer_failed", path=path.split("/")[:3], why=str(failed))  # noqa: TRY400  its own log has the traceback
            return refused(Refusal("unavailable", retry_after_s=AWAY_RETRY_S), _language(scope))
        except (PeerAway, RedisAway, RedisRefused) as away:
            log.warning("away", path=path.split("/")[:3], why=str(away))
            return refused(Refusal("unavailable", retry_after_s=AWAY_RETRY_S), _language(scope))
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001  the HTTP handler's edge: a bug is answered and logged
            return crashed(error, _language(scope))

    async def _done(self, scope: Scope, receive: Receive, path: str) -> Response:
        route, names = self._table.find(scope["method"], path)
        headers = Headers(scope=scope)
        declared, is_whole = headers.get("content-length"), WHOLE in scope
        async with self._intake.body(receive, declared, is_whole=is_whole) as body:
            address = self._clients.address(scope)
            asked = read(scope, headers, path, names, body, address=address, needs_body=route.needs_body)
            if route.right is Right.OPEN:
                return await route.handler(asked, None)
            claim = self._callers.claim(asked.token)
            if route.right is not Right.SENDER:
                caller = await claim.judged()
                if route.right is Right.ADMIN and not caller.is_admin:
                    raise Refusal("no_right")
            return await route.handler(asked, claim)


def is_documented(path: str) -> bool:
    """Tell whether a path is one of the five documented URLs, names behind /api/modify included."""
    return path in DOCUMENTED or path.startswith("/api/modify/")


def _language(scope: Scope) -> str:
    return Headers(scope=scope).get("accept-language", "")
