"""The e-mail channel: the port that the worker calls. It renders mails and sends them by its mail servers."""

from collections.abc import Mapping, Sequence
from math import ceil

from imsg_channels.smtp import SMTP
from imsg_contract import addresses
from imsg_contract.results import Again, Blocked, Refused, Result
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient
from imsg_delivery.channel import Terms, Uncertain
from imsg_delivery.provider_pool import ProviderPool, SupportsSend
from imsg_delivery.routes import Facts
from imsg_runtime.settings import variable
from imsg_smtp.hard_bounces import HardBounces, is_hard
from imsg_smtp.mime import Mail, Rendering
from imsg_smtp.rendering import Renderings
from imsg_smtp.replies import PROVIDER


def make_terms(connections: int, uncertain: Uncertain) -> Terms:
    """Return the channel's terms: codes may use all connections, single mails all but one, lists three quarters.

    A code that finds none free gets the next one, before any single mail. With one connection all lanes share it.
    """
    for_singles = max(1, connections - 1)
    for_lists = max(1, connections - ceil(connections / 4))
    return Terms(
        chunk_size=SMTP.chunk_size,
        call_size=1,
        concurrency={Lane.PRIORITY: connections, Lane.NORMAL: for_singles, Lane.BULK: min(for_lists, for_singles)},
        uncertain=uncertain,
    )


class MailChannel:
    """Sends one mail per recipient: no recipient sees another's address, and each gets its own result.

    A message prefers the same server at every attempt, chosen by its Message-ID, so that this server can recognize a
    repeat. The next server is used only after Again or Blocked.
    """

    method = PROVIDER

    def __init__(
        self,
        servers: Mapping[str, SupportsSend[Mail]],
        provider_pool: ProviderPool,
        renderings: Renderings,
        terms: Terms,
        bounces: HardBounces | None = None,
    ) -> None:
        """`servers` have the names of the providers in `provider_pool`."""
        self.terms = terms
        self.provider_pool = provider_pool
        self._servers = servers
        self._renderings = renderings
        self._bounces = bounces

    async def prepare(self, job: Job) -> Rendering | Again | Blocked | Refused:
        """Fetch content and attachments from history, and render the parts that all recipients share."""
        return await self._renderings.render(job)

    async def deliver(self, job: Job, prepared: Rendering, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Send a mail to each recipient; a repeat has the same Message-ID and Date."""
        results: dict[int, Result] = {}
        for recipient in recipients:
            results[recipient.n] = result = await self._deliver(job, prepared, recipient)
            if self._bounces is not None and isinstance(result, Refused) and is_hard(result.code, result.detail):
                await self._bounces.report(job, recipient, result)
        return results

    async def _deliver(self, job: Job, prepared: Rendering, recipient: Recipient) -> Result:
        address = addresses.email(recipient.address)
        if address is None:
            return Refused(PROVIDER, "address", "This is no e-mail address; correct it and send again.", "recipient")
        display_name = "" if recipient.to == address else addresses.display_name(recipient.to)
        mail = prepared.make_mail(recipient.n, address, display_name)
        facts = Facts(mail.message_id, mail.recipient, mail.sender, category=job.category)
        return await self.provider_pool.send(mail, facts, self._servers, job.provider) or self._explain(mail, job)

    def find_outage(self) -> Blocked | None:
        """Return why no server that is switched on accepts mail; None if one does."""
        return self.provider_pool.find_outage({name: server.find_outage() for name, server in self._servers.items()})

    def _explain(self, mail: Mail, job: Job) -> Result:
        """Return the result of a mail for which no server may be used."""
        if job.provider is not None and self.provider_pool.find(job.provider) is None:
            why = f"There is no mail server {job.provider}; there are {', '.join(self._servers)}."
            return Refused(PROVIDER, "no_provider", why, "content")
        return self.provider_pool.refuse(
            f"mail from {mail.domains}", f"give one of {variable('smtp', 'servers')} these domains, or none"
        )
