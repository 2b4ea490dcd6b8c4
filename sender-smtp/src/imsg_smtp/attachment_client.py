"""What history keeps for us: attachments, and contents too long for the broker."""

import asyncio
import hashlib

from imsg_contract.wire import Again, Blocked, Reference, Refused
from imsg_runtime.service_client import Peer, ServiceUnavailable
from imsg_smtp.replies import PROVIDER

FETCH_TIMEOUT_S = 30.0
"""For up to 16 MiB from the next machine; the ordinary call has a few KiB."""

LOOK_AGAIN_S = 10.0
"""How soon history is asked again: it is ours, and comes back in seconds."""

OK, NOT_FOUND = 200, 404


class Shelf:
    """Fetches bytes by (request, sha256)."""

    def __init__(self, history: Peer) -> None:
        self._history = history

    async def fetch(self, request: str, reference: Reference) -> bytes | Again | Blocked | Refused:
        """Return the bytes.

        Blocked while history is away, which uses up no attempt; Refused where it has them no more.
        """
        path = f"/internal/attachments/{request}/{reference.sha256}"
        try:
            answer = await self._history.call("GET", path, timeout_s=FETCH_TIMEOUT_S)
        except ServiceUnavailable as error:
            return _away(str(error))
        if answer.status_code == NOT_FOUND:
            detail = "The attachment or content is kept no more; send the message again with it."
            return Refused(PROVIDER, "attachment_gone", detail)
        if answer.status_code != OK:
            return _away(f"it answered {answer.status_code}")
        body = answer.content
        if await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest()) != reference.sha256:
            return Again(PROVIDER, "attachment_damaged", "What history gave is not what was put there.")
        return body


def _away(why: str) -> Blocked:
    return Blocked(PROVIDER, "history", "history_away", f"Attachments can't be fetched for now: {why}.", LOOK_AGAIN_S)
