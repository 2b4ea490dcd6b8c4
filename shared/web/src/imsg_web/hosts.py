"""Under which names we answer: any other is a page that poses as ours by a name of its own (DNS rebinding)."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from imsg_channels import CHANNELS
from imsg_contract.constant_time import equals
from imsg_contract.errors import Refusal
from imsg_runtime.settings import Common, is_loopback
from imsg_web.callers import KEY_HEADER
from imsg_web.responses import Refuse, prefers_english, refuse

EXEMPT = frozenset({"/health/live", "/health/open", "/health/ready", "/metrics"})
"""What orchestrators and Prometheus ask by whatever address they have; nothing in it is anybody's secret."""

SERVICES = frozenset(
    {"gateway", "auth", "history", "catalog", "console", "sandbox", *(channel.service for channel in CHANNELS)}
)
"""Names under which services call one another in compose and Kubernetes. None has a dot, so that no name of the
internet is among them (RFC 7085 counts the few top-level domains with an address)."""

_FOREIGN = frozenset("/\\@?#")
"""What has no place in a Host header, and would make two readers of it see two names."""

MAX_REMEMBERED = 64
"""How many spellings of our names are remembered: a name with any port is ours."""

MAX_SHOWN = 80
"""Of a wrong name: how many characters the answer repeats."""


class Hosts:
    """The names we answer to.

    On loopback: `localhost`, 127.0.0.0/8, ::1, the host of IMSG_PUBLIC_URL and IMSG_ALLOWED_HOSTS. Elsewhere any, until
    IMSG_ALLOWED_HOSTS names some; then those, that of IMSG_PUBLIC_URL, and what this machine and the services use among
    themselves.
    """

    def __init__(self, settings: Common) -> None:
        given = {_read_host(host) for host in settings.allowed_hosts} | {_read_url_host(settings.public_url)} - {""}
        self._accepts_any = "*" in given or not (settings.on_loopback or settings.allowed_hosts)
        self._names = given | (frozenset() if settings.on_loopback else SERVICES)
        self._suffixes = tuple(name.removeprefix("*") for name in given if name.startswith("*."))
        self._keys = [key.get_secret_value().encode() for key in settings.service_key]
        self._accepted: set[bytes] = set()
        """Host headers that were looked at and name us, as written: few are, and each comes with every request."""

    def accepts(self, scope: Scope) -> bool:
        """Tell whether a request may pass: by its name, as a probe, or as another service's call."""
        if self._accepts_any or scope["path"] in EXEMPT:
            return True
        given = [value for name, value in scope["headers"] if name == b"host"]
        if len(given) == 1:
            if given[0] in self._accepted:
                return True
            if self._is_ours(_read_host(given[0].decode("latin-1"))):
                if len(self._accepted) < MAX_REMEMBERED:
                    self._accepted.add(given[0])
                return True
        headers = Headers(scope=scope)
        given_key = headers.get(KEY_HEADER, "")
        return any(equals(given_key, one) for one in self._keys)

    def _is_ours(self, name: str) -> bool:
        return bool(name) and (is_loopback(name) or name in self._names or name.endswith(self._suffixes))


class HostCheck:
    """An ASGI app behind the rule: what comes under another's name is answered 421 (RFC 9110, section 15.5.20)."""

    def __init__(self, app: ASGIApp, hosts: Hosts, refuse: Refuse = refuse) -> None:
        self._app = app
        self._hosts = hosts
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, or refuse."""
        if scope["type"] not in ("http", "websocket") or self._hosts.accepts(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
            await self._answer(scope)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 4421, "reason": "not our name"})

    def _answer(self, scope: Scope) -> Response:
        """Refuse in the public shape; to a browser that wants a page, in a sentence."""
        headers = Headers(scope=scope)
        refusal = Refusal("wrong_host", host=headers.get("host", "")[:MAX_SHOWN] or "''")
        language = headers.get("accept-language", "")
        if "text/html" not in headers.get("accept", ""):
            return self._refuse(refusal, language, scope["path"])
        sentence = refusal.answer(english=prefers_english(language))["detail"]
        return PlainTextResponse(
            sentence, refusal.row.http, {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        )


def _read_host(host: str) -> str:
    """Read the name out of a Host header, as names are compared; empty where there is none in it."""
    host = host.strip()
    if not _FOREIGN.isdisjoint(host) or not _has_form(host):
        return ""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _has_form(host: str) -> bool:
    """Tell whether a port alone follows the name: urlsplit takes `[::1].example.com` and `localhost:1,example.com`."""
    bracketed, _, behind = host.rpartition("]")
    before, _, port = behind.partition(":")
    return not (bracketed and before) and (not port or (port.isascii() and port.isdigit()))


def _read_url_host(url: str) -> str:
    """Read the name out of a URL, which may have been written without its scheme."""
    return _read_host(urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")[2])
