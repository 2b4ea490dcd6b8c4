"""One mail server as the channel uses it: its connections, and whose mail to whom it takes nothing of for now."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from imsg_contract.wire import Blocked, Concern, Refused, Result, Sent
from imsg_limits.breakers import MAX_SCOPES, Breakers
from imsg_smtp.bounces.return_path import ReturnPaths
from imsg_smtp.domains import Domains
from imsg_smtp.mime import Mail
from imsg_smtp.pool import FindBlock, Pool
from imsg_smtp.refusals import Envelope, Unspecific
from imsg_smtp.replies import PROVIDER, concern_of_server, is_trouble

UNSPECIFIC_NOES = 3
"""In a row, until a no that does not say whom it concerns is taken to concern the sender's domain; before, the mail."""

PROOF_S = 600.0
"""How long a mail that was taken speaks for its sender: an unspecific no meanwhile is about its own recipient."""


@dataclass(slots=True)
class _Traffic:
    """How mail from one domain to another fares."""

    taken_at: float | None = None
    noes: int = 0


class Scopes:
    """Breakers narrower than the server: for a sender, and for the way from one domain to another.

    One no opens them, since it is one that holds for all mail there until somebody acts. Mails that were not refused
    try before those that were, and what becomes of them decides.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._breakers = Breakers(PROVIDER, clock)
        self._traffic: OrderedDict[str, _Traffic] = OrderedDict()

    def find_block(self, envelope: Envelope, message: str = "") -> Blocked | None:
        """Say for how long this way is left alone by a message, if it is. Ask once before each try."""
        return self._breakers.find_block(_about(envelope), (message,) if message else ())

    def judge(self, envelope: Envelope, result: Result, message: str = "") -> Result:
        """Note what came of a mail; return what is to be made of it."""
        if isinstance(result, Sent):
            traffic = self._traffic_of(envelope.domain_scope)
            traffic.taken_at, traffic.noes = self._clock(), 0
        elif isinstance(result, Unspecific):
            return self._judge_unspecific(envelope, result, message)
        # The server's own trouble is the pool's.
        if isinstance(result, Sent | Refused) or (isinstance(result, Blocked) and result.scope != envelope.server):
            return self._breakers.note(_about(envelope), result, message)
        return result

    def _judge_unspecific(self, envelope: Envelope, no: Unspecific, message: str) -> Result:
        """Judge by other mail of the same way: it is the mail's own, unless several in a row were refused alike."""
        traffic = self._traffic_of(envelope.domain_scope)
        is_proven = traffic.taken_at is not None and self._clock() - traffic.taken_at <= PROOF_S
        if not is_proven:
            traffic.noes += 1
        if traffic.noes < UNSPECIFIC_NOES:
            return Refused(no.provider, no.code, no.detail, "recipient")
        blocked = Blocked(no.provider, no.scope, no.code, no.detail, no.after_s, no.concerns)
        return self._breakers.note(_about(envelope), blocked, message)

    def _traffic_of(self, scope: str) -> _Traffic:
        traffic = self._traffic.setdefault(scope, _Traffic())
        self._traffic.move_to_end(scope)
        if len(self._traffic) > MAX_SCOPES:
            self._traffic.popitem(last=False)
        return traffic


class Relay:
    """A mail server, and what of ours it takes."""

    def __init__(
        self,
        server: str,
        pool: Pool,
        clock: Callable[[], float],
        domains: Domains | None = None,
        return_paths: ReturnPaths | None = None,
    ) -> None:
        self.server = server
        """What is blocked where all of it is: `mail.example.com:587`."""
        self._pool = pool
        self._scopes = Scopes(clock)
        self._domains = domains or Domains((), clock)
        self._return_paths = return_paths

    async def send(self, mail: Mail, find_block: FindBlock = lambda _: None) -> Result:
        """Hand in a mail at its domain's pace, unless one like it was refused in a way that holds for this one too.

        Nor is it handed in where `find_block` finds, once its turn has come, that it is not to be.
        """
        if self._return_paths is not None:
            mail = self._return_paths.give(mail)
        domain = self._domains.find(mail.recipient)
        if domain.is_free:
            result = await self._hand_in(mail, find_block)
        else:
            async with self._domains.turn(domain) as not_now:
                if not_now is not None:
                    return not_now
                result = await self._hand_in(mail, find_block)
        self._domains.judge(domain, result, mail.message_id)
        return result

    async def _hand_in(self, mail: Mail, find_block: FindBlock) -> Result:
        envelope = Envelope(self.server, mail.sender, mail.recipient)
        blocked: Blocked | None = None

        def look(_: Mail) -> Blocked | None:
            nonlocal blocked
            blocked = find_block(mail) or self._scopes.find_block(envelope, mail.message_id)
            return blocked

        result = await self._pool.send(mail, look)
        if blocked is None:  # else it is no answer of the server
            result = self._scopes.judge(envelope, result, mail.message_id)
        return _tell_concern(result)

    def find_outage(self) -> Blocked | None:
        """Say why the server takes nothing."""
        return self._pool.find_outage()

    async def close(self) -> None:
        """Take leave of the server."""
        await self._pool.close()


def _about(envelope: Envelope) -> Mapping[Concern, str]:
    return {"sender": envelope.sender_scope, "domain": envelope.domain_scope}


def _tell_concern(result: Result) -> Result:
    """Say of what came from the connection, and from no line of `refusals`, that it is the server's own trouble."""
    if isinstance(result, Blocked) and result.concerns is None:
        return replace(result, concerns=concern_of_server(result.code))
    return replace(result, concerns="provider") if is_trouble(result) else result
