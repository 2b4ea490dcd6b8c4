"""uvicorn's server with a graceful shutdown: every connection that the kernel accepted gets a response."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from imsg_web.uvicorn_internals import UvicornServer


class Server(UvicornServer):
    """Closes its port when the service stops.

    A proxy repeats a request only where it could not connect. So every connection that the kernel has accepted is
    answered, also those that the process has not accepted yet, or whose request has not arrived.
    """

    def announce_close(self) -> None:
        """Close each connection after its next response, so that a proxy keeps none open."""
        self.close_with_next_answer()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, then each connection after its response."""
        late = [connection for sock in sockets or () for connection in _accept_waiting(sock)]
        # At once: later connections are refused, and the proxy tries another replica.
        self.close_ports()
        loop = asyncio.get_running_loop()
        for connection in late:
            with contextlib.suppress(OSError):  # gone already
                await loop.connect_accepted_socket(self.make_protocol, connection)
        await super().shutdown(sockets)


def _accept_waiting(sock: socket.socket) -> Iterator[socket.socket]:
    """Accept the connections that wait in the backlog."""
    sock.settimeout(0)
    while True:
        try:
            connection, _ = sock.accept()
        except OSError:  # none is left
            return
        connection.settimeout(0)
        yield connection
