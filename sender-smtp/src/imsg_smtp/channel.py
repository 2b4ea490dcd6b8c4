"""The e-mail channel: the port that the worker calls, over the mail servers."""

from collections.abc import Mapping, Sequence
from math import ceil

from imsg_contract import addresses
from imsg_contract.topology import Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result
from imsg_delivery.channel import Terms, Uncertain
from imsg_smtp.hard_bounces import HardBounces, is_hard
from imsg_smtp.mime import Rendered
from imsg_smtp.relays import Relays
from imsg_smtp.rendering import Renderings
from imsg_smtp.replies import PROVIDER

CHUNK_SIZE = 50
"""Mails of one chunk: some seconds' work, so that a crash leaves little in doubt and other workers get their share."""


def terms(connections: int, uncertain: Uncertain) -> Terms:
    """Share out the connections: a code may have any, a single mail all but one, a list all but a quarter.

    So some are always free of lists, and one of all but codes; a code that finds that one taken has whichever falls
    free next, before any single mail. With one connection there is nothing to share: they take turns, codes first.
    """
    of_singles = max(1, connections - 1)
    of_lists = max(1, connections - ceil(connections / 4))
    return Terms(
        chunk_size=CHUNK_SIZE,
        call_size=1,
        concurrency={Lane.PRIORITY: connections, Lane.NORMAL: of_singles, Lane.BULK: min(of_lists, of_singles)},
        uncertain=uncertain,
    )


class MailChannel:
    """One mail per recipient: nobody sees another's address, and every refusal is one recipient's own."""

    method = "smtp"

    def __init__(
        self, relays: Relays, renderings: Renderings, terms: Terms, bounces: HardBounces | None = None
    ) -> None:
        self.terms = terms
        self._bounces = bounces
        self._relays = relays
        self._renderings = renderings
        self.provider_pool = relays.provider_pool

    async def prepare(self, job: Job) -> Rendered | Again | Blocked | Refused:
        """Fetch what is kept by history, and render what all recipients share."""
        return await self._renderings.render(job)

    async def deliver(self, job: Job, prepared: Rendered, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Hand in the mail of each recipient; a repeat has the same Message-ID and Date."""
        results = {recipient.n: await self._deliver(job, prepared, recipient) for recipient in recipients}
        for recipient in recipients:
            result = results[recipient.n]
            if self._bounces is not None and isinstance(result, Refused) and is_hard(result.code, result.detail):
                await self._bounces.tell(job, recipient, result)
        return results

    async def _deliver(self, job: Job, prepared: Rendered, recipient: Recipient) -> Result:
        address = addresses.email(recipient.address)
        if address is None:
            return Refused(PROVIDER, "address", "This is no e-mail address; correct it and send again.", "recipient")
        return await self._relays.send(prepared.address_to(recipient.n, address), job.category, job.provider)

    def find_outage(self) -> Blocked | None:
        """Say why no mail gets through by any server."""
        return self._relays.find_outage()
