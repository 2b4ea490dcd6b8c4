"""The address of a mail server, the timeouts of a session, and the TCP connection to it."""

import asyncio
import socket
import ssl
from dataclasses import dataclass

from pydantic import SecretStr

from imsg_contract.results import Again, Blocked
from imsg_delivery.provider_kinds import FORBIDDEN_ADDRESS
from imsg_smtp.oauth import TokenSource
from imsg_smtp.replies import BLOCK_S, PROVIDER, TIMEOUT, UNREACHABLE
from imsg_smtp.settings import DEFAULT, Security, variable_of
from imsg_web.destinations import INSIDE


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The timeout of each step; where RFC 5321, section 4.5.3.2, has a minimum, that minimum."""

    opening_s: float = 25.0
    """From TCP to the log-in: after it the next server is used."""
    connect_s: float = 30.0
    """TCP alone: an address that drops packets is noticed before the greeting's timeout."""
    greeting_s: float = 300.0
    command_s: float = 300.0
    data_s: float = 120.0
    block_s: float = 180.0
    dot_s: float = 600.0
    """A shorter timeout makes duplicates: the server may be about to accept the mail."""
    reset_s: float = 10.0
    """RSET between two mails: after it the connection is closed."""
    probe_s: float = 5.0
    quit_s: float = 2.0


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A mail server, its security and the account to log in with."""

    host: str
    port: int
    security: Security
    hello: str
    """The name in EHLO; without it the library would look up this host's name in DNS."""
    tls: ssl.SSLContext | None
    """The context of all connections; None only where security is none."""
    username: str | None = None
    password: SecretStr | None = None
    tokens: TokenSource | None = None
    """The tokens that take the password's place."""
    name: str = DEFAULT
    """Its name in the settings."""

    def variable(self, field: str) -> str:
        """Return the environment variable of one of its settings."""
        return variable_of(self.name, field)

    @property
    def scope(self) -> str:
        """The scope of blocks of this server: `mail.example.com:587`."""
        return f"{self.host}:{self.port}"


async def open_socket(server: ServerAddress, timeout_s: float) -> socket.socket | Again | Blocked:
    """Open a TCP connection to the first address of the host that answers; Again where none does.

    Blocked where an address is one that nothing may connect to.
    """
    loop = asyncio.get_running_loop()
    why = "the name has no address"
    try:
        async with asyncio.timeout(timeout_s):
            addresses = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
            for *_, address in addresses:
                if objection := INSIDE.find_objection(server.host, str(address[0]), server.port):
                    detail = f"{server.scope} is not called: {objection}."
                    return Blocked(PROVIDER, server.scope, FORBIDDEN_ADDRESS.code, detail, BLOCK_S)
            for family, kind, protocol, _, address in addresses:
                try:
                    return await _connect_socket(socket.socket(family, kind, protocol), address)
                except TimeoutError:
                    raise
                except OSError as error:
                    why = describe_error(error)
    except TimeoutError:
        return Again(PROVIDER, TIMEOUT, f"{server.scope} was not reached within {timeout_s:.0f} s.")
    except OSError as error:
        why = describe_error(error)
    return Again(PROVIDER, UNREACHABLE, f"{server.scope} can't be reached: {why}")


async def _connect_socket(sock: socket.socket, address: tuple[str | int | bytes, ...]) -> socket.socket:
    sock.setblocking(False)  # noqa: FBT003  its own signature
    try:
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def describe_error(error: Exception) -> str:
    """Return an error's text, else the name of its class, with a full stop."""
    return (str(error) or type(error).__name__).rstrip(".") + "."
