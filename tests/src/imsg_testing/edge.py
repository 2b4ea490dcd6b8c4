"""Caddy with the deployed Caddyfile, in front of replicas on the loopback, and a DNS server for their names."""

import os
import socket
import socketserver
import sys
import threading
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Self

import httpx

from imsg_testing.processes import Process
from imsg_testing.servers import Server, reserve_port

CADDYFILE = Path(__file__).parents[3] / "deploy" / "Caddyfile"
CADDY = Path(os.environ.get("TEST_CADDY") or Path(sys.executable).with_name("caddy"))
"""The wheel's, unless another is named, such as the distribution's."""

A, IN, TTL_S = 1, 1, 1
ANSWERED, NO_SUCH_NAME = 0x8180, 0x8183
"""Flags of DNS answers (RFC 1035): no error, and no such name."""


class Names:
    """A DNS server like Docker's: a name has the addresses of all replicas."""

    def __init__(self, names: Mapping[str, Sequence[str]]) -> None:
        self._names = names
        answer = self._answer

        class Datagram(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                asked, from_us = self.request
                from_us.sendto(answer(asked), self.client_address)

        class Stream(socketserver.StreamRequestHandler):  # as Caddy 2.6 asks, whatever it was told
            def handle(self) -> None:
                while size := self.rfile.read(2):
                    said = answer(self.rfile.read(int.from_bytes(size, "big")))
                    self.wfile.write(len(said).to_bytes(2, "big") + said)

        self._streams = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Stream)
        self._streams.daemon_threads = True
        self._datagrams = socketserver.ThreadingUDPServer(self._streams.server_address, Datagram)

    @property
    def address(self) -> str:
        """Its address."""
        return f"127.0.0.1:{self._streams.server_address[1]}"

    def __enter__(self) -> Self:
        """Begin."""
        for server in (self._streams, self._datagrams):
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        for server in (self._streams, self._datagrams):
            server.shutdown()
            server.server_close()

    def _answer(self, asked: bytes) -> bytes:
        labels, at = [], 12
        while length := asked[at]:
            labels.append(asked[at + 1 : at + 1 + length].decode())
            at += 1 + length
        question = asked[12 : at + 5]
        kind = int.from_bytes(asked[at + 1 : at + 3], "big")
        found = self._names.get(".".join(labels).lower())
        flags = NO_SUCH_NAME if found is None else ANSWERED
        addresses = found if found and kind == A else ()
        record = b"\xc0\x0c" + A.to_bytes(2, "big") + IN.to_bytes(2, "big") + TTL_S.to_bytes(4, "big") + b"\x00\x04"
        counts = (1).to_bytes(2, "big") + len(addresses).to_bytes(2, "big") + b"\x00" * 4
        answers = b"".join(record + socket.inet_aton(address) for address in addresses)
        return asked[:2] + flags.to_bytes(2, "big") + counts + question + answers


class Edge(Server):
    """Caddy with our own Caddyfile; its ports, its name server and the patience of its probes are the test's.

    A busy machine may stop a replica for as long as the deployed probes wait, two seconds.
    """

    def __init__(self, names: Names, port: int) -> None:
        """`port` is that of every replica."""
        super().__init__()
        self._names = names
        self._upstream = port

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._port}"

    def _prepare(self) -> Process:
        self._port = reserve_port(self)
        probing = reserve_port()
        text = CADDYFILE.read_text(encoding="utf-8")
        for written, ours in (
            ("port 8000\n", f"port {self._upstream}\n"),
            ("refresh 1s\n", f"refresh 1s\nresolvers {self._names.address}\n"),
            ("\n:8000 {", f"\n:{self._port} {{"),
            ("127.0.0.1:8001", f"127.0.0.1:{probing}"),
            ("response_header_timeout 2s\n", "response_header_timeout 5s\n"),
            ("health_timeout 5s\n", "health_timeout 15s\n"),
        ):
            assert written in text, written
            text = text.replace(written, ours)
        file = self.folder / "Caddyfile"
        file.write_text(text, encoding="utf-8")
        home = {"HOME": str(self.folder), "XDG_CONFIG_HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder)}
        command = [str(CADDY), "run", "--config", str(file), "--adapter", "caddyfile"]
        return Process(command, log=self.folder / "log", environment=home)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/internal", timeout=2).status_code == HTTPStatus.NOT_FOUND
        except httpx.TransportError:
            return False
