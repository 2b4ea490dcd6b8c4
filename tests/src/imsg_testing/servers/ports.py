"""Ports of the loopback: reserved by binding them, and probed."""

import random
import socket
import sys
import weakref

PORTS = range(12_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, so that ours is still free after a kill."""


def reserve_port(owner: object | None = None, ports: range = PORTS) -> int:
    """Reserve a loopback port for a server that is started, killed and started again on it.

    No other test of this machine gets it as long as `owner` lives; without one, as long as this process does.

    It is bound without SO_REUSEADDR, which fails where another process has it; then the option is set, by which
    Linux lets a server with the same option bind and listen beside it. Connections before that server runs are
    refused, since the reservation itself does not listen.
    """
    for _ in range(1_000):
        holder = socket.socket()
        try:
            holder.bind(("127.0.0.1", random.choice(ports)))  # noqa: S311  a port is no secret
        except OSError:
            holder.close()
            continue
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        port: int = holder.getsockname()[1]
        if sys.platform == "linux":
            weakref.finalize(sys.modules[__name__] if owner is None else owner, holder.close)
        else:
            holder.close()  # there a bound socket would keep our own server out
        return port
    raise RuntimeError("no free port on the loopback")


def accepts(port: int) -> bool:
    """Return whether a process listens on a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def ask(port: int, question: bytes) -> bytes:
    """Send bytes to a port of the loopback and return the first answer, or b""."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(question)
            return sock.recv(64)
    except OSError:
        return b""
