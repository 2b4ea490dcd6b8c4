"""The private parts of uvicorn that imsg_web uses.

pyproject.toml bounds uvicorn's version, and `tests/contract/test_internals.py` checks that these parts exist.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Generator

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CLOSE = (b"connection", b"close")

HANDSHAKE_TIMEOUT_S = 10.0
"""How long a client may take for its TLS handshake; until then it counts in no limit."""


class UvicornServer(uvicorn.Server):
    """uvicorn's server without its signal handlers: `service.serve` decides when the port closes."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Install no signal handlers."""
        yield

    def close_with_next_answer(self) -> None:
        """Close each connection after its next response."""
        self.config.encoded_headers.append(CLOSE)  # uvicorn copies them to default_headers each second
        self.server_state.default_headers.append(CLOSE)

    async def add_port(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        """Serve HTTPS on another port too; it closes with the others."""
        loop = asyncio.get_running_loop()
        self.servers.append(
            await loop.create_server(
                self.make_protocol,
                sock=sock,
                ssl=context,
                backlog=self.config.backlog,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            )
        )

    def close_ports(self) -> None:
        """Stop listening; open connections stay."""
        for server in self.servers:
            server.close()

    def make_protocol(self) -> asyncio.Protocol:
        """Return a new protocol for one accepted connection, as uvicorn does."""
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


class UvicornProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol, with properties for subclasses beside httptools' callbacks (`on_header`, …)."""

    @property
    def is_answering(self) -> bool:
        """Whether the last request has no complete response yet."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def has_answered(self) -> bool:
        """Whether the last request has its complete response."""
        return self.cycle is not None and self.cycle.response_complete

    @property
    def is_parsing(self) -> bool:
        """Whether received data is parsed as HTTP/1.1."""
        return self.parser is not None

    @property
    def request_line(self) -> bytes:
        """The request line, with version HTTP/1.1."""
        return b" ".join((self.scope["method"].encode(), self.url, b"HTTP/1.1"))

    @property
    def head_length(self) -> int:
        """The bytes of the request's URL and headers."""
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def offers_websocket(self) -> bool:
        """Return whether the request asks for a WebSocket and uvicorn supports it."""
        return self._get_upgrade() == b"websocket" and self._should_upgrade_to_ws()

    def restart_parser(self) -> None:
        """Parse the next data as a new request."""
        self.parser = httptools.HttpRequestParser(self)

    def mark_scope(self, name: str) -> None:
        """Set a key of iMSG in the request's scope."""
        self.scope[name] = True  # type: ignore[literal-required]  # a key of iMSG

    def _should_upgrade(self) -> bool:
        """Make uvicorn call `handle_websocket_upgrade` for every offered upgrade."""
        return self._get_upgrade() is not None
