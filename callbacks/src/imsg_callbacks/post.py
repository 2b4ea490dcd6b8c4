"""One call of an endpoint: its name resolved, every answer checked, and the connection made to an address so checked.

Where the check is made is where the connection is: a name that answers otherwise a moment later gains nothing. Every
host goes this way, literals and odd forms too (`127.1`, `2130706433`). Nothing is followed, no proxy is read from the
environment, and of an answer 4 KiB are read.
"""

import asyncio
import os
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import urlsplit

from imsg_callbacks.destinations import PORTS, Gate
from imsg_callbacks.lookups import Lookups
from imsg_callbacks.schedule import Answer
from imsg_runtime.logs import logger
from imsg_web.http_connection import BodyBound, Connection, HttpAnswer, NoAnswer, Stale, Tls, connect, take_idle

log = logger(__name__)

TIMEOUT_S = 15.0
"""For all of a call (standard-webhooks.md: 15 to 30 s)."""

KEPT = BodyBound(4 * 1024, is_cut=True)
"""Of an answer's body."""

CONNECT_TIMEOUT_S = 5.0
IDLE_S = 5.0
"""How long a connection is kept for the next call to the same host: what a name meant is not believed for longer."""

CHECKED_AT_ONCE = 16
"""Hosts of URLs that are just being set, asked for at once: whoever sets many holds up no call."""

MAX_PLACES = 256
"""Hosts to which connections are kept."""

ALWAYS = b"user-agent: iMSG-Callbacks/1\r\naccept: */*\r\ncontent-type: application/json\r\n"

Place = tuple[str, str, int]
"""Scheme, host, port."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port → its addresses. Raises OSError."""


class Forbidden(Exception):  # noqa: N818  a finding
    """An address of the host may not be connected to."""


class Connector:
    """Connects to what may be connected to, and to nothing else."""

    def __init__(self, gate: Gate, look_up: Resolve, context: ssl.SSLContext) -> None:
        self._gate = gate
        self._look_up = look_up
        self._context = context

    async def connect(self, scheme: str, host: str, port: int) -> Connection:
        """Resolve a host, check every answer, connect to the first that answers. Raises Forbidden, OSError.

        Neither says an address or a port that the resolver or the system named: users read it.
        """
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                addresses = await self._look_up(host, port)
        except TimeoutError as error:  # an OSError too, and says nothing by itself
            raise OSError(f"{host} can't be resolved: no answer within {CONNECT_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise OSError(f"{host} can't be resolved") from error
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            if objection := self._gate.find_objection(address, port):
                raise Forbidden(objection)
        tls = Tls(self._context, host) if scheme == "https" else None
        try:
            return await connect(addresses, port, tls, KEPT, CONNECT_TIMEOUT_S)
        except OSError as error:
            raise OSError(_describe(error)) from error


class Poster:
    """Calls endpoints, over as many connections as there are calls at once: whoever sends bounds their number."""

    def __init__(self, connector: Connector, gate: Gate, look_up: Resolve, timeout_s: float) -> None:
        self._connector = connector
        self._gate = gate
        self._look_up = look_up
        self._timeout_s = timeout_s
        self._idle: OrderedDict[Place, list[Connection]] = OrderedDict()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Call an endpoint; whatever comes of it is an answer."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._post(url, body, headers)
        except TimeoutError:
            answer = Answer(None, f"no answer within {self._timeout_s:.0f} s")
        except (Forbidden, NoAnswer, OSError) as error:
            answer = Answer(None, _say(error))
        except Exception:  # a worker's edge: what a stranger answers must not end everybody's callbacks
            log.exception("bug")
            answer = Answer(None, "iMSG failed to read the answer: a bug of ours, in its log")
        took_ms = round((time.monotonic() - began) * 1_000)
        return Answer(answer.status, answer.error, answer.body, answer.retry_after_s, took_ms)

    async def find_objection(self, host: str, port: int) -> str | None:
        """Say why a host may not be called as it resolves now; None where it may, or can't be resolved yet."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                addresses = await self._look_up(host, port)
        except (OSError, TimeoutError):
            return None
        return next(filter(None, (self._gate.find_objection(one, port) for one in addresses)), None)

    def close(self) -> None:
        """Close every connection."""
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        target = read_target(url)
        said = await self._call(target.place, write_request(target, headers, body))
        text = said.content.decode(errors="replace").replace("\0", "\ufffd")
        error = None if 200 <= said.status_code < 300 else f"HTTP {said.status_code}"  # noqa: PLR2004  HTTP's own
        retry_after_s = read_retry_after(said.find_header(b"retry-after"), datetime.now(UTC))
        return Answer(said.status_code, error, text, retry_after_s)

    async def _call(self, place: Place, request: bytes) -> HttpAnswer:
        """Make a call on a connection that is kept, or on a new one."""
        connection = take_idle(self._idle.get(place, []), IDLE_S)
        if connection is not None:
            try:
                return await connection.call(request)
            except Stale:
                pass  # it was being closed just then
            finally:
                self._keep(place, connection)
        connection = await self._connector.connect(*place)
        try:
            return await connection.call(request)
        finally:
            self._keep(place, connection)

    def _keep(self, place: Place, connection: Connection) -> None:
        """Keep a connection for the next call; of the places, those called last."""
        if not connection.is_usable:
            return
        self._idle.setdefault(place, []).append(connection)
        self._idle.move_to_end(place)
        if len(self._idle) > MAX_PLACES:
            _, old = self._idle.popitem(last=False)
            for one in old:
                one.close()


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads, in the words of a request."""

    place: Place
    authority: bytes
    path: bytes


@lru_cache(1_024)
def read_target(url: str) -> Target:
    """Read a URL as `destinations.read_url` has written it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or PORTS[parts.scheme]
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    return Target((parts.scheme, host, port), parts.netloc.encode("ascii"), path.encode("ascii"))


def write_request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """Write a call as it goes over the wire; `headers` are ours and hold no line end."""
    given = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("ascii")
    return b"POST %b HTTP/1.1\r\nhost: %b\r\n%b%bcontent-length: %d\r\n\r\n%b" % (
        target.path,
        target.authority,
        ALWAYS,
        given,
        len(body),
        body,
    )


def read_retry_after(value: bytes | None, now: datetime) -> float | None:
    """Read a Retry-After header (RFC 9110, section 10.2.3): seconds, or a date; None where it says neither."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:  # noqa: PLR2004  thirty years
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter of a year, an hour or a zone of twenty digits
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _describe(error: OSError) -> str:
    """Say why there is no connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or 'no reason given').lower().replace('_', ' ')}"
    if error.errno:
        return f"no connection: {os.strerror(error.errno).lower()}"
    return "no connection in time"


def _say(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text[:500]


@asynccontextmanager
async def open_poster(
    allowed: Sequence[str],
    *,
    look_up: Resolve | None = None,
    timeout_s: float = TIMEOUT_S,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[Poster]:
    """Open what calls endpoints; connections are made when they are needed."""
    gate, lookups, checks = Gate(allowed), Lookups(), Lookups(threads=CHECKED_AT_ONCE)
    connector = Connector(gate, look_up or lookups.resolve, context or ssl.create_default_context())
    poster = Poster(connector, gate, look_up or checks.resolve, timeout_s)
    try:
        yield poster
    finally:
        poster.close()
        lookups.close()
        checks.close()
