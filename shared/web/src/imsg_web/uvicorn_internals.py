"""The inside of uvicorn that the frame stands on, all of it here, under names of ours.

None of it is promised by uvicorn: pyproject.toml bounds the versions, and `tests/contract/test_internals.py` names what
is gone where a new one lacks it.
"""

import asyncio
import contextlib
from collections.abc import Callable, Generator

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CLOSE = (b"connection", b"close")


class UvicornServer(uvicorn.Server):
    """uvicorn's server without its own signal handlers: the frame decides when the port closes."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the frame."""
        yield

    def close_with_next_answer(self) -> None:
        """End each connection with its next answer."""
        self.config.encoded_headers.append(CLOSE)  # what uvicorn begins each second's headers with
        self.server_state.default_headers.append(CLOSE)

    def close_ports(self) -> None:
        """Stop listening; what is connected stays."""
        for server in self.servers:
            server.close()

    def make_protocol(self) -> asyncio.Protocol:
        """Make what serves one connection, as uvicorn does for those that it accepts itself."""
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


class UvicornProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1: what a subclass may ask it, besides httptools' own callbacks (`on_header` and so on)."""

    @property
    def is_answering(self) -> bool:
        """Whether a request has come whose answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def has_answered(self) -> bool:
        """Whether the last request that came has its whole answer."""
        return self.cycle is not None and self.cycle.response_complete

    @property
    def is_parsing(self) -> bool:
        """Whether what comes is still read as HTTP/1.1."""
        return self.parser is not None

    @property
    def request_line(self) -> bytes:
        """The line of the request whose head has come, its version ours."""
        return b" ".join((self.scope["method"].encode(), self.url, b"HTTP/1.1"))

    @property
    def head_length(self) -> int:
        """The octets of the head that has come."""
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def offers_websocket(self) -> bool:
        """Tell whether the head that has come wants a websocket, and it can be had."""
        return self._get_upgrade() == b"websocket" and self._should_upgrade_to_ws()

    def restart_parser(self) -> None:
        """Read what comes next from its beginning."""
        self.parser = httptools.HttpRequestParser(self)

    def mark_scope(self, name: str) -> None:
        """Put a name of ours into the scope of the request that has come."""
        self.scope[name] = True  # type: ignore[literal-required]  # a scope takes names of ours

    def _should_upgrade(self) -> bool:
        """Have every offered upgrade handed to `handle_websocket_upgrade`, which may leave it alone."""
        return self._get_upgrade() is not None
