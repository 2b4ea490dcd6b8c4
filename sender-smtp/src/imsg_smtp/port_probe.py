"""Detects a security setting (TLS, STARTTLS, none) that does not fit the server's port, within 10 s.

A client that waits for a greeting while the server waits for TLS would time out after minutes, without a cause.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

from imsg_contract.results import Again, Blocked
from imsg_smtp.connection import Connection
from imsg_smtp.connector import connect
from imsg_smtp.replies import BLOCK_S, PROVIDER, TIMEOUT, UNREACHABLE
from imsg_smtp.server_address import ServerAddress, Timeouts, open_socket

PROBE_AFTER_S = 5.0
"""The time without a connection after which the port is probed: most servers greet within a second."""

PROBE_S = 2.0
"""The time limit of each of two probes: one unencrypted, one by TLS."""

WRONG_SECURITY = "wrong_security"


@dataclass(frozen=True, slots=True)
class PortSecurity:
    """The security that a port uses, as a probe found it."""

    tls: bool
    """Whether it uses TLS from the first byte."""
    starttls: bool
    """Whether it offers STARTTLS."""


async def connect_or_explain(server: ServerAddress, timeouts: Timeouts) -> Connection | Again | Blocked:
    """Connect as `connect` does; if that takes long or fails, check whether port and security fit each other.

    Returns Again where the log-in has not succeeded within `opening_s`.
    """
    connecting = asyncio.create_task(connect(server, timeouts))
    began = asyncio.get_running_loop().time()
    try:
        await asyncio.wait([connecting], timeout=min(PROBE_AFTER_S, timeouts.opening_s))
        if connecting.done():
            result = connecting.result()
            if not isinstance(result, Again) or result.code == UNREACHABLE:
                return result
            return await find_mismatch(server) or result
        if (mismatch := await find_mismatch(server)) is not None:
            return mismatch
        left_s = began + timeouts.opening_s - asyncio.get_running_loop().time()
        await asyncio.wait([connecting], timeout=max(0.0, left_s))
        if connecting.done():
            return connecting.result()
        why = f"{server.scope} did not let us in within {timeouts.opening_s:g} s: no greeting, or no answer behind it."
        return Again(PROVIDER, TIMEOUT, why)
    finally:
        if not connecting.done():
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await connecting
            if not connecting.cancelled() and isinstance(late := connecting.result(), Connection):
                late.abort()


async def find_mismatch(server: ServerAddress) -> Blocked | None:
    """Probe the port; return how it contradicts the setting, None where it does not or the probes got no reply."""
    security = await probe(server)
    if security is None:
        return None
    detail = _explain(server, security)
    return Blocked(PROVIDER, server.scope, WRONG_SECURITY, detail, BLOCK_S) if detail else None


def _explain(server: ServerAddress, security: PortSecurity) -> str:
    if security.tls and server.security != "tls":
        return (
            f"{server.scope} speaks TLS from the first byte, and security is {server.security}: "
            f"set {server.variable('security')} to tls, or {server.variable('port')} to the port of STARTTLS (587)."
        )
    if not security.tls and server.security == "tls":
        if security.starttls:
            return (
                f"{server.scope} begins in clear and offers STARTTLS, and security is tls: "
                f"set {server.variable('security')} to starttls, or {server.variable('port')} to the port of TLS (465)."
            )
        return (
            f"{server.scope} begins in clear and offers no STARTTLS, and security is tls: "
            f"set {server.variable('port')} to the port of TLS (465) or of STARTTLS (587, with security starttls)."
        )
    return ""


async def probe(server: ServerAddress) -> PortSecurity | None:
    """Probe a port for an unencrypted greeting, then for one by TLS; None where neither came in time."""
    reply = await _greet(server, None)
    if reply is not None:
        return PortSecurity(tls=False, starttls="STARTTLS" in reply)
    reply = await _greet(server, _make_unverified_context())
    return None if reply is None else PortSecurity(tls=True, starttls=False)


async def _greet(server: ServerAddress, tls: ssl.SSLContext | None) -> str | None:
    """Wait for the greeting, send EHLO and return the reply; no secret is sent, so any certificate is accepted."""
    sock = await open_socket(server, PROBE_S)
    if isinstance(sock, Again | Blocked):
        return None
    try:
        async with asyncio.timeout(PROBE_S):
            name = server.host if tls is not None else None
            reader, writer = await asyncio.open_connection(sock=sock, ssl=tls, server_hostname=name)
            try:
                if not (await reader.readline()).startswith(b"220"):
                    return None
                writer.write(f"EHLO {server.hello}\r\n".encode())
                return (await reader.read(4_096)).decode("latin-1").upper()
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return None


def _make_unverified_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
