"""uvicorn's server, closing its port so that nobody who was let in is sent away without an answer."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator, Iterator

import uvicorn

CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """uvicorn's server without its own signal handlers: the frame decides when the port closes.

    A proxy tries a request again only where it could not connect. So every connection that the kernel has let in is
    answered, also those that nobody has accepted yet or whose request is still on its way.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the frame."""
        yield

    def ask_to_leave(self) -> None:
        """End each connection with its next answer, so that a proxy keeps none that is about to be closed."""
        self.config.encoded_headers.append(CLOSE)  # what uvicorn begins each second's headers with
        self.server_state.default_headers.append(CLOSE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, and then the connections as their answers are given."""
        late = [connection for sock in sockets or () for connection in _waiting(sock)]
        # Without a pause between: whoever connects from here on is refused, and goes elsewhere.
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        for connection in late:
            with contextlib.suppress(OSError):  # gone already
                await loop.connect_accepted_socket(self._protocol, connection)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _waiting(sock: socket.socket) -> Iterator[socket.socket]:
    """Take the connections that wait to be accepted."""
    sock.settimeout(0)
    while True:
        try:
            connection, _ = sock.accept()
        except OSError:  # none is left
            return
        connection.settimeout(0)
        yield connection
