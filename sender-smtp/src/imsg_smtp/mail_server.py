"""One mail server: its connections, the pace of recipients' domains, and which mail it does not accept for now."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from imsg_contract.wire import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_delivery.provider_pool import Provider, refuse_switched_off
from imsg_limits.breakers import MAX_SCOPES, About, Breakers
from imsg_smtp.bounces.return_path import ReturnPaths
from imsg_smtp.connection_pool import ConnectionPool, NotConnected
from imsg_smtp.domains import Domains
from imsg_smtp.mime import Mail
from imsg_smtp.refusals import Scopes, Unspecific
from imsg_smtp.replies import PROVIDER, TIMEOUT, concern_of_server, is_trouble

FAILURES = 3
"""Failures of the server in a row after which it is not called."""

COOL_OFF_S = 5.0
"""How long it is not called then; after that one mail tries, and the others wait (`imsg_delivery.outage`)."""

UNSPECIFIC_REFUSALS = 3
"""Mails in a row that an unspecific refusal must hit to block the sender's domain; before, it is the mail's own."""

PROOF_S = 600.0
"""For so long an accepted mail shows that its domain is not blocked: an unspecific refusal is the mail's own."""


@dataclass(slots=True)
class _Traffic:
    """Mail from one domain to another: when the last was accepted, and unspecific refusals since."""

    accepted_at: float | None = None
    refusals: int = 0


class MailServer:
    """Sends mails by one server.

    Breakers stop calls to the server, for a sender, or from one domain to another. A refusal about all mail of such a
    scope blocks it. Mails that were not refused try a blocked scope first, and their result decides.
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
        """`scope` names what a block of all of the server blocks: `mail.example.com:587`; results bear `name`."""
        self._scope = scope
        self._connections = connections
        self._clock = clock
        self._domains = domains or Domains((), clock)
        self._return_paths = return_paths
        self._name = name
        self._breakers = Breakers(PROVIDER, clock, threshold=FAILURES, cool_off_s=COOL_OFF_S, whole=scope)
        self._traffic: OrderedDict[str, _Traffic] = OrderedDict()

    async def send(self, mail: Mail, provider: Provider, *, is_forced: bool = False) -> Result:
        """Send a mail at the pace of its recipient's domain, unless it is blocked once its turn has come.

        `provider` says whether the server is switched on; a mail that is forced is sent all the same.
        """
        result = await self._send_in_turn(mail, provider, is_forced=is_forced)
        if not isinstance(result, Sent) and (outage := self._breakers.find_outage()) is not None:
            provider.stats.note(outage)  # during an outage calls wait, so that none would report the block
        return result if self._name == PROVIDER else replace(result, provider=self._name)

    def find_outage(self) -> Blocked | None:
        """Return why the server accepts nothing, and after how long one mail may try; None if it answers."""
        return self._breakers.find_outage()

    async def close(self) -> None:
        """Close the connections."""
        await self._connections.close()

    async def _send_in_turn(self, mail: Mail, provider: Provider, *, is_forced: bool) -> Result:
        domain = self._domains.find(mail.recipient)
        if domain is None:
            result = await self._send(mail, provider, is_forced=is_forced)
            if not isinstance(result, Again):
                return result
        else:
            async with self._domains.turn(domain) as paced:
                if paced is not None:
                    return paced
                result = await self._send(mail, provider, is_forced=is_forced)
        self._domains.note(mail.recipient, result, mail.message_id)
        return result

    async def _send(self, mail: Mail, provider: Provider, *, is_forced: bool) -> Result:
        if self._return_paths is not None:
            mail = self._return_paths.assign(mail)
        scopes = Scopes.of(self._scope, mail.sender, mail.recipient)
        about = scopes.narrow
        async with self._connections.slots:
            if not (is_forced or provider.is_on):
                return refuse_switched_off(PROVIDER, provider.name)
            blocked = self._breakers.find_block(about, (mail.message_id,))
            if blocked is not None:
                return blocked
            result = await self._connections.send(mail)
            if isinstance(result, NotConnected):
                return self._note_not_connected(result)
            return self._note(scopes.domain, about, result, mail.message_id)

    def _note_not_connected(self, failed: NotConnected) -> Result:
        """Count a failed try to connect, once for all who waited for it."""
        result = _name_concern(failed.result)
        if failed.is_first:
            for _ in range(FAILURES if result.code == TIMEOUT else 1):  # another try would take as long
                self._breakers.note({}, result)
        return result

    def _note(self, domain: str, about: About, result: Result, message: str) -> Result:
        """Note what became of a mail; return what it means for that mail. `domain` is the scope of its two domains."""
        if isinstance(result, Sent):
            traffic = self._traffic_of(domain)
            traffic.accepted_at, traffic.refusals = self._clock(), 0
            return self._breakers.note(about, result, message)
        if is_trouble(result) or (isinstance(result, Blocked) and result.scope == self._scope):
            return self._breakers.note(about, _name_concern(result), message)
        self._breakers.note_answer()
        if isinstance(result, Unspecific):
            result = self._judge_unspecific(domain, result)
        return self._breakers.note(about, result, message) if isinstance(result, Refused | Blocked) else result

    def _judge_unspecific(self, domain: str, refusal: Unspecific) -> Refused | Blocked:
        """Decide by other mail between the same domains whether a refusal is about one mail, or about all of them."""
        traffic = self._traffic_of(domain)
        if traffic.accepted_at is None or self._clock() - traffic.accepted_at > PROOF_S:
            traffic.refusals += 1
        if traffic.refusals < UNSPECIFIC_REFUSALS:
            return Refused(refusal.provider, refusal.code, refusal.detail, "recipient")
        return Blocked(refusal.provider, refusal.scope, refusal.code, refusal.detail, refusal.after_s, refusal.concerns)

    def _traffic_of(self, scope: str) -> _Traffic:
        traffic = self._traffic.setdefault(scope, _Traffic())
        self._traffic.move_to_end(scope)
        if len(self._traffic) > MAX_SCOPES:
            self._traffic.popitem(last=False)
        return traffic


def _name_concern(result: Again | Blocked | Unknown) -> Again | Blocked | Unknown:
    """Say of a failure of the whole server whether it concerns our account or the server."""
    return replace(result, concerns=concern_of_server(result.code))
