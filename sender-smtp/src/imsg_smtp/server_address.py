"""The mail server: where it is, how long its steps may take, and the way to it."""

import asyncio
import socket
import ssl
from dataclasses import dataclass

from pydantic import SecretStr

from imsg_contract.wire import Again
from imsg_smtp.replies import PROVIDER, TIMEOUT, UNREACHABLE
from imsg_smtp.settings import DEFAULT, Security, variable_of


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each step may take; the minima of RFC 5321, section 4.5.3.2, but for what it says nothing of."""

    opening_s: float = 25.0
    """For all that comes before the first mail: a server that takes longer gives way to the next."""
    connect_s: float = 30.0
    """For TCP alone: an address that swallows packets is known sooner than by a greeting that does not come."""
    greeting_s: float = 300.0
    command_s: float = 300.0
    data_s: float = 120.0
    block_s: float = 180.0
    dot_s: float = 600.0
    """Giving up earlier makes duplicates: the server may be at the very end of taking the mail."""
    reset_s: float = 10.0
    """For RSET between two mails: a server that needs longer for nothing is left."""
    probe_s: float = 5.0
    quit_s: float = 2.0


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where mail is handed in, and as whom."""

    host: str
    port: int
    security: Security
    hello: str
    """The name we greet with; given, since the library would ask DNS for this host's own."""
    tls: ssl.SSLContext | None
    """One context for all connections; None only where security is none."""
    username: str | None = None
    password: SecretStr | None = None
    name: str = DEFAULT
    """What settings call it."""

    def variable(self, field: str) -> str:
        """Name the environment variable of one of its settings."""
        return variable_of(self.name, field)

    @property
    def scope(self) -> str:
        """What is blocked where this server is: `mail.example.com:587`."""
        return f"{self.host}:{self.port}"


async def reach(server: ServerAddress, timeout_s: float) -> socket.socket | Again:
    """Make a TCP connection to the first address of the host that answers."""
    loop = asyncio.get_running_loop()
    why = "the name has no address"
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
            for family, kind, protocol, _, address in found:
                try:
                    return await _dial(socket.socket(family, kind, protocol), address)
                except TimeoutError:
                    raise
                except OSError as error:
                    why = describe(error)
    except TimeoutError:
        return Again(PROVIDER, TIMEOUT, f"{server.scope} was not reached within {timeout_s:.0f} s.")
    except OSError as error:
        why = describe(error)
    return Again(PROVIDER, UNREACHABLE, f"{server.scope} can't be reached: {why}")


async def _dial(sock: socket.socket, address: tuple[str | int | bytes, ...]) -> socket.socket:
    sock.setblocking(False)  # noqa: FBT003  its own signature
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def describe(error: Exception) -> str:
    """Make a sentence's end of an error: what it says, else its name."""
    return (str(error) or type(error).__name__).rstrip(".") + "."
