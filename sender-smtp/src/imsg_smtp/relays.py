"""Several mail servers as one: by weight and domain, the next where one says not now, never after a doubtful answer."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from imsg_contract.wire import Again, Blocked, Result, Unknown
from imsg_smtp.mime import Mail

MAX_DOUBTFUL = 10_000
"""Messages of which it is remembered which server may have them."""


class Sending(Protocol):
    """What hands in a mail."""

    async def send(self, mail: Mail) -> Result:
        """Hand in a mail."""


@dataclass(frozen=True, slots=True)
class Route:
    """A server, and for what it is used."""

    name: str
    relay: Sending
    weight: int = 1
    """Its share beside the others'; 0: only where those say not now."""
    sender_domains: frozenset[str] = frozenset()
    """Of those alone; empty: of all."""
    recipient_domains: frozenset[str] = frozenset()

    def takes(self, mail: Mail) -> bool:
        """Tell whether this server is for this mail."""
        return _is_among(mail.sender, self.sender_domains) and _is_among(mail.recipient, self.recipient_domains)

    @property
    def is_special(self) -> bool:
        """Whether it is for some domains alone: then it comes before those for all."""
        return bool(self.sender_domains or self.recipient_domains)


class Relays:
    """The way a mail takes.

    A message prefers one server at every attempt, chosen by its own Message-ID: what went wrong without anybody's
    knowing is repeated where the repeat may be recognised.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._doubtful: OrderedDict[str, str] = OrderedDict()

    async def send(self, mail: Mail) -> Result:
        """Hand in a mail to the first server that does not say not now."""
        if len(self._routes) == 1 and not self._routes[0].is_special:
            return await self._routes[0].relay.send(mail)
        held_by = self._doubtful.get(mail.message_id)
        routes = [route for route in self.rank(mail) if held_by in (None, route.name)]
        if not routes:
            return _no_way(mail)
        hops: list[tuple[str, Again | Blocked]] = []
        for route in routes:
            result = await route.relay.send(mail)
            if not isinstance(result, Again | Blocked):
                self._note(mail, route.name, result)
                return result
            hops.append((route.name, result))
        return _join(hops)

    def rank(self, mail: Mail) -> list[Route]:
        """Order the servers for a mail: those for its domain first, each class by weighted lot (rendezvous hashing)."""
        fit = [route for route in self._routes if route.takes(mail)]
        return sorted(fit, key=lambda route: (not route.is_special, -_lot(mail.message_id, route)))

    def _note(self, mail: Mail, name: str, result: Result) -> None:
        if isinstance(result, Unknown):
            self._doubtful[mail.message_id] = name
            if len(self._doubtful) > MAX_DOUBTFUL:
                self._doubtful.popitem(last=False)
        else:
            self._doubtful.pop(mail.message_id, None)


def _is_among(address: str, domains: frozenset[str]) -> bool:
    return not domains or address.rpartition("@")[2] in domains


def _lot(message_id: str, route: Route) -> float:
    digest = hashlib.sha256(f"{route.name} {message_id}".encode()).digest()
    drawn = (int.from_bytes(digest[:8], "big") + 1) / (2**64 + 1)
    return route.weight / -math.log(drawn) if route.weight else 0.0


def _no_way(mail: Mail) -> Blocked:
    where = f"from {mail.sender.rpartition('@')[2]} to {mail.recipient.rpartition('@')[2]}"
    detail = f"No server is set for mail {where}; give one of IMSG_SMTP__SERVERS these domains, or none."
    return Blocked("smtp", where, "no_server", detail, 300.0)


def _join(hops: Sequence[tuple[str, Again | Blocked]]) -> Again | Blocked:
    """Make one result of all servers' noes: an Again where one could not take it now, with the shortest wait."""
    if len(hops) == 1:
        return hops[0][1]
    results = [result for _, result in hops]
    chosen = next((one for one in results if isinstance(one, Again)), results[0])
    detail = "; ".join(f"{name}: {result.code} {result.detail}" for name, result in hops)
    return replace(chosen, detail=detail, after_s=min(one.after_s for one in results))
