"""A DNS server that answers from a zone, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

Zone = Mapping[str, Sequence[str]]
"""`NAME TYPE` → its records, as a zone file writes them."""


class NameServer(asyncio.DatagramProtocol):
    """Answers by a zone, by UDP."""

    def __init__(self, zone: Zone, *, silent: bool = False) -> None:
        self.zone = zone
        self.silent = silent
        self.questions: list[str] = []
        """`NAME TYPE` of each question."""
        self._transport: asyncio.DatagramTransport | None = None

    @property
    def port(self) -> int:
        """The port, on 127.0.0.1."""
        assert self._transport is not None
        port: int = self._transport.get_extra_info("sockname")[1]
        return port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer a question."""
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text().rstrip(".").lower(), dns.rdatatype.to_text(question.rdtype)
        self.questions.append(f"{name} {kind}")
        if self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if rows := self.zone.get(f"{name} {kind}"):
            answer.answer.append(dns.rrset.from_text(question.name, 60, dns.rdataclass.IN, question.rdtype, *rows))
        elif not any(key.startswith(f"{name} ") for key in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def answering(zone: Zone, *, silent: bool = False) -> AsyncIterator[NameServer]:
    """Answer for as long as the context lasts."""
    server = NameServer(zone, silent=silent)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()
