"""Whether the port speaks as the settings say: TLS from the first byte, STARTTLS, or neither; named within 10 s.

A client that waits for a greeting where the server waits for TLS waits for minutes, and neither says why.
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

SUSPICION_S = 5.0
"""How long a connection may take until it is looked at from beside: most servers greet within a second."""

LOOK_S = 2.0
"""For each of two looks: one in clear, one by TLS."""

WRONG = "wrong_security"


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a port was seen to speak."""

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
        await asyncio.wait([trying], timeout=min(SUSPICION_S, timeouts.opening_s))
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
    """Look at the port; return what is wrong between it and the setting, None where nothing is known to be."""
    spoken = await look(server)
    if spoken is None:
        return None
    detail = _explain(server, spoken)
    return Blocked(PROVIDER, server.scope, WRONG, detail, BLOCK_S) if detail else None


def _explain(server: ServerAddress, spoken: Spoken) -> str:
    if spoken.tls and server.security != "tls":
        return (
            f"{server.scope} speaks TLS from the first byte, and security is {server.security}: "
            f"set {server.variable('security')} to tls, or {server.variable('port')} to the port of STARTTLS (587)."
        )
    if not spoken.tls and server.security == "tls":
        if spoken.starttls:
            return (
                f"{server.scope} begins in clear and offers STARTTLS, and security is tls: "
                f"set {server.variable('security')} to starttls, or {server.variable('port')} to the port of TLS (465)."
            )
        return (
            f"{server.scope} begins in clear and offers no STARTTLS, and security is tls: "
            f"set {server.variable('port')} to the port of TLS (465) or of STARTTLS (587, with security starttls)."
        )
    return ""


async def look(server: ServerAddress) -> Spoken | None:
    """See what a port speaks: a greeting in clear, or one inside TLS; None where neither came in time."""
    greeted = await _greet(server, None)
    if greeted is not None:
        return Spoken(tls=False, starttls="STARTTLS" in greeted)
    greeted = await _greet(server, _any_certificate())
    return None if greeted is None else Spoken(tls=True, starttls=False)


async def _greet(server: ServerAddress, tls: ssl.SSLContext | None) -> str | None:
    """Wait for the greeting, say EHLO, and return what is offered; no secret is said, so any certificate will do."""
    try:
        async with asyncio.timeout(LOOK_S):
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
