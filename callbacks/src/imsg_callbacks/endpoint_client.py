"""Calls endpoints, at addresses that `AddressPolicy` allows.

Each connection is made to an address that was checked just before it (against DNS rebinding). Literal addresses and
odd forms (`127.1`, `2130706433`) are checked too. Redirects are not followed, the environment's proxy is not used, and
only 4 KiB of a response are read.
"""

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from imsg_callbacks.lookups import Lookups
from imsg_callbacks.schedule import EndpointReply
from imsg_runtime.logs import logger
from imsg_runtime.settings import variable
from imsg_web.destinations import AddressForbidden, AddressPolicy, CheckedResolver, HostUnresolved, read_networks
from imsg_web.http_pool import PORTS, BodyBound, HttpPool, NoAnswer, NotSent, Resolve

log = logger(__name__)

TIMEOUT_S = 15.0
"""The timeout of a whole call (standard-webhooks.md: 15 to 30 s)."""

REPLY_BOUND = BodyBound(4 * 1024, is_cut=True)

CONNECT_TIMEOUT_S = 10.0
"""The timeout of the look-up and the connection together."""

IDLE_S = 3.0
"""How long an idle connection is kept, shorter than servers keep theirs: the address behind the host is not checked
again meanwhile."""

MAX_CONNECTIONS = 1_100
"""More than the calls that `Dispatcher` and the tests of endpoints make at once."""

MAX_URL_CHECKS = 16
"""Look-ups at once for URLs that users set; they have threads of their own, apart from those of calls."""

HEADERS = {"user-agent": "iMSG-Callbacks/1", "accept": "*/*", "content-type": "application/json"}


class EndpointClient:
    """Posts events to endpoints."""

    def __init__(self, pool: HttpPool, resolver: CheckedResolver, timeout_s: float) -> None:
        self._pool = pool
        self._resolver = resolver
        self._timeout_s = timeout_s

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> EndpointReply:
        """Post a body to an endpoint; every failure is a reply with an error."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._post(url, body, headers)
        except TimeoutError:
            reply = EndpointReply(None, f"no answer within {self._timeout_s:.0f} s")
        except NotSent as error:
            reply = EndpointReply(None, _describe(error))
        except NoAnswer as error:
            reply = EndpointReply(None, str(error)[:500])
        except Exception:  # a worker's edge: no response may end the process
            log.exception("bug")
            reply = EndpointReply(None, "iMSG failed to read the answer: a bug of ours, in its log")
        took_ms = round((time.monotonic() - began) * 1_000)
        return EndpointReply(reply.status, reply.error, reply.body, reply.retry_after_s, took_ms)

    async def find_objection(self, host: str, port: int) -> str | None:
        """Return why a host may not be called, by its addresses now; None if it may, or can't be resolved yet."""
        try:
            await self._resolver.resolve(host, port)
        except AddressForbidden as error:
            return str(error)
        except HostUnresolved:
            pass
        return None

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> EndpointReply:
        response = await self._pool.call("POST", url, {**HEADERS, **headers}, body)
        text = response.content.decode(errors="replace").replace("\0", "\ufffd")
        error = None if 200 <= response.status_code < 300 else f"HTTP {response.status_code}"  # noqa: PLR2004  HTTP's own
        retry_after_s = read_retry_after(response.find_header(b"retry-after"), datetime.now(UTC))
        return EndpointReply(response.status_code, error, text, retry_after_s)


def read_retry_after(value: bytes | None, now: datetime) -> float | None:
    """Parse a Retry-After header (RFC 9110, section 10.2.3), seconds or a date, as seconds; None if it is neither."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:  # noqa: PLR2004  thirty years
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError: a year, an hour or a zone of twenty digits
        return None
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())


def _describe(not_sent: NotSent) -> str:
    """Return why a call was not sent, without the address that the system's message names."""
    cause = not_sent.__cause__
    if isinstance(not_sent, AddressForbidden):
        return str(not_sent)[:500]
    if isinstance(cause, HostUnresolved):
        return str(cause)[:500]
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
    """Open the client. `allowed` are the operator's networks; `look_up` replaces the system's resolver in tests."""
    setting = variable("callbacks", "allow")
    policy = AddressPolicy(read_networks(allowed), "callbacks", setting, ports=sorted(PORTS.values()))
    lookups, url_lookups = Lookups(), Lookups(threads=MAX_URL_CHECKS)
    pool = HttpPool(
        REPLY_BOUND,
        connect_timeout_s=CONNECT_TIMEOUT_S,
        answer_timeout_s=timeout_s,
        idle_s=IDLE_S,
        max_connections=MAX_CONNECTIONS,
        resolve=CheckedResolver(policy, look_up or lookups.resolve).resolve,
        context=context,
        repeats_stale=True,
    )
    try:
        yield EndpointClient(pool, CheckedResolver(policy, look_up or url_lookups.resolve), timeout_s)
    finally:
        pool.close()
        lookups.close()
        url_lookups.close()
