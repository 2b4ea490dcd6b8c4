"""The check of the Host header against DNS rebinding."""

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
"""Paths that orchestrators and Prometheus call by any address; their responses hold no secrets."""

SERVICES = frozenset(
    {
        "gateway",
        "auth",
        "history",
        "callbacks",
        "catalog",
        "scheduler",
        "console",
        "sandbox",
        *(channel.service for channel in CHANNELS),
    }
)
"""Host names of services in compose and Kubernetes. Without a dot they are no names of the internet (RFC 7085 lists the
few top-level domains with an address)."""

_FORBIDDEN_CHARACTERS = frozenset("/\\@?#")
"""Characters that a Host header must not have: parsers differ about them."""

MAX_CACHED = 64
"""The most accepted Host headers that are cached; each may have any port."""

MAX_SHOWN = 80
"""The most characters of a wrong name that the response repeats."""


class Hosts:
    """The host names that a service accepts.

    On loopback: `localhost`, 127.0.0.0/8, ::1, the host of IMSG_PUBLIC_URL and IMSG_ALLOWED_HOSTS. Elsewhere any name
    unless IMSG_ALLOWED_HOSTS is set; then its names, the host of IMSG_PUBLIC_URL, loopback and `SERVICES`.
    """

    def __init__(self, settings: Common) -> None:
        allowed = {_read_host(host) for host in settings.allowed_hosts} | {_read_url_host(settings.public_url)} - {""}
        self._accepts_any = "*" in allowed or not (settings.on_loopback or settings.allowed_hosts)
        self._names = allowed | (frozenset() if settings.on_loopback else SERVICES)
        self._suffixes = tuple(name.removeprefix("*") for name in allowed if name.startswith("*."))
        self._keys = [key.get_secret_value().encode() for key in settings.service_key]
        self._accepted: set[bytes] = set()
        """Accepted Host headers as written, since each request repeats one of a few."""

    def accepts(self, scope: Scope) -> bool:
        """Return whether a request has an accepted host name, an exempt path or a service key."""
        if self._accepts_any or scope["path"] in EXEMPT:
            return True
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1:
            if hosts[0] in self._accepted:
                return True
            if self._is_own_name(_read_host(hosts[0].decode("latin-1"))):
                if len(self._accepted) < MAX_CACHED:
                    self._accepted.add(hosts[0])
                return True
        headers = Headers(scope=scope)
        presented = headers.get(KEY_HEADER, "")
        return any(equals(presented, key) for key in self._keys)

    def _is_own_name(self, name: str) -> bool:
        return bool(name) and (is_loopback(name) or name in self._names or name.endswith(self._suffixes))


class HostCheck:
    """An ASGI app that refuses requests for other hosts with 421 (RFC 9110, section 15.5.20)."""

    def __init__(self, app: ASGIApp, hosts: Hosts, refuse: Refuse = refuse) -> None:
        self._app = app
        self._hosts = hosts
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the app, or refuse it."""
        if scope["type"] not in ("http", "websocket") or self._hosts.accepts(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
            await self._answer(scope)(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 4421, "reason": "not our name"})

    def _answer(self, scope: Scope) -> Response:
        """Return the refusal as JSON, or as plain text for a browser that wants a page."""
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
    """Return the normalized name of a Host header; empty if it is malformed."""
    host = host.strip()
    if not _FORBIDDEN_CHARACTERS.isdisjoint(host) or not _has_port_form(host):
        return ""
    try:
        name = (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _has_port_form(host: str) -> bool:
    """Return whether only a port follows the name; urlsplit accepts `[::1].a.com` and `localhost:1,a.com`."""
    bracketed, _, behind = host.rpartition("]")
    before, _, port = behind.partition(":")
    return not (bracketed and before) and (not port or (port.isascii() and port.isdigit()))


def _read_url_host(url: str) -> str:
    """Return the normalized host of a URL, with or without a scheme."""
    return _read_host(urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")[2])
