"""Calls of endpoints, to addresses that were checked.

The connection is made to an address that was checked just before: a name that resolves otherwise a moment later gains
nothing. Literal addresses and odd forms (`127.1`, `2130706433`) go the same way. No redirect is followed, no proxy is
read from the environment, and 4 KiB of an answer are read.
"""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from imsg_callbacks.destinations import Gate
from imsg_callbacks.lookups import Lookups
from imsg_callbacks.schedule import EndpointReply
from imsg_runtime.logs import logger
from imsg_web.http_pool import BodyBound, HttpPool, NoAnswer, NotSent, Resolve

log = logger(__name__)

TIMEOUT_S = 15.0
"""For all of a call (standard-webhooks.md: 15 to 30 s)."""

REPLY_BOUND = BodyBound(4 * 1024, is_cut=True)

LOOKUP_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 10.0
"""For the look-up and the connection together."""

IDLE_S = 5.0
"""How long a connection waits for the next call: for so long it is believed that the name means this address."""

MAX_CONNECTIONS = 1_100
"""More than the calls that `Dispatcher` and the tests of endpoints make at once."""

MAX_CHECKS = 16
"""Look-ups at once for URLs that are being set: a user who sets many holds up no call."""

HEADERS = {"user-agent": "iMSG-Callbacks/1", "accept": "*/*", "content-type": "application/json"}


class Forbidden(Exception):  # noqa: N818  named for the outcome
    """An address of the host may not be connected to."""


class Unresolved(Exception):  # noqa: N818  named for the outcome
    """The host has no address, or its name servers do not answer."""


class CheckedResolver:
    """Resolves a host and checks each of its addresses."""

    def __init__(self, gate: Gate, look_up: Resolve) -> None:
        self._gate = gate
        self._look_up = look_up

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host. Raises Forbidden where one may not be called, and Unresolved.

        Users read these errors: they say no address and no port that the resolver or the system named.
        """
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                addresses = await self._look_up(host, port)
        except TimeoutError as error:  # an OSError too
            raise Unresolved(f"{host} can't be resolved: no answer within {LOOKUP_TIMEOUT_S:.0f} s") from error
        except OSError as error:
            raise Unresolved(f"{host} can't be resolved") from error
        if not addresses:
            raise Unresolved(f"{host} has no address")
        for address in addresses:
            if objection := self._gate.find_objection(address, port):
                raise Forbidden(objection)
        return addresses


class EndpointClient:
    """Calls endpoints."""

    def __init__(self, pool: HttpPool, checks: CheckedResolver, timeout_s: float) -> None:
        self._pool = pool
        self._checks = checks
        self._timeout_s = timeout_s

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> EndpointReply:
        """Call an endpoint; a failure is a reply with an error."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._post(url, body, headers)
        except TimeoutError:
            reply = EndpointReply(None, f"no answer within {self._timeout_s:.0f} s")
        except NotSent as error:
            reply = EndpointReply(None, _describe(error))
        except (Forbidden, Unresolved, NoAnswer) as error:
            reply = EndpointReply(None, str(error)[:500])
        except Exception:  # a worker's edge: what a stranger answers must not end everybody's callbacks
            log.exception("bug")
            reply = EndpointReply(None, "iMSG failed to read the answer: a bug of ours, in its log")
        took_ms = round((time.monotonic() - began) * 1_000)
        return EndpointReply(reply.status, reply.error, reply.body, reply.retry_after_s, took_ms)

    async def find_objection(self, host: str, port: int) -> str | None:
        """Say why a host may not be called as it resolves now; None where it may, or can't be resolved yet."""
        try:
            await self._checks.resolve(host, port)
        except Forbidden as error:
            return str(error)
        except Unresolved:
            pass
        return None

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> EndpointReply:
        answer = await self._pool.call("POST", url, {**HEADERS, **headers}, body)
        text = answer.content.decode(errors="replace").replace("\0", "\ufffd")
        error = None if 200 <= answer.status_code < 300 else f"HTTP {answer.status_code}"  # noqa: PLR2004  HTTP's own
        retry_after_s = read_retry_after(answer.find_header(b"retry-after"), datetime.now(UTC))
        return EndpointReply(answer.status_code, error, text, retry_after_s)


def read_retry_after(value: bytes | None, now: datetime) -> float | None:
    """Read a Retry-After header (RFC 9110, section 10.2.3), seconds or a date; None where it is neither."""
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


def _describe(not_sent: NotSent) -> str:
    """Say why a call was not sent, without an address that the system named."""
    cause = not_sent.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {(cause.reason or 'no reason given').lower().replace('_', ' ')}"
    if isinstance(cause, OSError) and cause.errno:
        return f"no connection: {os.strerror(cause.errno).lower()}"
    return "no connection in time"


@asynccontextmanager
async def open_endpoint_client(
    allowed: Sequence[str],
    *,
    look_up: Resolve | None = None,
    timeout_s: float = TIMEOUT_S,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[EndpointClient]:
    """Open what calls endpoints; connections are made when they are needed."""
    gate, lookups, checks = Gate(allowed), Lookups(), Lookups(threads=MAX_CHECKS)
    pool = HttpPool(
        REPLY_BOUND,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        answer_timeout_s=timeout_s,
        idle_s=IDLE_S,
        max_connections=MAX_CONNECTIONS,
        resolve=CheckedResolver(gate, look_up or lookups.resolve).resolve,
        context=context,
        repeats_stale=True,
    )
    try:
        yield EndpointClient(pool, CheckedResolver(gate, look_up or checks.resolve), timeout_s)
    finally:
        pool.close()
        lookups.close()
        checks.close()
