"""The pager channel: one HTTP call a message, its answers as results."""

from collections.abc import Mapping, Sequence

import httpx

from imsg_contract.results import Again, Blocked, Refused, Result, Sent, Unknown
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient
from imsg_delivery.channel import Terms
from imsg_pager.spec import PAGER

PROVIDER = "pager"
BUSY = {429, 500, 502, 503, 504}
"""Statuses after which the pager provider asks for another try."""


class PagerChannel:
    """Delivers texts to pagers."""

    method = "pager"
    terms = Terms(
        chunk_size=PAGER.chunk_size,
        call_size=1,
        concurrency={Lane.PRIORITY: 10, Lane.NORMAL: 8, Lane.BULK: 4},
        uncertain="stop",
        repeat_for_s=None,
    )

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def prepare(self, job: Job) -> str | Again | Blocked | Refused:
        """Return the text, which all recipients share."""
        if not isinstance(job.content, str):
            return Refused(PROVIDER, "content", "A pager shows text.")
        return job.content

    async def deliver(self, job: Job, prepared: str, recipients: Sequence[Recipient]) -> Mapping[int, Result]:
        """Call the provider for one recipient."""
        (recipient,) = recipients
        page = {"id": f"{job.request}-{recipient.n}", "number": recipient.address, "text": prepared}
        return {recipient.n: await self._call(page)}

    async def _call(self, page: Mapping[str, str]) -> Result:
        try:
            answer = await self._client.post("/page", json=page)
        except httpx.ConnectError as error:
            return Again(PROVIDER, "unreachable", str(error))
        except httpx.HTTPError as error:
            return Unknown(PROVIDER, "no_answer", str(error) or type(error).__name__)
        code = str(answer.status_code)
        if answer.is_success:
            return Sent(PROVIDER, page["id"], answer.text)
        if answer.status_code in BUSY:
            return Again(PROVIDER, code, answer.text)
        return Refused(PROVIDER, code, answer.text)
