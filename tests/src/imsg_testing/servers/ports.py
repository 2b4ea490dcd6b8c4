"""Ports of the loopback: a free one, and whether somebody answers on it."""

import random
import socket

PORTS = range(12_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, so that ours is still free after a kill."""


def free_port() -> int:
    """Find a port on the loopback that nobody listens on now."""
    for _ in range(1_000):
        port = random.choice(PORTS)  # noqa: S311  a port is no secret
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise RuntimeError("no free port on the loopback")


def accepts(port: int) -> bool:
    """Tell whether somebody listens on a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def asked(port: int, question: bytes) -> bytes:
    """Send bytes to a port of the loopback and return the first that come back, none where nobody answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(question)
            return sock.recv(64)
    except OSError:
        return b""
