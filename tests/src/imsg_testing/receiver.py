"""A receiver of callbacks that counts every event by its id and gives the answers a test sets."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One call that came."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.monotonic)

    @property
    def event(self) -> dict[str, Any]:
        """The event of its body."""
        body: dict[str, Any] = json.loads(self.body)
        return body


@dataclass
class Receiver:
    """What came, and what is answered: a status by the path's first part, else `status`; `hang` answers nothing."""

    port: int
    status: int = 204
    answer: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    hangs: threading.Event = field(default_factory=threading.Event)
    """While it is not set, `/hang` waits for it."""

    def url(self, path: str = "/") -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self, path: str = "/") -> Counter[str]:
        """Count how often each event came to a path."""
        return Counter(call.headers["webhook-id"] for call in self.calls if call.path == path)

    def types(self, path: str = "/") -> list[str]:
        """List what came to a path, in order."""
        return [call.event["type"] for call in self.calls if call.path == path]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.calls.append(Call(self.path, headers, body))
            if self.path.startswith("/hang"):
                receiver.hangs.wait(60)
            self.send_response(receiver.status)
            for name, value in {**receiver.headers, "content-length": str(len(receiver.answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(receiver.answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512  # the library's five drop calls that come at once, and those are tried again late

        def handle_error(self, request: object, client_address: object) -> None:
            """Log no error for clients that disconnected."""
            del request, client_address

    with Server(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield receiver
        finally:
            receiver.hangs.set()
            server.shutdown()
            thread.join()
