"""A double of WeChat: an HTTP server with prepared answers."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from imsg_testing import http_stub
from imsg_testing.http_stub import Act, Asked, BreakOff, reply

TOKEN_PATH = "/cgi-bin/stable_token"
SEND_PATH = "/cgi-bin/message/template/send"

FIRST_MSGID = 9_007_199_254_740_993
"""2^53 + 1: read as a float it is another number."""


Step = Mapping[str, Any] | bytes | int | Act | BreakOff
"""A JSON answer, raw bytes as the body, an HTTP status, or an act."""


@dataclass
class WeChatServer:
    """Answers by the steps of a call, the last one forever; without steps, with success."""

    sends: Sequence[Step] = ()
    tokens: Sequence[Step] = ()
    by_call: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    """The end of a path, such as `bizsend` → the steps of its calls; of others `sends` holds."""
    requests: list[Asked] = field(default_factory=list)
    port: int = 0
    _msgid: int = FIRST_MSGID

    @property
    def url(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def of(self, path: str) -> list[Asked]:
        """Return the calls of a path."""
        return [request for request in self.requests if request.path == path]

    @property
    def called(self) -> list[str]:
        """Return the last two parts of the paths of all calls but those for tokens."""
        return ["/".join(request.path.split("/")[-2:]) for request in self.requests if request.path != TOKEN_PATH]

    @property
    def sent(self) -> list[Asked]:
        """Return the calls that send."""
        return self.of(SEND_PATH)

    def answer(self, request: Asked) -> http_stub.Step:
        """Record a request; return the next step."""
        self.requests.append(request)
        match self._step(request):
            case Act() | BreakOff() as done:
                return done
            case int() as status:
                return reply(b"<html>no</html>", status)
            case step:
                return reply(step if isinstance(step, bytes) else dict(step))

    def _step(self, request: Asked) -> Step:
        at = len(self.of(request.path)) - 1
        call = request.path.rpartition("/")[2]
        if own := self.by_call.get(call):
            return own[min(at, len(own) - 1)]
        steps = self.tokens if request.path == TOKEN_PATH else self.sends
        if steps and (at < len(steps) or len(steps) == 1):
            return steps[min(at, len(steps) - 1)]
        if request.path == TOKEN_PATH:
            return {"access_token": f"TOKEN-{at}", "expires_in": 7200}
        self._msgid += 1
        return {"errcode": 0, "errmsg": "ok", "msgid": self._msgid - 1}


def token_of(request: Asked) -> str | None:
    """Read the access token of a call."""
    return request.query.get("access_token")


@asynccontextmanager
async def wechat_server(
    sends: Sequence[Step] = (), tokens: Sequence[Step] = (), **by_call: Sequence[Step]
) -> AsyncIterator[WeChatServer]:
    """Run one on a free port."""
    server = WeChatServer(sends, tokens, by_call)
    async with http_stub.HttpStub(server.answer).running() as stub:
        server.port = stub.port
        yield server
