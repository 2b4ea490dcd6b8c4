"""Contents too long for the broker, as history keeps them for us."""

import hashlib

from imsg_contract.wire import Again, Blocked, Reference, Refused
from imsg_runtime.service_client import Peer, ServiceUnavailable
from imsg_wechat.codes import PROVIDER

LOOK_AGAIN_S = 10.0
"""How soon history is asked again: it is ours, and comes back in seconds."""

OK, NOT_FOUND = 200, 404


class Shelf:
    """Fetches bytes by (request, sha256)."""

    def __init__(self, history: Peer) -> None:
        self._history = history

    async def fetch(self, request: str, reference: Reference) -> bytes | Again | Blocked | Refused:
        """Return the bytes. Blocked while history is away; Refused where it has them no more."""
        try:
            answer = await self._history.call("GET", f"/internal/attachments/{request}/{reference.sha256}")
        except ServiceUnavailable as error:
            return _away(str(error))
        if answer.status_code == NOT_FOUND:
            return Refused(PROVIDER, "content_gone", "The content is kept no more; send the message again with it.")
        if answer.status_code != OK:
            return _away(f"it answered {answer.status_code}")
        if hashlib.sha256(answer.content).hexdigest() != reference.sha256:
            return Again(PROVIDER, "content_damaged", "What history gave is not what was put there.")
        return answer.content


def _away(why: str) -> Blocked:
    return Blocked(PROVIDER, "history", "history_away", f"The content can't be fetched for now: {why}.", LOOK_AGAIN_S)
