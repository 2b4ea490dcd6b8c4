"""One mail server: its connections, the pace of recipients' domains, and its circuit breakers."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_limits.breakers import MAX_SCOPES, Breakers, CallScopes
from imsg_smtp.bounces.return_path import ReturnPaths
from imsg_smtp.connection_pool import ConnectFailure, ConnectionPool
from imsg_smtp.domains import Domains
from imsg_smtp.mime import Mail
from imsg_smtp.refusals import Extent, Scopes
from imsg_smtp.replies import BLOCK_S, PROVIDER, TIMEOUT, concern_of_server, is_server_failure

FAILURES = 3
"""Failures of the server in a row after which its breaker opens."""

COOL_OFF_S = 5.0
"""How long the breaker stays open; then one mail tries, and the others wait (`imsg_delivery.outage`)."""

UNSPECIFIC_REFUSALS = 3
"""Mails refused unspecifically in a row after which the sender's domain is blocked; until then only the mail fails."""

ACCEPTANCE_VALID_S = 600.0
"""How long an accepted mail proves that its domain is not blocked, so that an unspecific refusal fails one mail."""


R = TypeVar("R", bound=Result)


@dataclass(slots=True)
class _Traffic:
    """Mail from one domain to another: the time of the last acceptance, and the unspecific refusals since."""

    accepted_at: float | None = None
    refusals: int = 0


class MailServer:
    """Sends mails by one server.

    Breakers stop calls to the server, for a sender, or from one domain to another. A refusal of all mail in such a
    scope opens its breaker. A mail that was not refused tries first, and its result decides.
    """

    def __init__(
        self,
        scope: str,
        connections: ConnectionPool,
        clock: Callable[[], float],
        domains: Domains | None = None,
        return_paths: ReturnPaths | None = None,
        *,
        name: str = PROVIDER,
    ) -> None:
        """`scope` is the scope of blocks of the whole server, `mail.example.com:587`; `name` its name in results."""
        self._scope = scope
        self._connections = connections
        self._clock = clock
        self._domains = domains or Domains((), clock)
        self._return_paths = return_paths
        self._name = name
        self._breakers = Breakers(PROVIDER, clock, threshold=FAILURES, cool_off_s=COOL_OFF_S, scope=scope)
        self._traffic: OrderedDict[str, _Traffic] = OrderedDict()

    @asynccontextmanager
    async def wait_turn(self, mail: Mail) -> AsyncIterator[Again | None]:
        """Wait for the pace of the recipient's domain and for a free connection; hold both while the context is open.

        Yields None once the mail may be sent, else the result for a mail that would wait too long.
        """
        async with self._domains.wait_turn(mail.recipient_domain) as paced:
            if paced is not None:
                yield self._name_result(paced)
                return
            async with self._connections.slots:
                yield None

    async def send(self, mail: Mail) -> Result:
        """Send a mail that has its turn, unless a breaker is open."""
        if self._return_paths is not None:
            mail = self._return_paths.assign(mail)
        about: CallScopes = {"sender": mail.sender, "domain": mail.domains}
        result = self._breakers.find_block(about, (mail.message_id,)) or await self._call(mail, about)
        self._domains.adapt_pace(mail.recipient_domain, result, mail.message_id)
        return self._name_result(result)

    def find_outage(self) -> Blocked | None:
        """Return why the server accepts no mail, and after how long one mail may try; None if it answers."""
        return self._breakers.find_outage()

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _call(self, mail: Mail, about: CallScopes) -> Result:
        """Send a mail over a connection, and record the result in the breakers."""
        result = await self._connections.send(mail)
        if isinstance(result, ConnectFailure):
            return self._record_connect_failure(result)
        return self._record(about, result, mail.message_id)

    def _name_result(self, result: R) -> R:
        """Return a result with the server's name."""
        return result if self._name == PROVIDER else replace(result, provider=self._name)

    def _record_connect_failure(self, failed: ConnectFailure) -> Result:
        """Count a failed connection attempt, once for all mails that waited for it."""
        result = _add_concern(failed.result)
        if failed.is_first:
            for _ in range(FAILURES if result.code == TIMEOUT else 1):  # another try would take as long
                self._breakers.record_result({}, result)
        return result

    def _record(self, about: CallScopes, result: Result, message: str) -> Result:
        """Record a mail's result in the breakers; return the result to report."""
        domain = about["domain"]
        if isinstance(result, Sent):
            traffic = self._traffic_of(domain)
            traffic.accepted_at, traffic.refusals = self._clock(), 0
            return self._breakers.record_result(about, result, message)
        if is_server_failure(result) or (isinstance(result, Blocked) and result.scope == self._scope):
            return self._breakers.record_result(about, _add_concern(result), message)
        self._breakers.record_answer()
        if isinstance(result, Refused) and result.concerns == "domain":
            result = self._classify_unspecific(domain, result)
        return self._breakers.record_result(about, result, message) if isinstance(result, Refused | Blocked) else result

    def _classify_unspecific(self, domain: str, refusal: Refused) -> Refused | Blocked:
        """Decide by other mail between the same domains whether a refusal concerns one mail or all of them."""
        traffic = self._traffic_of(domain)
        if traffic.accepted_at is None or self._clock() - traffic.accepted_at > ACCEPTANCE_VALID_S:
            traffic.refusals += 1
        if traffic.refusals < UNSPECIFIC_REFUSALS:
            return replace(refusal, concerns="recipient")
        scope = Scopes(self._scope, "", domain).find(Extent.DOMAIN)
        return Blocked(PROVIDER, scope, refusal.code, refusal.detail, BLOCK_S, "domain")

    def _traffic_of(self, scope: str) -> _Traffic:
        traffic = self._traffic.setdefault(scope, _Traffic())
        self._traffic.move_to_end(scope)
        if len(self._traffic) > MAX_SCOPES:
            self._traffic.popitem(last=False)
        return traffic


def _add_concern(result: Again | Blocked | Unknown) -> Again | Blocked | Unknown:
    """Return a failure of the whole server with its concern: the account or the server."""
    return replace(result, concerns=concern_of_server(result.code))
