"""The e-mail channel: the port that the worker calls, over the mail servers."""

from collections.abc import Mapping, Sequence
from math import ceil

from imsg_contract import addresses
from imsg_contract.topology import Lane
from imsg_contract.wire import Again, Blocked, Job, Recipient, Refused, Result
from imsg_delivery.channel import Terms, Uncertain
from imsg_smtp.mime import Rendered
from imsg_smtp.relays import Sending
from imsg_smtp.rendering import Renderings
from imsg_smtp.replies import PROVIDER

CHUNK_SIZE = 50
"""Mails of one chunk: some seconds' work, so that a crash leaves little in doubt and other workers get their share."""


def terms(connections: int, uncertain: Uncertain) -> Terms:
    """Share out the connections: a code may have any, a single mail all but an eighth, a list all but a quarter.

    So some are always free of lists, and one at least of all but codes. With one connection there is nothing to share:
    they take turns, codes first.
    """
    of_singles = max(1, connections - ceil(connections / 8))
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

    def __init__(self, relays: Sending, renderings: Renderings, terms: Terms) -> None:
        self.terms = terms
        self._relays = relays
        self._renderings = renderings

    async def prepare(self, job: Job) -> Rendered | Again | Blocked | Refused:
        """Fetch what is kept by history, and render what all recipients share."""
        return await self._renderings.render(job)

    async def deliver(self, job: Job, prepared: Rendered, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Hand in the mail of each recipient; a repeat has the same Message-ID and Date."""
        del job  # all it has to say is in what was prepared
        return {recipient.n: await self._deliver(prepared, recipient) for recipient in recipients}

    async def _deliver(self, prepared: Rendered, recipient: Recipient) -> Result:
        address = addresses.email(recipient.address)
        if address is None:
            return Refused(PROVIDER, "address", "This is no e-mail address; correct it and send again.")
        return await self._relays.send(prepared.address_to(recipient.n, address))
