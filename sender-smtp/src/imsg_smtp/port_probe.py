"""Finding a port and a security setting that do not fit each other (TLS, STARTTLS, none), within 10 s.

A client that waits for a greeting while the server waits for TLS would wait for minutes, and not know why.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass

from imsg_contract.wire import Again, Blocked
from imsg_smtp.connection import Connection
from imsg_smtp.connector import connect
from imsg_smtp.replies import BLOCK_S, PROVIDER, TIMEOUT, UNREACHABLE
from imsg_smtp.server_address import ServerAddress, Timeouts

PROBE_AFTER_S = 5.0
"""After so long without a connection the port is probed: most servers greet within a second."""

PROBE_S = 2.0
"""For each of two probes: one in clear, one by TLS."""

WRONG = "wrong_security"


@dataclass(frozen=True, slots=True)
class PortSecurity:
    """The security that a port was seen to use."""

    tls: bool
    """TLS from the first byte."""
    starttls: bool


async def connect_or_explain(server: ServerAddress, timeouts: Timeouts) -> Connection | Again | Blocked:
    """Connect as `connect` does; where that takes long or fails, see whether port and security fit each other.

    A server that has not let us in within the time for that is away.
    """
    trying = asyncio.create_task(connect(server, timeouts))
    began = asyncio.get_running_loop().time()
    try:
        await asyncio.wait([trying], timeout=min(PROBE_AFTER_S, timeouts.opening_s))
        if trying.done():
            result = trying.result()
            if not isinstance(result, Again) or result.code == UNREACHABLE:
                return result
            return await find_mismatch(server) or result
        if (mismatch := await find_mismatch(server)) is not None:
            return mismatch
        left_s = began + timeouts.opening_s - asyncio.get_running_loop().time()
        await asyncio.wait([trying], timeout=max(0.0, left_s))
        if trying.done():
            return trying.result()
        why = f"{server.scope} did not let us in within {timeouts.opening_s:g} s: no greeting, or no answer behind it."
        return Again(PROVIDER, TIMEOUT, why)
    finally:
        if not trying.done():
            trying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await trying
            if not trying.cancelled() and isinstance(late := trying.result(), Connection):
                late.abort()


async def find_mismatch(server: ServerAddress) -> Blocked | None:
    """Probe the port; return how it contradicts the setting, None where it does not or nothing was learned."""
    probed = await probe(server)
    if probed is None:
        return None
    detail = _explain(server, probed)
    return Blocked(PROVIDER, server.scope, WRONG, detail, BLOCK_S) if detail else None


def _explain(server: ServerAddress, probed: PortSecurity) -> str:
    if probed.tls and server.security != "tls":
        return (
            f"{server.scope} speaks TLS from the first byte, and security is {server.security}: "
            f"set {server.variable('security')} to tls, or {server.variable('port')} to the port of STARTTLS (587)."
        )
    if not probed.tls and server.security == "tls":
        if probed.starttls:
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
    """Probe a port for a greeting in clear, then for one by TLS; None where neither came in time."""
    greeted = await _greet(server, None)
    if greeted is not None:
        return PortSecurity(tls=False, starttls="STARTTLS" in greeted)
    greeted = await _greet(server, _any_certificate())
    return None if greeted is None else PortSecurity(tls=True, starttls=False)


async def _greet(server: ServerAddress, tls: ssl.SSLContext | None) -> str | None:
    """Wait for the greeting, say EHLO, and return what is offered; no secret is said, so any certificate will do."""
    try:
        async with asyncio.timeout(PROBE_S):
            name = server.host if tls is not None else None
            reader, writer = await asyncio.open_connection(server.host, server.port, ssl=tls, server_hostname=name)
            try:
                if not (await reader.readline()).startswith(b"220"):
                    return None
                writer.write(f"EHLO {server.hello}\r\n".encode())
                return (await reader.read(4_096)).decode("latin-1").upper()
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, ValueError):
        return None


def _any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
